#pragma once

#include <string_view>

namespace levin {

/// What a Trainer is doing. `sanity_check` is the short validation before training, which finds
/// mistakes in the validation code before an epoch has been spent. Lightning: TrainerFn,
/// RunningStage.
enum class Stage { fit, sanity_check, validate, test, predict };

/// The stage's name in messages and state: "fit", "sanity_check", "validate", "test" or "predict".
constexpr std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::fit:
      return "fit";
    case Stage::sanity_check:
      return "sanity_check";
    case Stage::validate:
      return "validate";
    case Stage::test:
      return "test";
    case Stage::predict:
      return "predict";
  }
  return "";
}

}  // namespace levin
