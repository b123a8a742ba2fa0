#include <levin/callbacks/progress_bar.h>

#include <fmt/format.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/run/step.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace levin {
namespace {

constexpr double kSmoothing = 0.3;  // the weight of the newest rate, as in tqdm
constexpr int kMostColumns = 20;    // the width of the bar itself
constexpr const char* kClearToEnd = "\x1b[K";

bool is_terminal(std::FILE* out) {
  const char* term = std::getenv("TERM");
  return ::isatty(::fileno(out)) == 1 && (term == nullptr || std::string_view(term) != "dumb");
}

/// Returns minutes and seconds, "01:05", with hours if there are any, "2:01:05".
std::string clock_time(double seconds) {
  const auto whole = static_cast<int64_t>(std::max(seconds, 0.0));
  const int64_t hours = whole / 3600;
  const int64_t minutes = whole / 60 % 60;
  if (hours == 0) return fmt::format("{:02d}:{:02d}", minutes, whole % 60);
  return fmt::format("{}:{:02d}:{:02d}", hours, minutes, whole % 60);
}

std::string rate_text(double rate) {
  if (rate <= 0.0) return "? it/s";
  if (rate >= 100.0) return fmt::format("{:.0f} it/s", rate);
  if (rate >= 1.0) return fmt::format("{:.1f} it/s", rate);
  return fmt::format("{:.2f} s/it", 1.0 / rate);
}

/// Returns the first `columns` characters of a UTF-8 text.
std::string_view cut(std::string_view text, int columns) {
  int seen = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool starts_character = (static_cast<unsigned char>(text[i]) & 0xC0U) != 0x80U;
    if (starts_character && ++seen > columns) return text.substr(0, i);
  }
  return text;
}

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
    : ProgressBar(options, stderr, is_terminal(stderr)) {}

ProgressBar::ProgressBar(ProgressBarOptions options, std::FILE* out, bool live, int width)
    : options_(options), out_(out), live_(live), width_(width) {
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
  const double now = files::monotonic_seconds();
  write_line(train_, run, now, /*is_last=*/true);
  if (options_.leave) end_live_line();
}

void ProgressBar::on_train_end(Run&) {
  training_ = false;
  end_live_line();
}

void ProgressBar::on_validation_start(Run& run) {
  if (!enabled_) return;
  paused_at_ = files::monotonic_seconds();
  const bool sanity = run.progress().sanity_checking();
  std::string label = sanity ? "Sanity check" : "Validation";
  if (training_) label = fmt::format("{} {}", train_.label, "validation");
  begin(evaluation_, std::move(label), 0);
}

void ProgressBar::on_validation_batch_end(const Batch&, Step& step) {
  if (enabled_) advance(evaluation_, step.run().progress().batch, step.run());
}

void ProgressBar::on_validation_end(Run& run) {
  if (!enabled_) return;
  const double now = files::monotonic_seconds();
  if (training_) {
    train_.start += now - paused_at_;
    train_.drawn_at += now - paused_at_;
    return;
  }
  if (run.progress().sanity_checking()) return;
  write_line(evaluation_, run, now, /*is_last=*/true);
  end_live_line();
}

void ProgressBar::on_test_start(Run&) {
  if (enabled_) begin(evaluation_, "Test", 0);
}

void ProgressBar::on_test_batch_end(const Batch&, Step& step) {
  if (enabled_) advance(evaluation_, step.run().progress().batch, step.run());
}

void ProgressBar::on_test_end(Run& run) {
  if (!enabled_) return;
  write_line(evaluation_, run, files::monotonic_seconds(), /*is_last=*/true);
  end_live_line();
}

void ProgressBar::on_predict_start(Run&) {
  if (enabled_) begin(evaluation_, "Predict", 0);
}

void ProgressBar::on_predict_batch_end(const NamedTensors&, const Batch&, Step& step) {
  if (enabled_) advance(evaluation_, step.run().progress().batch, step.run());
}

void ProgressBar::on_predict_end(Run& run) {
  if (!enabled_) return;
  write_line(evaluation_, run, files::monotonic_seconds(), /*is_last=*/true);
  end_live_line();
}

void ProgressBar::on_exception(const std::exception&, Run&) {
  training_ = false;
  end_live_line();
}

void ProgressBar::begin(Pass& pass, std::string label, int64_t done) {
  const double now = files::monotonic_seconds();
  const double rate = pass.label.empty() ? 0.0 : pass.rate;
  pass = Pass{.label = std::move(label),
              .first = done,
              .done = done,
              .start = now,
              .rate = rate,
              .drawn_at = now,
              .drawn_done = done};
  batches_to_look_ = options_.refresh_rate;
  if (!live_ && next_line_ == 0.0) next_line_ = now + options_.plain_interval;
}

void ProgressBar::advance(Pass& pass, int64_t done, Run& run) {
  pass.done = done;
  if (--batches_to_look_ > 0) return;
  batches_to_look_ = options_.refresh_rate;
  if (!live_ && options_.plain_interval <= 0.0) return;
  const double now = files::monotonic_seconds();
  if (now >= next_line_) write_line(pass, run, now, /*is_last=*/false);
}

void ProgressBar::update_rate(Pass& pass, double now) {
  const double seconds = now - pass.drawn_at;
  if (seconds <= 0.0 || pass.done == pass.drawn_done) return;
  const double rate = static_cast<double>(pass.done - pass.drawn_done) / seconds;
  pass.rate = pass.rate == 0.0 ? rate : kSmoothing * rate + (1.0 - kSmoothing) * pass.rate;
  pass.drawn_at = now;
  pass.drawn_done = pass.done;
}

void ProgressBar::write_line(Pass& pass, Run& run, double now, bool is_last) {
  update_rate(pass, now);
  std::string text = line(pass, run, now, is_last);
  if (live_) {
    text = fmt::format("\r{}{}", cut(text, columns() - 1), kClearToEnd);
    line_open_ = true;
  } else {
    text += '\n';
  }
  diagnostics::print(out_, text);
  next_line_ = now + (live_ ? options_.refresh_interval : options_.plain_interval);
}

std::string ProgressBar::line(const Pass& pass, Run& run, double now, bool is_last) const {
  const double elapsed = now - pass.start;
  const int64_t total = run.progress().num_batches.value_or(0);
  const double here = static_cast<double>(pass.done - pass.first);
  const double rate = is_last && elapsed > 0.0 ? here / elapsed : pass.rate;
  const std::string speed = rate_text(rate);
  const std::string values = metrics(run);
  if (total <= 0) {
    return fmt::format("{} {} [{}, {}]{}", pass.label, pass.done, clock_time(elapsed), speed,
                       values);
  }
  const double share = std::min(static_cast<double>(pass.done) / static_cast<double>(total), 1.0);
  std::string left = "?";
  if (rate > 0.0) left = clock_time(static_cast<double>(total - pass.done) / rate);
  const std::string head = fmt::format("{} {:>3.0f}%", pass.label, share * 100.0);
  const std::string tail = is_last ? fmt::format(" {}/{} [{}, {}]{}", pass.done, total,
                                                 clock_time(elapsed), speed, values)
                                   : fmt::format(" {}/{} [{}<{}, {}]{}", pass.done, total,
                                                 clock_time(elapsed), left, speed, values);
  if (!live_) return head + tail;
  const int room = columns() - 1 - static_cast<int>(head.size() + tail.size()) - 2;
  if (room < 4) return head + tail;
  const auto full = static_cast<size_t>(std::min(room, kMostColumns));
  const auto filled = static_cast<size_t>(share * static_cast<double>(full));
  return fmt::format("{}|{}{}|{}", head, std::string(filled, '#'), std::string(full - filled, ' '),
                     tail);
}

std::string ProgressBar::metrics(Run& run) const {
  std::string text;
  if (run.stage() == Stage::predict) return text;
  for (const auto& [name, value] : run.progress_bar_metrics()) {
    text += fmt::format("{}{}={:.4g}", text.empty() ? " " : ", ", name, value);
  }
  return text;
}

void ProgressBar::end_live_line() {
  if (!line_open_) return;
  diagnostics::print(out_, "\n");
  line_open_ = false;
}

int ProgressBar::columns() const {
  constexpr int kUsual = 80;
  if (width_ > 0) return width_;
  winsize size{};
  const bool known = ::ioctl(::fileno(out_), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : kUsual;
}

}  // namespace levin
