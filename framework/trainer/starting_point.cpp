#include <levin/framework/trainer/starting_point.h>

#include <fmt/format.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/loops/resumed_settings.h>
#include <levin/framework/trainer/checkpoint_checks.h>
#include <levin/framework/trainer/checkpoint_path.h>
#include <levin/framework/trainer/warnings.h>

namespace levin {

std::optional<StartingPoint> read_starting_point(const std::string& ckpt_path,
                                                 const RunControl& run, Profiler* profiler) {
  if (ckpt_path.empty()) return {};
  const auto path = checkpoint_path(ckpt_path, run);
  const ProfilePart profiled(profiler, Part::files);
  return StartingPoint{path, load_checkpoint(path)};
}

void prepare_data(Strategy& strategy, DataModule& data, bool per_node) {
  const int64_t own = per_node ? strategy.local_rank() : strategy.ranks().rank();
  if (own == 0) data.prepare_data();
  strategy.ranks().barrier();
}

void set_up_data(Strategy& strategy, const Module& module, DataModule& data, Stage stage,
                 const Precision& precision, const std::optional<StartingPoint>& start,
                 bool prepares_per_node) {
  data.set_floating_type(precision.data_type());
  prepare_data(strategy, data, prepares_per_node);
  const bool learns_anew = stage == Stage::fit && !start;
  const auto source = start ? fmt::format("'{}'", start->path.string()) : std::string("the model");
  StateDict fitted;
  if (!learns_anew) {
    fitted = take_over_fitted_state(module, data, start ? &start->state : nullptr, source);
  }
  data.setup(stage);
  if (stage != Stage::predict) require_same_classes(fitted, data, source);
  for (const auto& note : data.take_notes()) {
    if (strategy.ranks().is_zero()) diagnostics::print(fmt::format("note: {}\n", note));
  }
}

void load_weights(Module& module, const StartingPoint& start, const HookList& hooks,
                  const Precision& precision, RunControl& run) {
  naming_checkpoint(start.path, [&] {
    hooks.call(&Hooks::on_load_checkpoint, start.state, run);
    prepare_like_checkpoint(module, start.state);
    precision.convert(module);
    require_same_types(module, start.state, precision);
    warn_about_other_settings(run, module, start.state, start.path);
    std::string note;
    const StateDict weights = weights_for(module, start.state, &note);
    const auto differences = module.load_state_dict(weights, module.strict_loading());
    warn_of_loose_loading(run, fmt::format("'{}'", start.path.string()), differences);
    if (!note.empty()) run.warn(fmt::format("'{}': {}", start.path.string(), note));
    module.set_data_state(fitted_state(start.state));
  });
}

}  // namespace levin
