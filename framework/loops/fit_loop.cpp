#include <levin/framework/loops/fit_loop.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/logged/missing_monitor.h>
#include <levin/framework/loops/input_scales.h>
#include <levin/framework/loops/reporting.h>
#include <levin/framework/loops/stop_signal.h>
#include <levin/framework/loops/training_pass.h>

namespace levin {
FitLoop::FitLoop(LoopParts parts, const DataLoaders& train, DataLoaders val, Optimizers& optimizers)
    : parts_(parts),
      schedules_(optimizers),
      solver_fit_(make_solver_fit(parts, train, optimizers)),
      num_batches_(solver_fit_ ? 1 : num_training_batches(parts, train)),
      data_(train, parts.strategy.rank_share(), num_batches_),
      validation_(parts, std::move(val), schedules_, num_batches_),
      training_step_(parts, optimizers, &schedules_),
      step_(parts.run, metrics_, /*on_step=*/true),
      captured_step_(parts, optimizers, data_, training_step_, metrics_, step_),
      stopping_(parts.options, parts.strategy.ranks(), parts.run),
      loss_watch_(parts, optimizers),
      step_rows_(parts, loss_watch_),
      threads_(parts, optimizers, train, num_batches_),
      state_(parts, {.optimizers = optimizers,
                     .schedules = schedules_,
                     .metrics = metrics_,
                     .data = data_,
                     .training_step = training_step_,
                     .validation = validation_,
                     .stopping = stopping_,
                     .threads = threads_,
                     .solver_fit = solver_fit_.get()}),
      checkpointer_(parts, state_) {
  Progress& progress = parts_.run.progress();
  progress = Progress{.stage = Stage::fit, .num_batches = num_batches_};
  progress.has_validation = validation_.has_batches();
  progress.accumulate = parts_.options.accumulate_grad_batches;
  stopping_.set_limits(progress);
  step_.set_gradient_norm(&training_step_.gradient_norm());
  schedules_.set_stepper([this](ScheduleStep& step) { parts_.module.lr_scheduler_step(step); });
  if (solver_fit_) {
    solver_fit_->on_first_batch([this](const Batch& batch) { state_.note_input(batch); });
  }
}

void FitLoop::run() {
  const StopSignal signal;
  stopping_.start_clock();
  validation_.start_clock();
  RunControl& run = parts_.run;
  if (!solver_fit_) warn_of_short_epochs(parts_, num_batches_);
  warn_of_evaluation_mode(parts_);
  threads_.choose();
  if (!state_.is_resumed()) validation_.check_sanity();
  schedules_.apply();
  state_.restore_random();
  parts_.hooks.call(&Hooks::on_train_start, run);
  act_on_requests(/*in_step=*/false);
  const int64_t steps_before = run.global_step();
  while (!stopping_.is_done()) run_epoch();
  training_step_.complete_parameters();
  warn_about_the_fit(steps_before);
  call_on_train_end(parts_, solver_fit_ ? nullptr : &data_);
  act_on_requests(/*in_step=*/false);
  checkpointer_.wait();
  run.history().stop_reason = stopping_.reason();
  state_.keep_random();
}

/// Says what would otherwise be noticed late or never, once training is over.
void FitLoop::warn_about_the_fit(int64_t steps_before) {
  RunControl& run = parts_.run;
  const bool goes_no_further = state_.is_resumed() && !has_read_;
  if (goes_no_further && run.progress().num_batches != 0) {
    warn_that_nothing_was_trained(parts_, stopping_.reason(), stopping_.is_requested());
  }
  if (run.history().interrupted || run.history().epochs.empty()) return;
  if (!goes_no_further && run.global_step() == steps_before) {
    run.warn(
        "this fit made no optimizer step: there were no batches, or all were skipped, because "
        "training_step returned an undefined loss or a hook called Step::skip_epoch");
  }
  for (const auto& monitor : schedules_.monitors(/*never_seen=*/true)) {
    run.warn(unused_monitor(Schedules::kWho, monitor), monitor_fact(Schedules::kWho, monitor));
  }
  warn_of_lost_values(parts_, metrics_);
  if (solver_fit_) solver_fit_->warn_unless_converged();
}

void FitLoop::run_epoch() {
  RunControl& run = parts_.run;
  parts_.module.set_trained();
  if (!solver_fit_) {
    reload_loaders();
    data_.leave_rows_in_place(training_step_.reads_rows_in_place());
    data_.seek(run.epoch(), run.progress().batch);
  }
  training_step_.drop_window();
  captured_step_.begin_epoch();
  epoch_complete_ = validation_due_ = false;
  epoch_sent_ = parts_.strategy.sent_bytes();
  epoch_steps_ = run.global_step();
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
  while (train_next(batch)) {
    has_read_ = true;
    if (step_.skips_epoch()) break;
    at_boundary_ = training_step_.window_batches() == 0;
    const bool is_last = at_end();
    validation_due_ = validation_.is_due(is_last, at_boundary_) || validation_due_;
    const bool validates = validation_due_ && at_boundary_;
    if (validates) validate();
    if (stepped_) {
      const bool complete = !parts_.run.history().epochs.empty() && validation_.has_logged();
      observe_metrics(parts_, schedules_, Interval::step, complete);
    }
    if (!at_boundary_) continue;
    act_on_requests(/*in_step=*/!validates);
    if (stopping_.notice_interrupt()) {
      step_rows_.write_all();
      checkpointer_.save_interrupted();
    }
    if (is_last) break;
    if (stopping_.is_done()) return cut_epoch_short(validates);
  }
  if (validation_due_) validate();
  epoch_complete_ = true;
}

void FitLoop::validate() {
  validation_due_ = false;
  step_rows_.write_all();
  training_step_.complete_parameters();
  validation_.run();
}

/// Ends training within an epoch. If a callback asked for the stop, a last validation follows, and
/// the epoch's end follows in any case. Neither would happen at this point in a run that is resumed
/// from here, so later checkpoints hold the state as it is before them.
void FitLoop::cut_epoch_short(bool has_validated) {
  step_rows_.write_all();
  if (parts_.run.history().interrupted) return;
  state_.freeze();  // this brings the parameters up to date, too
  if (stopping_.is_requested() && !has_validated) validation_.run();
}

/// Trains on what comes next: a batch, or several that are captured, or all rows if the optimizer
/// is a solver. Returns false at the end of the epoch.
bool FitLoop::train_next(Batch& batch) {
  if (solver_fit_) return iterate_solver();
  if (const int64_t steps = captured_step_.next(quiet_steps())) {
    train_captured(steps);
  } else if (next_batch(batch)) {
    train_batch(batch);
  } else {
    return false;
  }
  return true;
}

bool FitLoop::iterate_solver() {
  if (at_end()) return false;
  at_boundary_ = false;
  metrics_.begin_window();
  metrics_.begin_batch(1, 0, 1);
  step_.begin(0, 0);
  stepped_ = threads_.watch([&] {
    const ProfilePart profiled(parts_.profiler, Part::optimizer);
    solver_fit_->iterate(step_);
    return true;
  });
  count_batch();
  schedules_.advance(Interval::epoch);
  log_step();
  return true;
}

bool FitLoop::next_batch(Batch& batch) {
  const ProfilePart profiled(parts_.profiler, Part::data);
  return data_.next(batch);
}

/// Whether the epoch has no further batch. If the data's length isn't known, this reads a batch
/// ahead.
bool FitLoop::at_end() {
  if (solver_fit_) return parts_.run.progress().batch > 0;
  const ProfilePart profiled(num_batches_ ? nullptr : parts_.profiler, Part::data);
  return data_.at_end();
}

void FitLoop::train_batch(Batch& batch) {
  captured_step_.note_converted(transfer(parts_, batch));
  if (!has_placed_data_) keep_data_on_device();
  if (!state_.knows_input()) note_first_batch(batch);
  if (!begin_batch(batch)) return;
  const bool is_last = at_end();
  const bool window_ends =
      is_last || training_step_.window_batches() + 1 >= parts_.run.progress().accumulate;
  if (captured_step_.takes(batch)) {
    run_captured(captured_step_.batch(), is_last);
    return;
  }
  stepped_ = threads_.watch(
      [&] { return training_step_.run(batch, step_, data_.global_rows(), window_ends); });
  captured_step_.note_eager_step(stepped_);
  loss_ = training_step_.loss();
  end_batch(batch, is_last);
}

/// Trains on the batches that the captured steps make themselves.
void FitLoop::train_captured(int64_t steps) {
  const Batch& batch = captured_step_.batch();
  const int64_t window = parts_.run.progress().accumulate;
  if (steps == 1 && window == 1) {
    if (begin_batch(batch)) run_captured(batch, at_end());
    return;
  }
  at_boundary_ = false;
  const int64_t counted_steps = captured_step_.run(steps);
  loss_ = captured_step_.loss();
  for (int64_t i = 0; i < steps * window; ++i) {
    const bool window_ends = (i + 1) % window == 0;
    stepped_ = window_ends && i / window < counted_steps;
    if (i % window == 0) metrics_.begin_window();
    metrics_.begin_batch(batch.rows(), 0, 1);
    if (window_ends) metrics_.repeat_recorded();
    count_batch();
    validation_due_ =
        validation_due_ || validation_.is_due(/*is_last=*/false, /*at_boundary=*/false);
  }
  if (at_end()) schedules_.advance(Interval::epoch);
  if (counted_steps > 0) log_step();
}

/// How many of the next steps ask nothing of the host before they are done, but at least 1: no row,
/// validation, limit or schedule. 0 if hooks get each batch.
int64_t FitLoop::quiet_steps() const {
  if (hooks_see_batches(parts_)) return 0;
  if (schedules_.acts(Interval::step) || stopping_.is_watching() || !num_batches_) return 1;
  const Progress& progress = parts_.run.progress();
  const int64_t window = progress.accumulate;
  int64_t most = std::min(CapturedStep::kMany, (*num_batches_ - progress.batch - 1) / window);
  const int64_t every = parts_.options.log_every_n_steps;
  if (every > 0 && !parts_.loggers.empty()) {
    most = std::min(most, every - progress.global_step % every);
  }
  if (parts_.options.max_steps >= 0) {
    most = std::min(most, parts_.options.max_steps - progress.global_step);
  }
  // A validation that comes due within a window waits for its end.
  const int64_t batches = validation_.batches_until_due(most * window);
  return std::max<int64_t>(1, std::min(most, (batches + window - 1) / window));
}

void FitLoop::run_captured(const Batch& batch, bool is_last) {
  stepped_ = captured_step_.run(1) == 1;
  metrics_.repeat_recorded();
  loss_ = captured_step_.loss();
  captured_step_.lend();
  end_batch(batch, is_last);
  captured_step_.check_kept();
}

/// Returns false if a hook has ended the epoch.
bool FitLoop::begin_batch(const Batch& batch) {
  at_boundary_ = stepped_ = false;
  training_step_.own_parameters();
  if (training_step_.window_batches() == 0) metrics_.begin_window();
  metrics_.begin_batch(batch.rows(), 0, 1);
  step_.begin(parts_.run.progress().batch, batch.loader_index());
  parts_.hooks.call_batch(BatchHook::train_batch_start, &Hooks::on_train_batch_start, batch, step_);
  return !step_.skips_epoch();
}

void FitLoop::count_batch() {
  Progress& progress = parts_.run.progress();
  ++progress.batch;
  validation_.count_batch();
  if (!stepped_ || training_step_.is_manual()) {
    progress.skipped_steps = training_step_.skipped_steps();
    return;
  }
  ++progress.global_step;
  schedules_.advance(Interval::step);
}

void FitLoop::end_batch(const Batch& batch, bool is_last) {
  count_batch();
  if (is_last) schedules_.advance(Interval::epoch);
  parts_.hooks.call_batch(BatchHook::train_batch_end, &Hooks::on_train_batch_end, loss_, batch,
                          step_);
  if (stepped_) log_step();
}

/// Copies the training data to a GPU as a whole, where the option data_on_device says so. Called
/// after the first batch was moved there, when it is known whether hooks change batches before
/// that.
void FitLoop::keep_data_on_device() {
  has_placed_data_ = true;
  const auto room = room_for_data(parts_);
  if (!room || data_.reside(parts_.strategy.device(), *room)) return;
  if (parts_.options.data_on_device != "on") return;
  throw ConfigError::conflict(
      "data_on_device = on, but the training data aren't dense tensors in memory, or have a "
      "transform",
      "set data_on_device to auto or off");
}

void FitLoop::note_first_batch(const Batch& batch) {
  state_.note_input(batch);
  if (!state_.knows_input() || !parts_.run.is_global_zero()) return;
  const auto warning = uneven_scales(batch.input_rows());
  if (!warning.empty()) parts_.run.warn(warning);
}

void FitLoop::log_step() {
  const int64_t every = parts_.options.log_every_n_steps;
  const int64_t steps = parts_.run.global_step();
  const bool is_due = every > 0 && steps % every < training_step_.steps();
  const bool has_row = is_due && !parts_.loggers.empty();
  const bool is_first = loss_watch_.has_seen_none();
  if (has_row) {
    step_rows_.add(metrics_, loss_, steps - 1);
  } else if (is_due || is_first) {
    loss_watch_.look(loss_, is_first);
  }
  step_rows_.write_ready();
}

/// Logs the bytes that a rank has sent for each of the epoch's steps, if there are other ranks, and
/// by how many steps ranks were behind each other at most, if they don't go in step.
void FitLoop::log_sent_bytes() {
  const int64_t steps = parts_.run.global_step() - epoch_steps_;
  if (solver_fit_ || steps == 0 || parts_.run.ranks().size() == 1) return;
  const int64_t bytes = parts_.strategy.sent_bytes() - epoch_sent_;
  parts_.run.log("comm_bytes", static_cast<double>(bytes) / static_cast<double>(steps));
  const auto staleness = parts_.strategy.take_staleness();
  if (!staleness) return;
  parts_.run.log("staleness", static_cast<double>(*staleness), {.reduce = Reduce::max});
}

void FitLoop::end_epoch() {
  RunControl& run = parts_.run;
  step_rows_.write_all();
  training_step_.complete_parameters();
  {
    const LoggingScope logging(run, &metrics_);
    log_sent_bytes();
    training_step_.log_late_steps();
    if (auto* scaler = training_step_.scaler()) log_scale(parts_, *scaler);
    parts_.hooks.call_before_monitors(&Hooks::on_train_epoch_end, run);
    run.keep_step_values();
    publish_epoch_values(parts_, metrics_);
    metrics_.forget_step_values();  // otherwise Run::metrics would put them over the epoch's values
    run.history().epochs.push_back({run.epoch(), run.global_step(), run.metrics_of_epoch()});
    parts_.hooks.call_monitors(&Hooks::on_train_epoch_end, run);
    observe_metrics(parts_, schedules_, Interval::epoch, validation_.has_logged());
    loss_watch_.look(loss_, /*may_wait=*/true);
    log_epoch_values(parts_, metrics_);
  }
  if (epoch_complete_) {
    ++run.progress().epoch;
    run.progress().batch = 0;
  }
  act_on_requests(/*in_step=*/false);
}

/// Acts on what callbacks and the module have asked for. For `in_step`, see Stopping::judge.
void FitLoop::act_on_requests(bool in_step) {
  if (parts_.run.requests().empty()) {
    checkpointer_.save({});  // notices what was written in the background
  } else {
    act_on(std::exchange(parts_.run.requests(), {}));
  }
  stopping_.judge(in_step);
}

}  // namespace levin
