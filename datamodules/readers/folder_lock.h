#pragma once

#include <filesystem>

namespace levin::readers {

/// Lets one process (and thread) at a time download into a folder, for as long as the object lives,
/// if the file system has locks. The constructor waits for its turn; if that takes longer than five
/// seconds, it says so on stderr.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace levin::readers
