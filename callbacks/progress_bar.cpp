#include <levin/callbacks/progress_bar.h>

#include <fmt/format.h>
#include <levin/framework/core/files.h>
#include <levin/framework/run/step.h>

#include <utility>

namespace levin {
namespace {

std::string epoch_label(const Progress& progress) {
  const bool has_end = progress.max_epochs && *progress.max_epochs > 0;
  return has_end ? fmt::format("Epoch {}/{}", progress.epoch, *progress.max_epochs - 1)
                 : fmt::format("Epoch {}", progress.epoch);
}

}  // namespace

ProgressBar::ProgressBar(ProgressBarOptions options)
    : ProgressBar(options, stderr, is_live_terminal(stderr)) {}

ProgressBar::ProgressBar(ProgressBarOptions options, std::FILE* out, bool live, int width)
    : options_(options), display_(options, out, live, width) {
  validate(options_);
}

void ProgressBar::setup(Stage, Run& run) {
  enabled_ = run.is_global_zero() && options_.refresh_rate > 0;
  display_.start_run();
}

void ProgressBar::on_train_start(Run& run) {
  training_ = true;
  if (enabled_) display_.begin(train_, epoch_label(run.progress()), run.progress().batch);
}

void ProgressBar::on_train_epoch_start(Run& run) {
  if (enabled_) display_.begin(train_, epoch_label(run.progress()), run.progress().batch);
}

void ProgressBar::on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) {
  if (enabled_) display_.advance(train_, step.batch_index() + 1, step.run());
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
  std::string label = sanity ? "Sanity check" : "Validation";
  if (training_) label = fmt::format("{} {}", train_.label, "validation");
  display_.begin(evaluation_, std::move(label), 0);
}

void ProgressBar::on_validation_batch_end(const Batch&, Step& step) { advance_evaluation(step); }

void ProgressBar::on_validation_end(Run& run) {
  if (!enabled_) return;
  if (training_) {
    const double paused = files::monotonic_seconds() - paused_at_;
    train_.start += paused;
    train_.drawn_at += paused;
    return;
  }
  if (!run.progress().sanity_checking()) end_evaluation(run);
}

void ProgressBar::on_test_start(Run&) {
  if (enabled_) display_.begin(evaluation_, "Test", 0);
}

void ProgressBar::on_test_batch_end(const Batch&, Step& step) { advance_evaluation(step); }

void ProgressBar::on_test_end(Run& run) { end_evaluation(run); }

void ProgressBar::on_predict_start(Run&) {
  if (enabled_) display_.begin(evaluation_, "Predict", 0);
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
  if (enabled_) display_.advance(evaluation_, step.run().progress().batch, step.run());
}

void ProgressBar::end_evaluation(Run& run) {
  if (!enabled_) return;
  display_.finish(evaluation_, run);
  display_.end_line();
}

}  // namespace levin
