#include <levin/framework/strategies/served_optimizer.h>

#include <utility>

namespace levin {

ServedOptimizer::ServedOptimizer(std::shared_ptr<Optimizer> optimizer,
                                 std::shared_ptr<ServedSteps> steps)
    : Optimizer(optimizer->groups(), 0.0, 0.0),
      optimizer_(std::move(optimizer)),
      steps_(std::move(steps)) {
  groups_ = optimizer_->groups();  // with their names
}

torch::Tensor ServedOptimizer::step(const Closure& closure) {
  torch::Tensor loss;
  if (evaluate(closure, loss)) steps_->step(groups_);
  return loss;
}

StateDict ServedOptimizer::state_dict() const {
  StateDict state = optimizer_->state_dict();
  state.values["groups"] = groups_value().at("groups");
  return state;
}

void ServedOptimizer::load_state_dict(const StateDict& state) {
  optimizer_->load_state_dict(state);
  load_groups(state);
  steps_->forget();
}

std::optional<double> ServedOptimizer::momentum(size_t group) const {
  const auto* has_momentum = dynamic_cast<const HasMomentum*>(optimizer_.get());
  return has_momentum != nullptr ? has_momentum->momentum(group) : std::nullopt;
}

}  // namespace levin
