#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <levin/framework/optimizers/has_momentum.h>
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
/// Most of Levin's own classes have fused kernels, which these lack; wrap one of torch's for code
/// that needs exactly that class. Ranks can't share the state of a wrapped optimizer (`shard`
/// throws ConfigError).
///
/// Learning rates are set in the wrapped optimizer's options before each step. Its state, which
/// torch keeps by the parameters' addresses, is saved by their names: the fields of torch's
/// `...ParamState`, tensors as `<parameter>.<field>`, numbers in the values under `parameters`. If
/// found_inf is set, each step waits for the device to read it.
class TorchAdapter : public Optimizer, public HasMomentum {
 public:
  /// Throws ConfigError for null and for a class that isn't listed above.
  explicit TorchAdapter(std::unique_ptr<torch::optim::Optimizer> optimizer);
  TorchAdapter(TorchAdapter&&) noexcept;
  TorchAdapter& operator=(TorchAdapter&&) noexcept;
  ~TorchAdapter() override;

  /// As Optimizer::step. Throws ModuleError if LBFGS is stepped without a closure.
  torch::Tensor step(const Closure& closure = {}) override;
  bool reevaluates_closure() const override;
  std::string name() const override;
  std::optional<double> momentum(size_t group) const override;
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  /// The wrapped optimizer, which this object owns. A learning rate that is set there is lost at
  /// the next step; use `set_learning_rate`.
  torch::optim::Optimizer& wrapped() { return *optimizer_; }

 private:
  /// Divides the gradients by grad_scale, if that is set.
  void prepare_gradients();

  std::unique_ptr<torch::optim::Optimizer> optimizer_;
};

}  // namespace levin
