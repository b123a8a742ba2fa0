#include <levin/framework/profiler.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <levin/framework/files.h>

namespace levin {
namespace {

/// Within a validation these are the validation's.
bool belongs_to_validation(Part part) {
  return part == Part::data || part == Part::transfer || part == Part::forward;
}

/// Shares in tenths of a percent that add up to 1,000: rounded down, and what is missing goes to
/// those that lost most.
std::array<int, kNumParts> shares_in_tenths(const Profile& profile) {
  std::array<int, kNumParts> tenths{};
  std::array<double, kNumParts> lost{};
  for (size_t i = 0; i < kNumParts; ++i) {
    const double exact = 10.0 * profile.percent(static_cast<Part>(i));
    tenths[i] = static_cast<int>(std::floor(exact));
    lost[i] = exact - tenths[i];
  }
  std::array<size_t, kNumParts> order{};
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lost[a] > lost[b]; });
  int missing = 1000 - std::accumulate(tenths.begin(), tenths.end(), 0);
  for (size_t i = 0; i < kNumParts && missing > 0; ++i, --missing) ++tenths[order[i]];
  return tenths;
}

}  // namespace

std::string_view part_name(Part part) {
  static constexpr std::array<std::string_view, kNumParts> kNames = {
      "waiting for data", "transfer",   "forward", "backward", "optimizer",
      "callbacks",        "validation", "loggers", "files",    "the rest"};
  return kNames[static_cast<size_t>(part)];
}

std::string Profile::table() const {
  std::string text =
      fmt::format("{}: {:.3f} s, LibTorch's threads: {}\n", stage_name(stage), seconds, threads);
  if (seconds <= 0.0) return text;
  const auto tenths = shares_in_tenths(*this);
  std::array<size_t, kNumParts> order{};
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end() - 1,  // the rest comes last
                   [&](size_t a, size_t b) { return rows[a].seconds > rows[b].seconds; });
  text +=
      fmt::format("{:<18}{:>12}{:>12}{:>14}{:>9}\n", "part", "calls", "seconds", "mean us", "%");
  for (const size_t i : order) {
    const Row& one = rows[i];
    const bool is_rest = static_cast<Part>(i) == Part::rest;
    if (one.calls == 0 && !is_rest) continue;
    text += fmt::format("{:<18}{:>12}{:>12.3f}{:>14}{:>9}\n", part_name(static_cast<Part>(i)),
                        is_rest ? "" : fmt::format("{}", one.calls), one.seconds,
                        is_rest ? "" : fmt::format("{:.2f}", one.mean_us()),
                        fmt::format("{}.{}", tenths[i] / 10, tenths[i] % 10));
  }
  text += fmt::format("{:<18}{:>12}{:>12.3f}{:>14}{:>9}\n", "all", "", seconds, "", "100.0");
  return text;
}

void SimpleProfiler::begin_run(Stage stage) {
  profile_ = {};
  profile_.stage = stage;
  open_.clear();
  open_.reserve(16);
  running_ = true;
  started_ = last_ = files::monotonic_seconds();
}

void SimpleProfiler::pass_time() {
  const double now = files::monotonic_seconds();
  profile_.row(open_.empty() ? Part::rest : open_.back()).seconds += now - last_;
  last_ = now;
}

void SimpleProfiler::begin(Part part) {
  pass_time();
  const bool in_validation = !open_.empty() && open_.back() == Part::validation;
  if (in_validation && belongs_to_validation(part)) {
    part = Part::validation;
  } else {
    ++profile_.row(part).calls;
  }
  open_.push_back(part);
}

void SimpleProfiler::end(Part /*part*/) {
  pass_time();
  if (!open_.empty()) open_.pop_back();
}

void SimpleProfiler::end_run(bool failed) {
  pass_time();
  open_.clear();
  profile_ = profile();
  running_ = false;
  if (out_ != nullptr && !failed) fmt::print(out_, "{}", profile_.table());
}

Profile SimpleProfiler::profile() const {
  Profile result = profile_;
  result.seconds = last_ - started_;
  if (running_) result.threads = at::get_num_threads();
  return result;
}

}  // namespace levin
