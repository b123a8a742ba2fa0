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

/// Makes an optimizer of torch::optim (SGD, Adam, AdamW, RMSprop, Adagrad, LBFGS or a subclass)
/// usable as one of Levin's. `Optimizers` wraps such an optimizer by itself:
///
///     levin::Optimizers configure_optimizers() override {
///       return std::make_unique<torch::optim::SGD>(parameters(), 0.1);
///     }
///
/// Learning rates are set in the wrapped optimizer's options. Its state, which torch keeps by the
/// parameters' addresses, is saved by their names: the fields of torch's `...ParamState`, tensors
/// as `<parameter>.<field>`, numbers in the values under `parameters`.
///
/// If found_inf is set, each step waits for the device to read it.
class TorchAdapter : public Optimizer {
 public:
  /// Throws ConfigError for null and for a class that isn't listed above.
  explicit TorchAdapter(std::unique_ptr<torch::optim::Optimizer> optimizer);
  TorchAdapter(TorchAdapter&&) noexcept;
  TorchAdapter& operator=(TorchAdapter&&) noexcept;
  ~TorchAdapter() override;

  torch::Tensor step(const Closure& closure = {}) override;
  bool reevaluates_closure() const override;
  std::string name() const override;
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  /// The wrapped optimizer.
  torch::optim::Optimizer& wrapped() { return *optimizer_; }

 private:
  void prepare_gradients();

  std::unique_ptr<torch::optim::Optimizer> optimizer_;
};

}  // namespace levin
