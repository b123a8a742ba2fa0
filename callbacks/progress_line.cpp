#include <levin/callbacks/progress_line.h>

#include <fmt/format.h>

#include <algorithm>

namespace levin {
namespace {

constexpr double kSmoothing = 0.3;  // the weight of the newest rate, as in tqdm
constexpr int kMostColumns = 20;    // the width of the bar itself

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

std::string progress_line(const ProgressPass& pass, int64_t total, double now, bool is_last,
                          const std::string& metrics, int columns) {
  const double elapsed = now - pass.start;
  const double here = static_cast<double>(pass.done - pass.first);
  const double rate = is_last && elapsed > 0.0 ? here / elapsed : pass.rate;
  const std::string speed = rate_text(rate);
  if (total <= 0) {
    return fmt::format("{} {} [{}, {}]{}", pass.label, pass.done, clock_time(elapsed), speed,
                       metrics);
  }
  const double share = std::min(static_cast<double>(pass.done) / static_cast<double>(total), 1.0);
  std::string left = "?";
  if (rate > 0.0) left = clock_time(static_cast<double>(total - pass.done) / rate);
  const std::string head = fmt::format("{} {:>3.0f}%", pass.label, share * 100.0);
  const std::string tail = is_last ? fmt::format(" {}/{} [{}, {}]{}", pass.done, total,
                                                 clock_time(elapsed), speed, metrics)
                                   : fmt::format(" {}/{} [{}<{}, {}]{}", pass.done, total,
                                                 clock_time(elapsed), left, speed, metrics);
  if (columns == 0) return head + tail;
  const int room = columns - 1 - static_cast<int>(head.size() + tail.size()) - 2;
  if (room < 4) return head + tail;
  const auto full = static_cast<size_t>(std::min(room, kMostColumns));
  const auto filled = static_cast<size_t>(share * static_cast<double>(full));
  return fmt::format("{}|{}{}|{}", head, std::string(filled, '#'), std::string(full - filled, ' '),
                     tail);
}

}  // namespace levin
