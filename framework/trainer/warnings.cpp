#include <levin/framework/trainer/warnings.h>

#include <string>
#include <unordered_set>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/loops/resumed_settings.h>
#include <levin/framework/tensor/random.h>

namespace levin {

void warn_if_untrained(Run& run, const Module& module) {
  if (module.is_trained() || module.num_parameters() == 0) return;
  run.warn(fmt::format(
      "{} uses the weights with which the module was made: no fit has trained them, and no "
      "checkpoint was loaded. Give ckpt_path (on the command line --ckpt-path), or call "
      "Module::set_trained if you have loaded weights in another way",
      stage_name(run.stage())));
}

void warn_without_optimizer(Run& run, const Module& module, const Optimizers& optimizers) {
  if (module.num_parameters(/*trainable_only=*/true) == 0) return;
  if (optimizers.empty()) {
    return run.warn(
        "configure_optimizers returned no optimizer, so this fit doesn't change the module's "
        "parameters. Return one, such as levin::Adam(parameters(), {.learning_rate = 1e-3})");
  }
  std::unordered_set<const void*> trainable;
  for (const auto& parameter : module.parameters()) {
    if (parameter.requires_grad()) trainable.insert(parameter.unsafeGetTensorImpl());
  }
  for (const auto& entry : optimizers.entries()) {
    for (const auto& group : entry.optimizer->groups()) {
      for (const auto& parameter : group.parameters) {
        if (trainable.contains(parameter.unsafeGetTensorImpl())) return;
      }
    }
  }
  run.warn(
      "the optimizer has none of the module's parameters that are to be trained, so this fit "
      "doesn't change them. Make it, in configure_optimizers, of the module's parameters()");
}

void warn_without_pipeline(Run& run, const TrainerOptions& options) {
  if (options.pipeline_size > 1) return;
  const TrainerOptions defaults;
  std::vector<std::string> given;
  if (options.pipeline_schedule != defaults.pipeline_schedule) given.push_back("pipeline_schedule");
  if (options.pipeline_chunks != defaults.pipeline_chunks) given.push_back("pipeline_chunks");
  if (options.micro_batches != defaults.micro_batches) given.push_back("micro_batches");
  if (given.empty()) return;
  run.warn(fmt::format(
      "pipeline_size is 1, so these settings do nothing: {}. Set pipeline_size to the number of "
      "ranks over which the layers are spread, or leave them out",
      fmt::join(given, ", ")));
}

void warn_about_seed(Run& run, const StateDict& checkpoint) {
  const Value values = checkpoint.child("random").values;
  if (!values.contains("seed")) return;
  const int64_t saved = values.at("seed").as_int();
  const auto given = static_cast<int64_t>(global_seed());
  if (given == 0 || given == saved) return;  // 0: nobody has chosen it
  run.warn(fmt::format(
      "the seed {} isn't used: training goes on with the random generators of the "
      "checkpoint, whose seed is {}. Begin a fit without a checkpoint to use another one",
      given, saved));
}

void warn_about_other_settings(Run& run, const Module& module, const StateDict& checkpoint,
                               const std::filesystem::path& path) {
  const auto description = module_description(checkpoint);
  if (!description) return;
  const auto changes =
      changed_settings("model.", description->init_args, module.hyper_parameters());
  if (changes.empty()) return;
  run.warn(fmt::format(
      "the weights of '{}' are those of a model with other settings, which are in brackets. This "
      "run's model has: {}. Leave the model out of the configuration, or use load_module, to get "
      "the checkpoint's own",
      path.string(), fmt::join(changes, ", ")));
}

}  // namespace levin
