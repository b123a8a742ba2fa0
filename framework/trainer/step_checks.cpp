#include <levin/framework/trainer/step_checks.h>

#include <map>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/run/own_steps.h>

namespace levin {

void require_step(const Module& module, Stage stage) {
  const OwnSteps has = own_steps(module);
  const auto require = [&](bool is_there, const char* step) {
    if (is_there) return;
    throw ModuleError::contract(step,
                                fmt::format("{} doesn't have it, but Trainer::{} calls it",
                                            module.class_name(), stage_name(stage)),
                                "override it in your module");
  };
  if (stage == Stage::fit) require(has.training, "training_step");
  if (stage == Stage::validate) require(has.validation, "validation_step");
  if (stage == Stage::test) require(has.test, "test_step");
  if (stage == Stage::predict) require(has.predict, "predict");
}

void require_loader(const DataLoaders& loaders, Stage stage) {
  if (!loaders.empty()) return;
  const auto [function, data] = stage == Stage::fit    ? std::pair("train", "training data")
                                : stage == Stage::test ? std::pair("test", "test data")
                                : stage == Stage::predict
                                    ? std::pair("predict", "rows to predict for")
                                    : std::pair("val", "validation data");
  throw DataError(
      fmt::format("{}_dataloader() returned no loader, but {} needs one; give the data module {}",
                  function, stage_name(stage), data));
}

void require_sole_tasks(const std::vector<Callback*>& callbacks) {
  std::map<std::string, const Callback*> found;
  for (const Callback* callback : callbacks) {
    const std::string task = callback->sole_task();
    if (task.empty()) continue;
    const auto [first, is_new] = found.emplace(task, callback);
    if (is_new) continue;
    const Callback& other = *first->second;
    throw ConfigError::conflict(
        fmt::format("two callbacks, {} and {}, of which each {}", unqualified_name(typeid(other)),
                    unqualified_name(typeid(*callback)), task),
        "keep one of them");
  }
}

bool leaves_out_validation(Run& run, const Module& module) {
  if (own_steps(module).validation) return false;
  run.warn(
      fmt::format("there are validation data, but {} has no validation_step, so validation is left "
                  "out; override it to get metrics such as val_loss",
                  module.class_name()));
  return true;
}

}  // namespace levin
