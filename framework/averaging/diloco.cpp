#include <levin/framework/averaging/diloco.h>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

Fields describe(DiLoCoOptions& o) {
  return fields_of<DiLoCoOptions>(
      {{"period", &o.period, "steps from one meeting of the ranks to the next"},
       {"outer_lr", &o.outer_lr, "learning rate of the outer optimizer"},
       {"outer_momentum", &o.outer_momentum, "its momentum"},
       {"nesterov", &o.nesterov, "whether the momentum is Nesterov's"},
       {"flags_every", &o.flags_every, "steps after which ranks tell of signals, at the latest"}});
}

DiLoCo::DiLoCo(DiLoCoOptions options)
    : ModelAveraging(options.period, options.flags_every), options_(options) {
  if (!(options.outer_lr > 0.0)) {
    throw ConfigError::invalid_value("outer_lr", fmt::format("{}", options.outer_lr),
                                     "must be above 0");
  }
  if (!(options.outer_momentum >= 0.0 && options.outer_momentum < 1.0)) {
    throw ConfigError::invalid_value("outer_momentum", fmt::format("{}", options.outer_momentum),
                                     "must be at least 0 and less than 1");
  }
}

torch::Tensor DiLoCo::next(const std::string& name, const torch::Tensor& last,
                           const torch::Tensor& mean) {
  auto delta = last - mean;
  auto& velocity = velocities_[name];
  if (!velocity.defined()) {
    velocity = delta.clone();
  } else if (velocity.sizes() != delta.sizes()) {
    throw CheckpointError::mismatch("the outer optimizer's state",
                                    {fmt::format("the velocity of '{}' has another shape", name)});
  } else {
    velocity = velocity.to(delta.options()).mul_(options_.outer_momentum).add_(delta);
  }
  const auto step = options_.nesterov ? delta.add_(velocity, options_.outer_momentum) : velocity;
  return last - options_.outer_lr * step;
}

StateDict DiLoCo::state_dict() const {
  StateDict state;
  for (const auto& [name, velocity] : velocities_) state.tensors[name] = velocity;
  return state;
}

void DiLoCo::load_state_dict(const StateDict& state) {
  velocities_.clear();
  for (const auto& [name, velocity] : state.tensors) velocities_[name] = velocity.clone();
}

}  // namespace levin
