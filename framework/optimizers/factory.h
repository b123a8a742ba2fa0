#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/optimizer.h>
#include <levin/framework/optimizers/scheduler.h>

namespace levin {

/// The settings of a class, at their defaults, with what they live in.
struct NamedSettings {
  std::shared_ptr<void> options;
  Fields fields;
};

/// SGD, Adam, AdamW, Adagrad, RMSprop, LBFGS.
const std::vector<std::string>& optimizer_names();
/// Makes an optimizer by its name from settings by name (an object, or null for the defaults).
/// Throws ConfigError for an unknown name or setting, naming the nearest, and for a wrong value.
std::unique_ptr<Optimizer> make_optimizer(std::string_view name,
                                          std::vector<torch::Tensor> parameters,
                                          const Value& init_args);
/// What `make_optimizer` takes for that name. Throws ConfigError for an unknown name.
NamedSettings optimizer_settings(std::string_view name);

/// StepLR, MultiStepLR, ExponentialLR, CosineAnnealingLR, LinearLR (also WarmupLR), OneCycleLR,
/// ReduceLROnPlateau.
const std::vector<std::string>& scheduler_names();
std::unique_ptr<Scheduler> make_scheduler(std::string_view name, const Value& init_args);
NamedSettings scheduler_settings(std::string_view name);

}  // namespace levin
