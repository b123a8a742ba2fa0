#include <levin/framework/loops/validation_clock.h>

#include <levin/framework/core/files.h>

namespace levin {
namespace {

/// The most steps by which an answer of Ranks::any_after_step follows its question, unless ranks
/// train alone. Those wait longer, but the answer then ends every question that was asked until it.
constexpr int64_t kMostDelay = 2;

}  // namespace

ValidationClock::ValidationClock(const TrainerOptions& options, Ranks& ranks) : ranks_(ranks) {
  const auto& interval = options.val_check_interval;
  if (interval.is_time()) interval_ = parse_duration("val_check_interval", interval.time());
}

void ValidationClock::start() { started_ = files::monotonic_seconds(); }

void ValidationClock::restart() {
  seconds_before_ = 0.0;
  stale_answers_ = ranks_.size() > 1 ? kMostDelay : 0;
  if (started_) start();
}

bool ValidationClock::is_due(bool is_allowed) {
  if (!is_used()) return false;
  const bool is_over = is_allowed && *seconds() >= interval_;
  const bool agreed = ranks_.any_after_step("ValidationClock", is_over);
  if (stale_answers_ > 0) {
    --stale_answers_;
    return false;
  }
  return agreed && is_allowed;
}

std::optional<double> ValidationClock::seconds() const {
  if (!is_used()) return {};
  return seconds_before_ + (started_ ? files::monotonic_seconds() - *started_ : 0.0);
}

}  // namespace levin
