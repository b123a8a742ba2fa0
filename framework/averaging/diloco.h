#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <levin/framework/averaging/model_averaging.h>
#include <levin/framework/core/options.h>

namespace levin {

/// Settings of DiLoCo.
struct DiLoCoOptions {
  /// The number of steps that a rank takes by itself before the outer optimizer makes a step.
  int64_t period = 500;
  /// The outer optimizer's learning rate, above 0.
  double outer_lr = 0.7;
  /// The outer optimizer's momentum, at least 0 and less than 1.
  double outer_momentum = 0.9;
  /// Whether the momentum is Nesterov's.
  bool nesterov = true;
  /// After how many steps at most the ranks exchange flags, such as that a signal has arrived.
  int64_t flags_every = 16;
};
Fields describe(DiLoCoOptions& options);

/// DiLoCo: what the ranks have changed on average since the last meeting is the gradient of an
/// outer optimizer, SGD with Nesterov's momentum. Douillard et al. 2023,
/// https://arxiv.org/abs/2311.08105.
///
///     delta = last - mean(weights)
///     velocity = outer_momentum velocity + delta
///     weights = last - outer_lr (delta + outer_momentum velocity)      with nesterov
///     weights = last - outer_lr velocity                               without
///
/// The ranks' own optimizers, usually AdamW, keep their states. With outer_lr 1 and no momentum,
/// this is local SGD. It also works on one rank, where it is an optimizer around the optimizer.
/// Takes the memory of the parameters twice.
class DiLoCo : public ModelAveraging {
 public:
  using Options = DiLoCoOptions;
  /// Throws ConfigError for a setting that is out of its range.
  explicit DiLoCo(DiLoCoOptions options = {});

  bool needs_last() const override { return true; }
  torch::Tensor next(const std::string& name, const torch::Tensor& last,
                     const torch::Tensor& mean) override;
  /// The velocities, by the parameters' names.
  StateDict state_dict() const override;
  /// Throws CheckpointError, in `next`, if a velocity doesn't have its parameter's shape.
  void load_state_dict(const StateDict& state) override;

 private:
  DiLoCoOptions options_;
  std::map<std::string, torch::Tensor, std::less<>> velocities_;
};

}  // namespace levin
