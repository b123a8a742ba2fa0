#include <levin/framework/trainer/stage_loaders.h>

#include <utility>

#include <levin/framework/data/loaders_datamodule.h>
#include <levin/framework/data/training_set.h>
#include <levin/framework/loops/limits.h>
#include <levin/framework/trainer/adapted_loaders.h>
#include <levin/framework/trainer/step_checks.h>

namespace levin {

namespace {

FitLoaders asked_fit_loaders(Module& module, DataModule& data, const TrainerOptions& options,
                             Run& run, bool prepares) {
  auto train = data.train_dataloader();
  auto val = data.val_dataloader();
  require_loader(train, Stage::fit);
  if (!val.empty() && !is_off(options.limit_val_batches) && leaves_out_validation(run, module)) {
    val.clear();
  }
  if (prepares) {
    module.prepare(TrainingSet(train, data.num_classes(), dynamic_cast<HasTrainingSums*>(&data),
                               dynamic_cast<HasGroups*>(&data)));
  }
  module.check_data(train);
  module.check_data(val);
  if (is_off(options.overfit_batches)) return {std::move(train), std::move(val)};
  return {in_order(train), in_order(val)};
}

}  // namespace

FitLoaders fit_loaders(Module& module, DataModule& data, const TrainerOptions& options, Run& run) {
  return asked_fit_loaders(module, data, options, run, /*prepares=*/true);
}

FitLoaders reloaded_fit_loaders(Module& module, DataModule& data, const TrainerOptions& options,
                                Run& run, int64_t epoch) {
  data.set_loader_epoch(epoch);
  return asked_fit_loaders(module, data, options, run, /*prepares=*/false);
}

int64_t first_loader_epoch(const StateDict* checkpoint, const TrainerOptions& options) {
  const int64_t every = options.reload_dataloaders_every_n_epochs;
  if (every == 0 || checkpoint == nullptr || !checkpoint->has_child("loop")) return 0;
  const Value loop = checkpoint->child("loop").values;
  return loop.contains("epoch") ? loop.at("epoch").as_int() / every * every : 0;
}

DataLoaders evaluation_loaders(Module& module, DataModule& data, Stage stage) {
  auto loaders = stage == Stage::test ? data.test_dataloader() : data.val_dataloader();
  require_loader(loaders, stage);
  module.check_data(loaders);
  return loaders;
}

DataLoaders predict_loaders(DataModule& data) {
  auto loaders = data.predict_dataloader();
  require_loader(loaders, Stage::predict);
  return loaders;
}

void show_loaders(RunControl& run, Stage stage, DataLoaders loaders, DataLoaders val) {
  auto shown = std::make_shared<StageLoaders>();
  shown->val = std::move(val);
  auto& own = stage == Stage::fit        ? shown->train
              : stage == Stage::validate ? shown->val
              : stage == Stage::test     ? shown->test
                                         : shown->predict;
  own = std::move(loaders);
  run.set_dataloaders(std::move(shown));
}

}  // namespace levin
