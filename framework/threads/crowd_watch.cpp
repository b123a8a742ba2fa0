#include <levin/framework/threads/crowd_watch.h>

namespace levin {
namespace {

constexpr double kWatched = 0.25;  // seconds
constexpr int64_t kWatchedSteps = 8;
constexpr double kCrowded = 4.0;  // times the usual time

}  // namespace

bool CrowdWatch::is_crowded_after(double seconds) {
  spent_ += seconds;
  ++steps_;
  if (spent_ < kWatched || steps_ < kWatchedSteps) return false;
  const bool crowded = spent_ > kCrowded * usual_ * static_cast<double>(steps_);
  spent_ = 0.0;
  steps_ = 0;
  if (crowded) usual_ = 0.0;
  return crowded;
}

}  // namespace levin
