#include <levin/callbacks/progress_bar.h>

#include <fmt/format.h>
#include <levin/framework/core/files.h>
#include <levin/framework/run/step.h>

namespace levin {
namespace {

std::string epoch_label(const Progress& progress) {
  const bool has_end = progress.max_epochs && *progress.max_epochs > 0;
  return has_end ? fmt::format("Epoch {}/{}", progress.epoch, *progress.max_epochs - 1)
                 : fmt::format("Epoch {}", progress.epoch);
}

}  // namespace

ProgressBar::ProgressBar(ProgressBarOptions options)
    : ProgressBar(options, stderr, terminal_of(stderr)) {}

ProgressBar::ProgressBar(ProgressBarOptions options, std::FILE* out, const Terminal& terminal)
    : options_(options), display_(options, out, terminal) {
  validate(options_);
}

void ProgressBar::setup(Stage, Run& run) {
  enabled_ = run.is_global_zero() && options_.refresh_rate > 0;
  display_.start_run();
}

void ProgressBar::on_train_start(Run& run) {
  training_ = true;
  const Progress& progress = run.progress();
  if (enabled_) display_.begin(train_, epoch_label(progress), progress, progress.batch);
}

void ProgressBar::on_train_epoch_start(Run& run) {
  const Progress& progress = run.progress();
  if (enabled_) display_.begin(train_, epoch_label(progress), progress, progress.batch);
}

void ProgressBar::on_train_batch_end(const torch::Tensor& loss, const Batch&, Step& step) {
  if (!enabled_ || !display_.advance(train_, step.batch_index() + 1)) return;
  if (display_.is_live() && loss.defined()) display_.add_loss(loss.item<double>());
  display_.write(train_, step.run());
}

void ProgressBar::on_train_epoch_end(Run& run) {
  if (!enabled_) return;
  display_.finish(train_, run);
  if (options_.leave) display_.end_line();
}

void ProgressBar::on_train_end(Run&) {
  training_ = false;
  display_.end_line();
}

void ProgressBar::on_validation_start(Run& run) {
  if (!enabled_) return;
  paused_at_ = files::monotonic_seconds();
  const bool sanity = run.progress().sanity_checking();
  if (!training_) {
    return display_.begin(evaluation_, sanity ? "Sanity check" : "Validation", run.progress());
  }
  display_.nest_below(&train_, paused_at_);
  const auto plain = fmt::format("{} validation", train_.label);
  display_.begin(evaluation_, display_.is_live() ? "  Validation" : plain, run.progress());
}

void ProgressBar::on_validation_batch_end(const Batch&, Step& step) { advance_evaluation(step); }

void ProgressBar::on_validation_end(Run& run) {
  if (!enabled_) return;
  if (training_) {
    const double paused = files::monotonic_seconds() - paused_at_;
    train_.start += paused;
    train_.drawn_at += paused;
    display_.nest_below(nullptr);
    return;
  }
  if (!run.progress().sanity_checking()) end_evaluation(run);
}

void ProgressBar::on_test_start(Run& run) {
  if (enabled_) display_.begin(evaluation_, "Test", run.progress());
}

void ProgressBar::on_test_batch_end(const Batch&, Step& step) { advance_evaluation(step); }

void ProgressBar::on_test_end(Run& run) { end_evaluation(run); }

void ProgressBar::on_predict_start(Run& run) {
  if (enabled_) display_.begin(evaluation_, "Predict", run.progress());
}

void ProgressBar::on_predict_batch_end(const NamedTensors&, const Batch&, Step& step) {
  advance_evaluation(step);
}

void ProgressBar::on_predict_end(Run& run) { end_evaluation(run); }

void ProgressBar::on_exception(const std::exception&, Run&) {
  training_ = false;
  display_.end_line();
}

void ProgressBar::advance_evaluation(Step& step) {
  if (!enabled_ || !display_.advance(evaluation_, step.run().progress().batch)) return;
  display_.write(evaluation_, step.run());
}

void ProgressBar::end_evaluation(Run& run) {
  if (!enabled_) return;
  display_.finish(evaluation_, run);
  display_.end_line();
}

}  // namespace levin
