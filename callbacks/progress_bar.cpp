#include <levin/callbacks/progress_bar.h>

#include <fmt/format.h>
#include <levin/framework/core/error.h>
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

Fields describe(ProgressBarOptions& o) {
  return fields_of<ProgressBarOptions>({
      {"refresh_rate", &o.refresh_rate,
       "batches after which an update may be due; 0: no progress bar"},
      {"refresh_interval", &o.refresh_interval, "on a terminal: least seconds between updates"},
      {"plain_interval", &o.plain_interval,
       "in a file: seconds between lines; 0: one line for each epoch"},
      {"leave", &o.leave, "on a terminal: keep the last line of each epoch"},
  });
}

ProgressBar::ProgressBar(ProgressBarOptions options)
    : ProgressBar(options, stderr, is_live_terminal(stderr)) {}

ProgressBar::ProgressBar(ProgressBarOptions options, std::FILE* out, bool live, int width)
    : options_(options), line_(out, live, width) {
  if (options_.refresh_rate < 0) {
    throw ConfigError::invalid_value("ProgressBar.refresh_rate",
                                     fmt::to_string(options_.refresh_rate), "must be at least 0");
  }
}

void ProgressBar::setup(Stage, Run& run) {
  enabled_ = run.is_global_zero() && options_.refresh_rate > 0;
  next_line_ = 0.0;
}

void ProgressBar::on_train_start(Run& run) {
  training_ = true;
  if (enabled_) begin(train_, epoch_label(run.progress()), run.progress().batch);
}

void ProgressBar::on_train_epoch_start(Run& run) {
  if (enabled_) begin(train_, epoch_label(run.progress()), run.progress().batch);
}

void ProgressBar::on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) {
  if (enabled_) advance(train_, step.batch_index() + 1, step.run());
}

void ProgressBar::on_train_epoch_end(Run& run) {
  if (!enabled_) return;
  write_line(train_, run, files::monotonic_seconds(), /*is_last=*/true);
  if (options_.leave) line_.end();
}

void ProgressBar::on_train_end(Run&) {
  training_ = false;
  line_.end();
}

void ProgressBar::on_validation_start(Run& run) {
  if (!enabled_) return;
  paused_at_ = files::monotonic_seconds();
  const bool sanity = run.progress().sanity_checking();
  std::string label = sanity ? "Sanity check" : "Validation";
  if (training_) label = fmt::format("{} {}", train_.label, "validation");
  begin(evaluation_, std::move(label), 0);
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
  if (enabled_) begin(evaluation_, "Test", 0);
}

void ProgressBar::on_test_batch_end(const Batch&, Step& step) { advance_evaluation(step); }

void ProgressBar::on_test_end(Run& run) { end_evaluation(run); }

void ProgressBar::on_predict_start(Run&) {
  if (enabled_) begin(evaluation_, "Predict", 0);
}

void ProgressBar::on_predict_batch_end(const NamedTensors&, const Batch&, Step& step) {
  advance_evaluation(step);
}

void ProgressBar::on_predict_end(Run& run) { end_evaluation(run); }

void ProgressBar::on_exception(const std::exception&, Run&) {
  training_ = false;
  line_.end();
}

void ProgressBar::begin(ProgressPass& pass, std::string label, int64_t done) {
  const double now = files::monotonic_seconds();
  const double rate = pass.label.empty() ? 0.0 : pass.rate;
  pass = ProgressPass{.label = std::move(label),
                      .first = done,
                      .done = done,
                      .start = now,
                      .rate = rate,
                      .drawn_at = now,
                      .drawn_done = done};
  batches_to_look_ = options_.refresh_rate;
  if (!line_.is_live() && next_line_ == 0.0) next_line_ = now + options_.plain_interval;
}

void ProgressBar::advance(ProgressPass& pass, int64_t done, Run& run) {
  pass.done = done;
  if (--batches_to_look_ > 0) return;
  batches_to_look_ = options_.refresh_rate;
  if (!line_.is_live() && options_.plain_interval <= 0.0) return;
  const double now = files::monotonic_seconds();
  if (now >= next_line_) write_line(pass, run, now, /*is_last=*/false);
}

void ProgressBar::advance_evaluation(Step& step) {
  if (enabled_) advance(evaluation_, step.run().progress().batch, step.run());
}

void ProgressBar::end_evaluation(Run& run) {
  if (!enabled_) return;
  write_line(evaluation_, run, files::monotonic_seconds(), /*is_last=*/true);
  line_.end();
}

void ProgressBar::write_line(ProgressPass& pass, Run& run, double now, bool is_last) {
  pass.update_rate(now);
  const int64_t total = run.progress().num_batches.value_or(0);
  line_.write(progress_line(pass, total, now, is_last, metrics(run), line_.columns()));
  next_line_ = now + (line_.is_live() ? options_.refresh_interval : options_.plain_interval);
}

std::string ProgressBar::metrics(Run& run) const {
  std::string text;
  if (run.stage() == Stage::predict) return text;
  for (const auto& [name, value] : run.progress_bar_metrics()) {
    text += fmt::format("{}{}={:.4g}", text.empty() ? " " : ", ", name, value);
  }
  return text;
}

}  // namespace levin
