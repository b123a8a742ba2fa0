#include <levin/tuning/study/trial.h>

#include <chrono>
#include <cmath>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

/// Reads the parts of a time one after another.
class IsoTimeReader {
 public:
  explicit IsoTimeReader(std::string_view text) : text_(text) {}

  [[noreturn]] void fail() const {
    throw DataError(
        fmt::format("'{}' is not a time such as 2026-09-01T12:00:00+00:00", shortened(text_, 40)));
  }
  int64_t digits(size_t count) {
    int64_t number = 0;
    for (size_t i = 0; i < count; ++i, ++at_) {
      if (at_ >= text_.size() || text_[at_] < '0' || text_[at_] > '9') fail();
      number = number * 10 + (text_[at_] - '0');
    }
    return number;
  }
  bool take(char character) {
    if (at_ >= text_.size() || text_[at_] != character) return false;
    ++at_;
    return true;
  }
  void expect(char character) {
    if (!take(character)) fail();
  }
  /// Up to six digits after a point; more are dropped.
  int64_t fraction() {
    if (!take('.')) return 0;
    int64_t micros = 0;
    for (int place = 0; place < 6; ++place) {
      const bool digit = at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9';
      micros = micros * 10 + (digit ? text_[at_++] - '0' : 0);
    }
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    return micros;
  }
  /// Seconds east of UTC.
  int64_t offset() {
    if (at_ == text_.size() || take('Z')) return 0;
    const bool west = take('-');
    if (!west) expect('+');
    int64_t seconds = digits(2) * 3600;
    if (take(':')) seconds += digits(2) * 60;
    if (take(':')) seconds += digits(2);
    return west ? -seconds : seconds;
  }
  bool at_end() const { return at_ == text_.size(); }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::string_view name_of(TrialState state) {
  switch (state) {
    case TrialState::running:
      return "RUNNING";
    case TrialState::complete:
      return "COMPLETE";
    case TrialState::pruned:
      return "PRUNED";
    case TrialState::fail:
      return "FAIL";
    case TrialState::waiting:
      return "WAITING";
  }
  return "";
}

std::string_view name_of(StudyDirection direction) {
  switch (direction) {
    case StudyDirection::not_set:
      return "NOT_SET";
    case StudyDirection::minimize:
      return "MINIMIZE";
    case StudyDirection::maximize:
      return "MAXIMIZE";
  }
  return "";
}

const Trial* Study::best_trial() const {
  const Trial* best = nullptr;
  if (directions.size() != 1) return nullptr;
  const bool up = directions[0] == StudyDirection::maximize;
  for (const Trial& trial : trials) {
    if (trial.state != TrialState::complete || trial.values.size() != 1) continue;
    if (std::isnan(trial.values[0])) continue;
    if (best == nullptr ||
        (up ? trial.values[0] > best->values[0] : trial.values[0] < best->values[0])) {
      best = &trial;
    }
  }
  return best;
}

std::string to_iso_time(Microseconds moment) {
  using std::chrono::days;
  const auto time = std::chrono::microseconds(moment);
  const auto day = std::chrono::floor<days>(time);
  const std::chrono::year_month_day date{std::chrono::sys_days(day)};
  const int64_t micros = (time - day).count();
  const int64_t seconds = micros / 1'000'000;
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}+00:00", int(date.year()),
                     unsigned(date.month()), unsigned(date.day()), seconds / 3600,
                     seconds / 60 % 60, seconds % 60, micros % 1'000'000);
}

Microseconds from_iso_time(std::string_view text) {
  IsoTimeReader reader(text);
  const int64_t year = reader.digits(4);
  reader.expect('-');
  const int64_t month = reader.digits(2);
  reader.expect('-');
  const int64_t day = reader.digits(2);
  if (!reader.take('T')) reader.expect(' ');
  int64_t seconds = reader.digits(2) * 3600;
  reader.expect(':');
  seconds += reader.digits(2) * 60;
  if (reader.take(':')) seconds += reader.digits(2);
  const int64_t micros = reader.fraction();
  seconds -= reader.offset();
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(year)),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok() || !reader.at_end()) reader.fail();
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return (days * 86400 + seconds) * 1'000'000 + micros;
}

}  // namespace levin
