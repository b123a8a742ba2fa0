#include <levin/framework/collectives/polled_wait.h>

#include <algorithm>
#include <stdexcept>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/interruption.h>

namespace levin {

PolledWait::PolledWait(Options options)
    : options_(std::move(options)), start_(files::monotonic_seconds()) {}

double PolledWait::waited() const { return files::monotonic_seconds() - start_; }

void PolledWait::pause() {
  if (options_.is_aborted && options_.is_aborted()) throw std::runtime_error("aborted");
  const double time = waited();
  if (time > options_.timeout) {
    throw std::runtime_error(fmt::format("{} in {}", options_.problem, in_seconds(time)));
  }
  if (is_interrupted()) {
    if (interrupted_at_ < 0) interrupted_at_ = time;
    if (time - interrupted_at_ >= options_.patience) {
      throw std::runtime_error(fmt::format("{} in the {} after a signal asked to stop",
                                           options_.problem, in_seconds(time - interrupted_at_)));
    }
  }
  if (options_.notice && !has_noticed_ && time >= options_.notice_after) {
    has_noticed_ = true;
    if (const auto line = options_.notice(); !line.empty()) diagnostics::print(line + "\n");
  }
  std::this_thread::sleep_for(pause_);
  pause_ = std::min(pause_ * 2, options_.longest);
}

}  // namespace levin
