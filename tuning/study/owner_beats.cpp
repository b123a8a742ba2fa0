#include <levin/tuning/study/owner_beats.h>

#include <signal.h>

#include <chrono>

namespace levin {
namespace {

constexpr auto kTimeBetweenBeats = std::chrono::seconds(10);

}  // namespace

OwnerBeats::OwnerBeats(const JournalLock& lock) : lock_(lock) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the thread that trains
  try {
    thread_ = std::thread([this] { run(); });
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

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
