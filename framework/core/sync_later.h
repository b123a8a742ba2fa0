#pragma once

#include <filesystem>
#include <vector>

namespace levin::files {

/// While an object of this class exists, what its thread writes by `write_atomically` and
/// `make_link` isn't waited for until it is on the disk. `finish` waits for all of it at once,
/// which takes much less time than waiting for each file of many. Files outlast a kill of the
/// process all the same; a failure of the machine before `finish` may leave them empty.
///
///     levin::files::SyncLater later;
///     for (...) write_atomically(...);
///     later.finish();  // now whatever says that the files are there may be written
///
/// Objects may be nested; the innermost one counts.
class SyncLater {
 public:
  SyncLater();
  /// Waits for what `finish` hasn't waited for, but without reporting errors.
  ~SyncLater();
  SyncLater(const SyncLater&) = delete;
  SyncLater& operator=(const SyncLater&) = delete;

  /// Returns when all that has been written so far is on the disk. Throws CheckpointError if a file
  /// can't be written there. A file that has been removed meanwhile doesn't count.
  void finish();

  /// For the functions that write: notes that this file, or folder, is to be waited for later.
  /// Returns false if there is no object on this thread.
  static bool take(const std::filesystem::path& path);

 private:
  SyncLater* before_;
  std::vector<std::filesystem::path> paths_;
};

}  // namespace levin::files
