#include <levin/callbacks/progress_display.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/files.h>
#include <levin/framework/run/run.h>

namespace levin {
namespace {

/// The metrics that were logged with `prog_bar`, as "train_loss=0.432". May wait for a device.
/// Empty in predict.
std::vector<std::string> progress_bar_texts(Run& run) {
  std::vector<std::string> texts;
  if (run.stage() == Stage::predict) return texts;
  for (const auto& [name, value] : run.progress_bar_metrics()) {
    texts.push_back(fmt::format("{}={:.4g}", name, value));
  }
  return texts;
}

}  // namespace

ProgressDisplay::ProgressDisplay(const ProgressBarOptions& options, std::FILE* out,
                                 const Terminal& terminal)
    : options_(options), lines_(out, terminal) {}

void ProgressDisplay::start_run() {
  next_line_ = 0.0;
  losses_.clear();
  nest_below(nullptr);
}

void ProgressDisplay::begin(ProgressPass& pass, std::string label, const Progress& progress,
                            int64_t done) {
  const double now = files::monotonic_seconds();
  const double rate = pass.label.empty() ? 0.0 : pass.rate;
  pass = ProgressPass{.label = std::move(label),
                      .total = progress.num_batches.value_or(0),
                      .first = done,
                      .done = done,
                      .start = now,
                      .rate = rate,
                      .drawn_at = now,
                      .drawn_done = done};
  batches_to_look_ = options_.refresh_rate;
  if (!is_live() && next_line_ == 0.0) next_line_ = now + options_.plain_interval;
}

void ProgressDisplay::nest_below(const ProgressPass* outer, double now) {
  outer_ = outer;
  outer_rests_since_ = now;
}

bool ProgressDisplay::advance(ProgressPass& pass, int64_t done) {
  pass.done = done;
  if (--batches_to_look_ > 0) return false;
  batches_to_look_ = options_.refresh_rate;
  if (!is_live() && options_.plain_interval <= 0.0) return false;
  // A line that comes and goes with each short validation would be restless.
  constexpr double kShortUpdates = 3.0;
  const double shown_from = outer_ != nullptr && is_live()
                                ? outer_rests_since_ + kShortUpdates * options_.refresh_interval
                                : 0.0;
  return files::monotonic_seconds() >= std::max(next_line_, shown_from);
}

void ProgressDisplay::write(ProgressPass& pass, Run& run) {
  write(pass, run, files::monotonic_seconds(), /*is_last=*/false);
}

void ProgressDisplay::finish(ProgressPass& pass, Run& run) {
  write(pass, run, files::monotonic_seconds(), /*is_last=*/true);
}

void ProgressDisplay::end_line() {
  if (!held_back_.empty()) lines_.write(std::exchange(held_back_, {}));
  lines_.end();
}

void ProgressDisplay::write(ProgressPass& pass, Run& run, double now, bool is_last) {
  pass.update_rate(now);
  pass.total = run.progress().num_batches.value_or(0);
  auto lines = lines_of(pass, run, now, is_last);
  held_back_.clear();
  if (is_live() && now < next_line_) {
    held_back_ = std::move(lines);
    return;
  }
  lines_.write(std::move(lines));
  next_line_ = now + (is_live() ? options_.refresh_interval : options_.plain_interval);
}

std::vector<std::string> ProgressDisplay::lines_of(const ProgressPass& pass, Run& run, double now,
                                                   bool is_last) {
  const bool is_training = run.stage() == Stage::fit;
  ProgressLook look{.columns = lines_.columns(),
                    .terminal = lines_.terminal(),
                    .bar = is_training ? Color::green : Color::cyan,
                    .losses = is_training ? &losses_ : nullptr};
  auto metrics = progress_bar_texts(run);
  std::vector<std::string> lines;
  if (outer_ != nullptr && is_live()) {
    ProgressLook above = look;
    above.bar = Color::green;
    above.losses = &losses_;
    lines.push_back(progress_line(*outer_, outer_rests_since_, false, metrics, above));
    metrics.clear();
  }
  lines.push_back(progress_line(pass, now, is_last, metrics, look));
  return lines;
}

}  // namespace levin
