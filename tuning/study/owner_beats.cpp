#include <levin/tuning/study/owner_beats.h>

#include <chrono>

#include <levin/framework/core/quiet_thread.h>

namespace levin {
namespace {

constexpr auto kTimeBetweenBeats = std::chrono::seconds(10);

}  // namespace

OwnerBeats::OwnerBeats(const JournalLock& lock)
    : lock_(lock), thread_(start_without_signals([this] { run(); })) {}

OwnerBeats::~OwnerBeats() {
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    is_over_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void OwnerBeats::run() {
  std::unique_lock<std::mutex> guard(mutex_);
  while (!is_over_) {
    guard.unlock();
    lock_.renew_owner_link();
    guard.lock();
    wake_.wait_for(guard, kTimeBetweenBeats, [this] { return is_over_; });
  }
}

}  // namespace levin
