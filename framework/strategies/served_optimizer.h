#pragma once

#include <memory>
#include <optional>
#include <string>

#include <levin/framework/optimizers/has_momentum.h>
#include <levin/framework/optimizers/optimizer.h>
#include <levin/framework/strategies/served_steps.h>

namespace levin {

/// Stands for an optimizer that parameter servers step by. It has that optimizer's name, groups and
/// state, so that schedules, callbacks and checkpoints find what they expect; a step pushes the
/// gradients of this rank, with the learning rates of its groups, and pulls the new weights.
///
///     entry.optimizer = std::make_unique<ServedOptimizer>(optimizer, steps);
///     steps->serve(optimizer, fixed);
class ServedOptimizer final : public Optimizer, public HasMomentum {
 public:
  /// `steps` has to serve the optimizer before the first step.
  ServedOptimizer(std::shared_ptr<Optimizer> optimizer, std::shared_ptr<ServedSteps> steps);

  torch::Tensor step(const Closure& closure = {}) override;
  /// A meeting of the ranks: see ServedSteps.
  void complete_parameters() override { steps_->meet(); }
  std::string name() const override { return optimizer_->name(); }
  /// The state of the slices of this rank's server, and the rates that this rank has.
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;
  std::optional<double> momentum(size_t group) const override;

 private:
  std::shared_ptr<Optimizer> optimizer_;
  std::shared_ptr<ServedSteps> steps_;
};

}  // namespace levin
