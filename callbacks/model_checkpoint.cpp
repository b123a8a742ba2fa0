#include <levin/callbacks/model_checkpoint.h>

#include <fmt/format.h>
#include <levin/callbacks/checkpoint_folder.h>
#include <levin/framework/run/step.h>

#include <cmath>
#include <utility>

namespace levin {

ModelCheckpoint::ModelCheckpoint(ModelCheckpointOptions options)
    : options_(with_home_expanded(std::move(options))),
      schedule_(options_.every_n_train_steps, options_.train_time_interval,
                options_.every_n_epochs),
      files_(options_, state_key_of(options_)) {
  validate(options_);
  if (!options_.monitor.empty())
    monitor_.emplace("ModelCheckpoint", options_.monitor, options_.mode);
}

std::string ModelCheckpoint::state_key() const { return state_key_of(options_); }

StateDict ModelCheckpoint::state_dict() const {
  StateDict state;
  files_.save_to(state.values);
  state.values["waiting"] = waiting_;
  if (monitor_) monitor_->save_to(state.values);
  return state;
}

void ModelCheckpoint::load_state_dict(const StateDict& state) {
  files_.load_from(state.values);
  waiting_ = state.values.at("waiting").as_bool();
  if (monitor_) monitor_->load_from(state.values);
  resumed_ = true;
}

void ModelCheckpoint::on_fit_start(Run& run) {
  files_.begin(run, resumed_);
  if (!std::exchange(resumed_, false)) {
    waiting_ = false;
    if (monitor_) monitor_->reset();
  }
  fitting_ = true;
  if (monitor_) monitor_->on_fit_start();
}

void ModelCheckpoint::on_train_start(Run& run) { schedule_.start(run); }

void ModelCheckpoint::on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) {
  Run& run = step.run();
  if (!schedule_.is_within_epochs() || !schedule_.is_due_after_step(run, state_key())) return;
  if (!monitor_ ||
      (monitor_->agreed_value(run) && monitor_->source() == Monitor::Source::training)) {
    waiting_ = monitor_ && options_.save_top_k != 0;  // in case the step has logged no value
    save(run);
  } else {
    waiting_ = options_.save_top_k != 0;
    files_.save_last(run);
  }
}

void ModelCheckpoint::on_validation_start(Run& run) {
  if (fitting_ && monitor_) monitor_->on_validation_start(run);
}

void ModelCheckpoint::on_validation_end(Run& run) {
  if (!fitting_) return;
  if (monitor_) monitor_->on_validation_end(run);
  if (run.progress().sanity_checking()) return;
  const bool is_new = monitor_ && monitor_->source() == Monitor::Source::validation;
  const bool here = options_.save_on_train_epoch_end ? !*options_.save_on_train_epoch_end : is_new;
  if ((here && schedule_.is_due_after_epoch(run.epoch())) || (is_new && waiting_)) save(run);
}

void ModelCheckpoint::on_train_epoch_end(Run& run) {
  if (monitor_) monitor_->on_train_epoch_end(run);
  const bool is_new = !monitor_ || monitor_->source() == Monitor::Source::training;
  const bool here = options_.save_on_train_epoch_end.value_or(is_new);
  if ((here && schedule_.is_due_after_epoch(run.epoch())) || (is_new && waiting_)) save(run);
}

void ModelCheckpoint::on_train_end(Run& run) {
  fitting_ = false;
  if (monitor_) monitor_->on_train_end(run);
  const bool never_saved = !files_.has_last() && run.global_step() > 0;
  if (never_saved && !run.history().interrupted) files_.save_last(run);
}

void ModelCheckpoint::on_fit_end(Run& run) {
  if (run.is_global_zero() && is_gone(best_model_path())) {
    run.warn(
        fmt::format("the best checkpoint, {}, is no longer there", best_model_path().string()));
  }
}

void ModelCheckpoint::on_exception(const std::exception& error, Run& run) {
  const bool was_fitting = std::exchange(fitting_, false);
  if (!was_fitting || !options_.save_on_exception || run.global_step() == 0) return;
  files_.save_exception(run, error);
}

void ModelCheckpoint::save(Run& run) {
  waiting_ = !save_top(run) && waiting_;
  files_.save_last(run);
}

bool ModelCheckpoint::save_top(Run& run) {
  if (files_.has_top_of(run)) return true;
  const auto value = monitor_ ? monitor_->new_value(run) : 0.0;
  if (value) files_.save_top(run, std::isnan(*value) ? monitor_->worst() : *value);
  return value.has_value();
}

}  // namespace levin
