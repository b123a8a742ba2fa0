#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

namespace levin {

/// The lock of a journal file, the same as Optuna's JournalFileSymlinkLock: a symbolic link
/// FILE.lock, which only one process can make, also on network file systems. Optuna takes a lock
/// away whose file nobody has written to for 30 seconds, and so does this class. Processes that use
/// Optuna's JournalFileOpenLock, a file of the same name, are kept out as well.
///
/// The link leads to the file by way of another link, FILE.owner-..., whose name says which process
/// holds the lock. A process of this machine that finds the lock in the hands of a dead one takes
/// it over at once, so that a killed process doesn't stop the others for 30 seconds.
class JournalLock {
 public:
  /// Makes this process's owner link, and removes those of dead processes of this machine. Throws
  /// CheckpointError if the file system doesn't allow that. The file must exist.
  explicit JournalLock(const std::filesystem::path& file);
  ~JournalLock();
  JournalLock(const JournalLock&) = delete;
  JournalLock& operator=(const JournalLock&) = delete;

  /// Waits until the lock is free and takes it. Throws CheckpointError if that can't be. If this
  /// object holds it already, it is held until `release` has been called as often as this function.
  void acquire();
  /// Gives the lock back. Returns whether it was still this object's: false if another process took
  /// it for abandoned, which means that this one stood still for more than 30 seconds.
  bool release() noexcept;
  /// Makes this process's owner link anew, which other hosts see by its time. Does nothing if that
  /// fails. May be called by another thread than the other functions.
  void renew_owner_link() const noexcept;

 private:
  void wait_and_take();
  bool try_acquire();
  void take_over_from_dead_owner();
  void take_over_if_abandoned();
  bool make_owner_link();

  std::filesystem::path file_;
  std::filesystem::path lock_;
  std::filesystem::path owner_;  // the link of this object
  int holds_ = 0;                // how often it was acquired and not yet released
  double seen_change_ = -1.0;    // when the file was last written to, by its own clock
  double seen_at_ = 0.0;         // when this process saw that
};

/// When the owner links beside a file were made or renewed, by the identities of their processes,
/// in nanoseconds by the clock of the file system.
std::map<std::string, int64_t, std::less<>> times_of_owner_links(const std::filesystem::path& file);

/// Holds a lock while it exists.
class JournalLockGuard {
 public:
  explicit JournalLockGuard(JournalLock& lock) : lock_(lock) { lock_.acquire(); }
  ~JournalLockGuard() { lock_.release(); }
  JournalLockGuard(const JournalLockGuard&) = delete;
  JournalLockGuard& operator=(const JournalLockGuard&) = delete;

 private:
  JournalLock& lock_;
};

}  // namespace levin
