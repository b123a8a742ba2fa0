#include <levin/framework/loops/validation.h>

#include <algorithm>

#include <c10/core/GradMode.h>

#include <levin/framework/logged/missing_monitor.h>
#include <levin/framework/tensor/random.h>

namespace levin {

Validation::Validation(LoopParts parts, DataLoaders loaders, Schedules& schedules,
                       std::optional<int64_t> num_batches)
    : parts_(parts),
      schedules_(schedules),
      loop_(parts, std::move(loaders), "limit_val_batches", parts.options.limit_val_batches),
      schedule_(parts.options, num_batches),
      clock_(parts.options, parts.strategy.ranks()) {}

void Validation::set_loaders(DataLoaders loaders, std::optional<int64_t> num_batches) {
  schedule_ = ValidationSchedule(parts_.options, num_batches);
  loop_.set_loaders(std::move(loaders));
}

void Validation::check_sanity() {
  const int64_t steps = parts_.options.num_sanity_val_steps;
  if (steps == 0 || !has_batches()) return;
  RunControl& run = parts_.run;
  const StateDict random = random_state().clone();
  parts_.hooks.call(&Hooks::on_sanity_check_start, run);
  {
    const ProfilePart profiled(parts_.profiler, Part::validation);
    const at::NoGradGuard no_grad;
    loop_.run(Stage::sanity_check, steps < 0 ? std::nullopt : std::optional(steps));
  }
  for (const auto& monitor : schedules_.monitors()) {
    const auto warning = missing_monitor(Schedules::kWho, monitor, run.metrics());
    if (!warning.empty()) run.warn(warning, monitor_fact(Schedules::kWho, monitor));
  }
  parts_.hooks.call(&Hooks::on_sanity_check_end, run);
  run.forget_metrics();
  run.requests() = {};
  load_random_state(random);
}

bool Validation::is_due(bool is_last, bool at_boundary) {
  const Progress& progress = parts_.run.progress();
  if (clock_.is_used()) {
    return at_boundary && has_batches() && clock_.is_due(schedule_.is_allowed(progress.epoch));
  }
  return schedule_.is_due(progress.epoch, progress.batch, total_batches_, is_last);
}

void Validation::save_to(Value& values) const {
  values["total_batches"] = total_batches_;
  if (const auto seconds = clock_.seconds()) values["seconds_since_validation"] = *seconds;
}

void Validation::load_from(const Value& values) {
  total_batches_ = values.at("total_batches").as_int();
  if (!values.contains("seconds_since_validation")) return;
  clock_.set_seconds_before(values.at("seconds_since_validation").as_double());
}

int64_t Validation::batches_until_due(int64_t most) const {
  if (!has_batches()) return most;
  if (clock_.is_used()) return std::min<int64_t>(1, most);
  const Progress& progress = parts_.run.progress();
  for (int64_t count = 1; count < most; ++count) {
    if (schedule_.is_due(progress.epoch, progress.batch + count, total_batches_ + count, false)) {
      return count;
    }
  }
  return most;
}

void Validation::run() {
  if (!has_batches()) return;
  const ProfilePart profiled(parts_.profiler, Part::validation);
  parts_.run.keep_step_values();
  {
    const at::NoGradGuard no_grad;
    schedules_.note_validation(loop_.run(Stage::validate));
  }
  has_run_ = true;
  clock_.restart();
}

}  // namespace levin
