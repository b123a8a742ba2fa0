#include <levin/framework/trainer/stage_loaders.h>

#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/loops/limits.h>
#include <levin/framework/trainer/adapted_loaders.h>
#include <levin/framework/trainer/step_checks.h>

namespace levin {
namespace {

/// Throws DataError if there are no `loaders`, which the data module's function `hook` returned.
/// `what` is what the data module lacks.
void require_loaders(const DataLoaders& loaders, std::string_view hook, Stage stage,
                     std::string_view what) {
  if (!loaders.empty()) return;
  throw DataError(fmt::format("{}() returned no loader, but {} needs one; give the data module {}",
                              hook, stage_name(stage), what));
}

}  // namespace

FitLoaders fit_loaders(Module& module, DataModule& data, const TrainerOptions& options,
                       const Run& run) {
  auto train = data.train_dataloader();
  auto val = data.val_dataloader();
  require_loaders(train, "train_dataloader", Stage::fit, "training data");
  if (!val.empty() && !is_off(options.limit_val_batches) &&
      leaves_out_validation(module, run.is_global_zero())) {
    val.clear();
  }
  module.check_data(train);
  module.check_data(val);
  if (is_off(options.overfit_batches)) return {std::move(train), std::move(val)};
  return {in_order(train), in_order(val)};
}

DataLoaders evaluation_loaders(Module& module, DataModule& data, Stage stage) {
  const bool is_test = stage == Stage::test;
  auto loaders = is_test ? data.test_dataloader() : data.val_dataloader();
  require_loaders(loaders, is_test ? "test_dataloader" : "val_dataloader", stage,
                  is_test ? "test data" : "validation data");
  module.check_data(loaders);
  return loaders;
}

DataLoaders predict_loaders(DataModule& data) {
  auto loaders = data.predict_dataloader();
  require_loaders(loaders, "predict_dataloader", Stage::predict, "rows to predict for");
  return loaders;
}

}  // namespace levin
