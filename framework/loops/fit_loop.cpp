#include <levin/framework/loops/fit_loop.h>

#include <algorithm>

#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/sharded_checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/loops/limits.h>
#include <levin/framework/loops/stop_signal.h>
#include <levin/framework/tensor/random.h>

namespace levin {
namespace {

std::optional<int64_t> batches_an_epoch(const LoopParts& parts, const DataLoaders& train) {
  const auto batches = limited("limit_train_batches", parts.options.limit_train_batches,
                               TrainingData::size(train, parts.strategy.rank_share()));
  if (batches == 0 && !is_off(parts.options.limit_train_batches)) {
    throw DataError::empty("the training loader",
                           "drop_last leaves no full batch: lower batch_size");
  }
  return batches;
}

}  // namespace

FitLoop::FitLoop(LoopParts parts, const DataLoaders& train, DataLoaders val, Optimizers& optimizers)
    : parts_(parts),
      optimizers_(optimizers),
      schedules_(optimizers),
      train_(train),
      num_batches_(batches_an_epoch(parts, train)),
      data_(train, parts.strategy.rank_share(), num_batches_),
      validation_(parts, std::move(val), "limit_val_batches", parts.options.limit_val_batches),
      validation_schedule_(parts.options, num_batches_),
      training_step_(parts, optimizers),
      step_(parts.run, metrics_, /*on_step=*/true) {
  const auto& options = parts_.options;
  Progress& progress = parts_.run.progress();
  progress = Progress{.stage = Stage::fit, .num_batches = num_batches_};
  progress.has_validation = validation_.has_batches();
  progress.max_epochs = options.max_epochs;
  if (options.max_steps >= 0) progress.max_steps = options.max_steps;
  if (!options.max_epochs && options.max_steps < 0 && options.max_time.empty()) {
    progress.max_epochs = 1000;
  }
  if (progress.max_epochs == -1) progress.max_epochs.reset();
  progress.accumulate = options.accumulate_grad_batches;
  if (!options.max_time.empty()) time_limit_ = parse_duration("max_time", options.max_time);
}

void FitLoop::run() {
  const StopSignal signal;
  started_ = files::monotonic_seconds();
  RunControl& run = parts_.run;
  parts_.module.train();
  choose_threads();
  if (!resumed_) check_sanity();
  schedules_.apply();
  if (resumed_) load_random_state(random_to_restore_);  // after everything else that might draw
  parts_.hooks.call(&Hooks::on_train_start, run);
  act_on_requests(/*in_step=*/false);
  while (!is_done()) run_epoch();
  parts_.hooks.call(&Hooks::on_train_end, run);
  act_on_requests(/*in_step=*/false);
  run.history().stop_reason = stop_reason_;
  random_at_end_ = random_state().clone();
}

void FitLoop::check_sanity() {
  const int64_t steps = parts_.options.num_sanity_val_steps;
  if (steps == 0 || !validation_.has_batches()) return;
  RunControl& run = parts_.run;
  const StateDict random = random_state().clone();
  parts_.hooks.call(&Hooks::on_sanity_check_start, run);
  {
    const ProfilePart profiled(parts_.profiler, Part::validation);
    const at::NoGradGuard no_grad;
    validation_.run(Stage::sanity_check, steps < 0 ? std::nullopt : std::optional(steps));
  }
  parts_.hooks.call(&Hooks::on_sanity_check_end, run);
  run.known_metrics().clear();
  run.known_progress_bar().clear();
  run.requests() = {};
  load_random_state(random);
}

bool FitLoop::may_stop() const {
  const Progress& progress = parts_.run.progress();
  return progress.epoch >= parts_.options.min_epochs.value_or(0) &&
         progress.global_step >= parts_.options.min_steps.value_or(0);
}

bool FitLoop::is_done() {
  const Progress& progress = parts_.run.progress();
  const auto reached = [](std::optional<int64_t> limit, int64_t value) {
    return limit && value >= *limit;
  };
  const auto ends = [this](const char* reason) {
    stop_reason_ = reason;
    return true;
  };
  if (parts_.run.history().interrupted) return ends("interrupted");
  if (num_batches_ == 0) return ends("limit_train_batches");
  if (reached(progress.max_steps, progress.global_step)) return ends("max_steps");
  if (reached(progress.max_epochs, progress.epoch)) {
    return stop_reason_.empty() ? ends("max_epochs") : true;
  }
  if (stop_reason_.empty() && time_limit_ > 0.0 &&
      parts_.strategy.ranks().any_after_step("FitLoop/max_time",
                                             elapsed_seconds() >= time_limit_)) {
    stop_reason_ = "max_time";
  }
  return !stop_reason_.empty() && may_stop();
}

void FitLoop::run_epoch() {
  RunControl& run = parts_.run;
  data_.seek(run.epoch(), run.progress().batch);
  training_step_.drop_window();
  epoch_complete_ = false;
  if (run.progress().batch == 0) {
    metrics_.begin_epoch();
    const LoggingScope logging(run, &metrics_);
    parts_.hooks.call(&Hooks::on_train_epoch_start, run);
  }
  run_batches();
  if (!run.history().interrupted) end_epoch();
}

void FitLoop::run_batches() {
  const LoggingScope logging(parts_.run, &metrics_);
  Batch batch;
  while (next_batch(batch)) {
    train_batch(batch);
    if (step_.skips_epoch()) break;
    at_boundary_ = training_step_.window_batches() == 0;
    const bool is_due = validation_schedule_.is_due(parts_.run.epoch(), parts_.run.progress().batch,
                                                    total_batches_, at_end());
    if (is_due) validate();
    if (training_step_.window_batches() > 0) continue;  // not a step boundary
    act_on_requests(/*in_step=*/!is_due);
    if (parts_.strategy.ranks().any_after_step("FitLoop/interrupt", StopSignal::received())) {
      handle_interrupt();
    }
    if (at_end()) break;
    if (!is_done()) continue;
    // What follows wouldn't have happened here in a run that goes on, so checkpoints don't know of
    // it: the last validation that whoever asked for the stop gets, the end of an epoch cut short.
    if (!parts_.run.history().interrupted) boundary_ = state(/*weights_only=*/false);
    if (stop_requested_ && !is_due && !parts_.run.history().interrupted) validate();
    return;
  }
  epoch_complete_ = true;
}

bool FitLoop::next_batch(Batch& batch) {
  const ProfilePart profiled(parts_.profiler, Part::data);
  return data_.next(batch);
}

/// Data of unknown length are read one batch ahead for it.
bool FitLoop::at_end() {
  const ProfilePart profiled(num_batches_ ? nullptr : parts_.profiler, Part::data);
  return data_.at_end();
}

void FitLoop::train_batch(Batch& batch) {
  Progress& progress = parts_.run.progress();
  at_boundary_ = false;
  transfer(parts_, batch);
  if (training_step_.window_batches() == 0) metrics_.begin_window();
  metrics_.begin_batch(batch.rows(), 0, 1);
  step_.begin(progress.batch, batch.loader_index());
  parts_.hooks.call_batch(BatchHook::train_batch_start, &Hooks::on_train_batch_start, batch, step_);
  if (step_.skips_epoch()) return;

  const bool is_last = at_end();
  const bool window_ends = is_last || training_step_.window_batches() + 1 >= progress.accumulate;
  const bool stepped = crowd_.is_watching()
                           ? run_watched(batch, window_ends)
                           : training_step_.run(batch, step_, data_.global_rows(), window_ends);
  ++progress.batch;
  ++total_batches_;
  if (stepped) {
    ++progress.global_step;
    schedules_.advance(Interval::step);
  }
  if (is_last) schedules_.advance(Interval::epoch);
  parts_.hooks.call_batch(BatchHook::train_batch_end, &Hooks::on_train_batch_end,
                          training_step_.loss(), batch, step_);
  if (stepped) log_step();
}

void FitLoop::log_step() {
  const int64_t every = parts_.options.log_every_n_steps;
  const int64_t steps = parts_.run.global_step();
  if (every == 0 || steps % every != 0 || parts_.loggers.empty()) return;
  log_step_values(parts_, metrics_.step_values(LoggedValues::For::logger), steps - 1);
}

void FitLoop::validate() {
  if (!validation_.has_batches()) return;
  const ProfilePart profiled(parts_.profiler, Part::validation);
  parts_.run.metrics();  // keeps the step's values for hooks that run within the validation
  {
    const at::NoGradGuard no_grad;
    validation_.run(Stage::validate);
  }
  if (schedules_.watches(Interval::step)) {
    schedules_.observe(Interval::step, agreed_metrics());
  }
}

void FitLoop::end_epoch() {
  RunControl& run = parts_.run;
  {
    const LoggingScope logging(run, &metrics_);
    parts_.hooks.call_before_monitors(&Hooks::on_train_epoch_end, run);
    parts_.strategy.reduce(metrics_);
    run.metrics();
    for (auto& [name, value] : metrics_.epoch_values(LoggedValues::For::callbacks)) {
      run.known_metrics()[name] = value;
    }
    for (auto& [name, value] : metrics_.epoch_values(LoggedValues::For::progress_bar)) {
      run.known_progress_bar()[name] = value;
    }
    run.history().epochs.push_back({run.epoch(), run.global_step(), run.metrics()});
    parts_.hooks.call_monitors(&Hooks::on_train_epoch_end, run);
    if (schedules_.watches(Interval::epoch)) {
      schedules_.observe(Interval::epoch, agreed_metrics());
    }
    log_epoch_values(parts_, metrics_.epoch_values(LoggedValues::For::logger));
  }
  if (epoch_complete_) {
    ++run.progress().epoch;
    run.progress().batch = 0;
  }
  act_on_requests(/*in_step=*/false);
}

void FitLoop::act_on_requests(bool in_step) {
  RunControl& run = parts_.run;
  const Requests requests = run.requests().empty() ? Requests{} : std::exchange(run.requests(), {});
  if (requests.accumulate) {
    training_step_.check_accumulation(*requests.accumulate);
    run.progress().accumulate = *requests.accumulate;
  }
  for (const auto& request : requests.saves) save(request);
  if (requests.weights) parts_.module.load_state_dict(*requests.weights);
  if (stop_is_agreed(requests, in_step) && stop_reason_.empty()) {
    stop_reason_ = asked_to_stop_.empty() ? "another rank asked for it" : asked_to_stop_;
    stop_requested_ = true;
  }
}

/// Between steps ranks ask each other; after a step they know what was raised before it.
bool FitLoop::stop_is_agreed(const Requests& requests, bool in_step) {
  if (requests.stop && asked_to_stop_.empty()) asked_to_stop_ = *requests.stop;
  const bool raised = !asked_to_stop_.empty();
  Ranks& ranks = parts_.strategy.ranks();
  const bool agreed = ranks.any_after_step("FitLoop/stop", raised);
  return in_step ? agreed : ranks.any(raised || agreed);
}

/// Every rank has a part in the state, rank 0 writes it.
void FitLoop::save(const Requests::Save& request) {
  if (parts_.options.fast_dev_run.count > 0) return;
  const ProfilePart profiled(parts_.profiler, Part::files);
  for (Logger* logger : parts_.loggers) logger->flush();
  write(request, checkpoint(request.options.weights_only));
}

void FitLoop::write(const Requests::Save& request, const StateDict& state) {
  Strategy& strategy = parts_.strategy;
  if (strategy.is_sharded() && !request.options.weights_only) {
    save_sharded_checkpoint(request.path, state, strategy.ranks());
  } else if (strategy.ranks().is_zero()) {
    levin::save_checkpoint(request.path, state);
  }
  if (!strategy.ranks().is_zero()) return;
  if (!request.options.weights_only) parts_.run.saved(request.path);
  for (const auto& old : request.options.replaces) remove_checkpoint(old);
}

void FitLoop::save_checkpoint(const std::filesystem::path& path) {
  write({.path = path, .options = {}}, checkpoint(/*weights_only=*/false));
  parts_.strategy.ranks().barrier();
}

void FitLoop::save_after_exception(const std::exception& error) {
  alone_ = true;
  // Where the state is shared out, the others' parts can't be had any more.
  if (parts_.strategy.is_sharded() && parts_.strategy.ranks().size() > 1) return;
  const Requests requests = std::exchange(parts_.run.requests(), {});
  for (const auto& request : requests.saves) save(request);
  save_after_broken_contract(error);
}

/// A monitor of a name misspelt, say, costs no epoch.
void FitLoop::save_after_broken_contract(const std::exception& error) {
  RunControl& run = parts_.run;
  if (!at_boundary_ || dynamic_cast<const ModuleError*>(&error) == nullptr) return;
  if (parts_.options.fast_dev_run.count > 0 || !run.is_global_zero()) return;
  auto& epochs = run.history().epochs;  // going on ends the epoch once more
  if (!epochs.empty() && epochs.back().epoch == run.epoch()) epochs.pop_back();
  const auto path = run.log_dir() / "checkpoints" / "failed.ckpt";
  save({.path = path, .options = {}});
  run.set_last_checkpoint(path);
  fmt::print(stderr, "the state before the error was saved: {}\n", path.string());
}

void FitLoop::handle_interrupt() {
  RunControl& run = parts_.run;
  if (run.history().interrupted) return;
  run.history().interrupted = true;
  if (parts_.options.fast_dev_run.count > 0) return;
  const auto path = run.log_dir() / "checkpoints" / "interrupted.ckpt";
  save({.path = path, .options = {}});
  run.set_last_checkpoint(path);
}

double FitLoop::elapsed_seconds() const {
  return time_before_ + files::monotonic_seconds() - started_;
}

}  // namespace levin
