#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/core/value.h>
#include <levin/tuning/study/journal_lock.h>

namespace levin {

/// A file in Optuna's journal format: one JSON object a line. Any number of processes, Levin's and
/// Optuna's, on any number of hosts, may add lines and read at the same time.
///
/// A line without a line feed at its end was being written when its process was killed. Readers
/// don't see it, and the next process that writes removes it.
class JournalFile {
 public:
  /// Opens a file, which is created if it is missing; its folder must exist. Throws CheckpointError
  /// if that fails.
  explicit JournalFile(const std::filesystem::path& path);
  ~JournalFile();
  JournalFile(const JournalFile&) = delete;
  JournalFile& operator=(const JournalFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  const JournalLock& lock() const { return *lock_; }
  JournalLock& lock() { return *lock_; }
  /// Returns the lines that were added since the last call, from the file's beginning in the first
  /// call. Throws DataError if one of them isn't JSON, naming the line, and CheckpointError if the
  /// file can't be read or has become shorter.
  std::vector<Value> read_new();
  /// Adds lines, all together, and returns when they are on the disk. Throws CheckpointError if
  /// that fails; then none of them is in the file.
  void append(const std::vector<Value>& lines);
  /// Adds the lines that `make` returns, which is called when no other process can add any until
  /// they are in the file. It may call read_new.
  void append_made(const std::function<std::vector<Value>()>& make);
  /// Lets `append` return before its lines are on the disk, unless so many seconds have passed
  /// since it last waited for that. They outlast this process, but not a failure of the machine. 0,
  /// as at first: each call waits. Also calls `sync`.
  void set_sync_interval(double seconds);
  /// Waits until all lines are on the disk. Throws CheckpointError if that fails.
  void sync();

 private:
  std::string read_from(uint64_t offset) const;
  uint64_t remove_torn_line(uint64_t size) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t offset_ = 0;  // of the first byte that read_new hasn't returned
  int64_t line_ = 0;     // how many lines it has returned
  std::unique_ptr<JournalLock> lock_;
  double sync_interval_ = 0.0;
  double synced_ = 0.0;  // when that was, in seconds of the steady clock
};

}  // namespace levin
