#include <levin/callbacks/progress_display.h>

#include <fmt/format.h>
#include <levin/framework/core/files.h>
#include <levin/framework/run/run.h>

#include <utility>

namespace levin {
namespace {

/// The metrics that were logged with `prog_bar`, as in " train_loss=0.432, val_acc=0.93". May wait
/// for a device. Empty in predict.
std::string progress_bar_text(Run& run) {
  std::string text;
  if (run.stage() == Stage::predict) return text;
  for (const auto& [name, value] : run.progress_bar_metrics()) {
    text += fmt::format("{}{}={:.4g}", text.empty() ? " " : ", ", name, value);
  }
  return text;
}

}  // namespace

ProgressDisplay::ProgressDisplay(const ProgressBarOptions& options, std::FILE* out, bool live,
                                 int width)
    : options_(options), line_(out, live, width) {}

void ProgressDisplay::begin(ProgressPass& pass, std::string label, int64_t done) {
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

void ProgressDisplay::advance(ProgressPass& pass, int64_t done, Run& run) {
  pass.done = done;
  if (--batches_to_look_ > 0) return;
  batches_to_look_ = options_.refresh_rate;
  if (!line_.is_live() && options_.plain_interval <= 0.0) return;
  const double now = files::monotonic_seconds();
  if (now >= next_line_) write(pass, run, now, /*is_last=*/false);
}

void ProgressDisplay::finish(ProgressPass& pass, Run& run) {
  write(pass, run, files::monotonic_seconds(), /*is_last=*/true);
}

void ProgressDisplay::write(ProgressPass& pass, Run& run, double now, bool is_last) {
  pass.update_rate(now);
  const int64_t total = run.progress().num_batches.value_or(0);
  line_.write(progress_line(pass, total, now, is_last, progress_bar_text(run), line_.columns()));
  next_line_ = now + (line_.is_live() ? options_.refresh_interval : options_.plain_interval);
}

}  // namespace levin
