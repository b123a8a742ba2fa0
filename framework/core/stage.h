#pragma once

#include <string_view>

namespace levin {

/// What a Trainer is doing: the function of the Trainer that was called, or `sanity_check`, the
/// short validation before training, which finds mistakes in the validation code before an epoch
/// has been spent on training.
///
/// DataModule::setup and the hooks `setup` and `teardown` get the stage, so that they can load only
/// the data that it needs. They never get `sanity_check`: a fit includes its validation.
///
///     void setup(levin::Stage stage) override {
///       if (stage == levin::Stage::fit) load_training_files();
///     }
///
/// Lightning: TrainerFn, RunningStage.
enum class Stage { fit, sanity_check, validate, test, predict };

/// Returns the stage's name in messages and file names: "fit", "sanity_check", "validate", "test"
/// or "predict". The text is a literal and lives as long as the program.
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
