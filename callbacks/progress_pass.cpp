#include <levin/callbacks/progress_pass.h>

#include <algorithm>

#include <fmt/format.h>

namespace levin {
namespace {

constexpr double kSmoothing = 0.3;  // the weight of the newest rate, as in tqdm

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

}  // namespace

void ProgressPass::update_rate(double now) {
  const double seconds = now - drawn_at;
  if (seconds <= 0.0 || done == drawn_done) return;
  const double newest = static_cast<double>(done - drawn_done) / seconds;
  rate = rate == 0.0 ? newest : kSmoothing * newest + (1.0 - kSmoothing) * rate;
  drawn_at = now;
  drawn_done = done;
}

std::vector<std::string> progress_details(const ProgressPass& pass, double now, bool is_last) {
  const double elapsed = now - pass.start;
  const double here = static_cast<double>(pass.done - pass.first);
  const double rate = is_last && elapsed > 0.0 ? here / elapsed : pass.rate;
  const std::string spent = clock_time(elapsed);
  const std::string speed = rate_text(rate);
  if (pass.total <= 0) {
    return {fmt::format(" {} [{}, {}]", pass.done, spent, speed), fmt::format(" {}", pass.done)};
  }
  const std::string count = fmt::format(" {}/{}", pass.done, pass.total);
  if (is_last) {
    const std::string times = fmt::format(" [{}, {}]", spent, speed);
    return {count + times, times, " " + spent, ""};
  }
  std::string left = "?";
  if (rate > 0.0) left = clock_time(static_cast<double>(pass.total - pass.done) / rate);
  const std::string times = fmt::format(" [{}<{}, {}]", spent, left, speed);
  return {count + times, times, fmt::format(" {} left", left), ""};
}

}  // namespace levin
