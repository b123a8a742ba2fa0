#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <levin/framework/optimizers/optimizer.h>

namespace torch::optim {
class Optimizer;
}

namespace levin {

/// A torch::optim optimizer (SGD, Adam, AdamW, RMSprop, Adagrad, LBFGS, or a subclass) as Levin's:
/// learning rates go through its options, and its state, kept there by address, gets names.
///
/// State: the fields of torch's `...ParamState`, tensors as `<parameter>.<field>`, numbers in the
/// values under `parameters`. A set found_inf is read by the host.
class TorchAdapter : public Optimizer {
 public:
  /// Throws ConfigError for a class it doesn't know.
  explicit TorchAdapter(std::unique_ptr<torch::optim::Optimizer> optimizer);
  TorchAdapter(TorchAdapter&&) noexcept;
  TorchAdapter& operator=(TorchAdapter&&) noexcept;
  ~TorchAdapter() override;

  torch::Tensor step(const Closure& closure = {}) override;
  bool reevaluates_closure() const override;
  std::string name() const override;
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  /// The optimizer itself.
  torch::optim::Optimizer& wrapped() { return *optimizer_; }

 private:
  void prepare_gradients();

  std::unique_ptr<torch::optim::Optimizer> optimizer_;
};

}  // namespace levin
