// The part of the Trainer that makes a fit ready to run.
#include <utility>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/parameter_groups.h>
#include <levin/framework/tensor/divided_memory.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/adapted_loaders.h>
#include <levin/framework/trainer/checkpoint_checks.h>
#include <levin/framework/trainer/checkpoint_path.h>
#include <levin/framework/trainer/mesh_of_run.h>
#include <levin/framework/trainer/stage_loaders.h>
#include <levin/framework/trainer/step_checks.h>
#include <levin/framework/trainer/trainer_implementation.h>
#include <levin/framework/trainer/warnings.h>

namespace levin {

void Trainer::Implementation::make_optimizers(Module& module, DataModule& data,
                                              const DataLoaders& train) {
  set_expected_length(parts(module, data), train);
  optimizers_ = optimizers_factory ? optimizers_factory(module) : module.configure_optimizers();
  if (tuned_.learning_rate) use_learning_rate(optimizers_, *tuned_.learning_rate);
  const NamedTensors names = to_named_tensors(module.named_parameters());
  for (auto& entry : optimizers_.entries()) entry.optimizer->set_names(names);
  strategy_->shard_optimizers(optimizers_);
  warn_without_optimizer(run, module, optimizers_);
}

void Trainer::Implementation::prepare_fit(Module& module, DataModule& data,
                                          const std::optional<StartingPoint>& start) {
  warn_without_pipeline(run, options);
  if (start) {
    naming_checkpoint(start->path, [&] { prepare_like_checkpoint(module, start->state); });
  }
  const int64_t loader_epoch = first_loader_epoch(start ? &start->state : nullptr, options);
  data.set_loader_epoch(loader_epoch);
  FitLoaders loaders = fit_loaders(module, data, options, run);
  precision.convert(module);  // the module may have made its layers only now
  if (start) {
    require_resumable(start->state, start->path);
    tuned_ = tuned_before(callback_list_, start->state);
  } else {
    tuned_ =
        tune_fit(callback_list_, {options, module, data, optimizers_factory, run}, loaders.train);
  }
  if (tuned_.batch_size) loaders.train = with_batch_size(loaders.train, *tuned_.batch_size);
  std::filesystem::path resumed_folder;
  if (start) {
    naming_checkpoint(start->path, [&] { require_same_types(module, start->state, precision); });
    resumed_folder = run_folder_to_go_on_in(start->path, options.default_root_dir, run);
    loaders.train = naming_checkpoint(start->path, [&] {
      return with_rows_a_step_of(start->state, loaders.train, strategy_->rank_share());
    });
  }
  show_loaders(run, Stage::fit, loaders.train, loaders.val);
  show_mesh(run, *strategy_);
  strategy_->setup(module);
  make_optimizers(module, data, loaders.train);
  run.history() = {};
  run.forget_metrics();
  // This comes before FitLoop opens the loaders, because loaders without a seed of their own take
  // the run's seed at that moment.
  if (start) {
    naming_checkpoint(start->path, [&] {
      warn_about_seed(run, start->state);
      load_random_state(start->state.child("random"));
    });
  }
  fit_loop_ = std::make_unique<FitLoop>(parts(module, data), loaders.train, std::move(loaders.val),
                                        optimizers_);
  let_loop_reload(module, data, start, loader_epoch);
  draw_by_place(*strategy_);
  if (start) {
    const WholeTensors whole(module.parameters());
    naming_checkpoint(start->path, [&] { fit_loop_->resume(start->state); });
    if (!resumed_folder.empty()) run.set_log_dir(resumed_folder);
  }
  note_fitted_state(module, data);
}

/// Lets the fit's loop ask for loaders of later epochs.
void Trainer::Implementation::let_loop_reload(Module& module, DataModule& data,
                                              const std::optional<StartingPoint>& start,
                                              int64_t loader_epoch) {
  StateDict before;  // what the loaders need of the checkpoint
  if (start) before.values["ranks"] = start->state.child("ranks").values;
  const auto reload = [this, &module, &data, before](int64_t epoch) {
    auto next = reloaded_fit_loaders(module, data, options, run, epoch);
    if (tuned_.batch_size) next.train = with_batch_size(next.train, *tuned_.batch_size);
    auto train = with_rows_a_step_of(before, next.train, strategy_->rank_share());
    show_loaders(run, Stage::fit, train, next.val);
    return std::pair(std::move(train), std::move(next.val));
  };
  fit_loop_->set_reload(reload, loader_epoch);
}

}  // namespace levin
