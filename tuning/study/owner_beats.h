#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include <levin/tuning/study/journal_lock.h>

namespace levin {

/// Renews a lock's owner link every ten seconds, by a thread, so that processes of other hosts see
/// that this one lives (SilentProcesses). The lock must outlive it.
class OwnerBeats {
 public:
  explicit OwnerBeats(const JournalLock& lock);
  ~OwnerBeats();
  OwnerBeats(const OwnerBeats&) = delete;
  OwnerBeats& operator=(const OwnerBeats&) = delete;

 private:
  void run();

  const JournalLock& lock_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool is_over_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace levin
