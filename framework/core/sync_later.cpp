#include <levin/framework/core/sync_later.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <levin/framework/core/error.h>

namespace levin::files {
namespace {

thread_local SyncLater* sync_later = nullptr;

int open_to_sync(const std::filesystem::path& path) {
  return ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
}

/// Lets the system begin to write the file's data, without waiting for that.
void begin_to_write(const std::filesystem::path& path) {
#ifdef __linux__
  const int descriptor = open_to_sync(path);
  if (descriptor < 0) return;
  ::sync_file_range(descriptor, 0, 0, SYNC_FILE_RANGE_WRITE);
  ::close(descriptor);
#else
  static_cast<void>(path);
#endif
}

/// Waits until a file or folder is on the disk. Returns 0 or an errno value. Not all file systems
/// can do that for folders.
int wait_for_disk(const std::filesystem::path& path) {
  const int descriptor = open_to_sync(path);
  if (descriptor < 0) return errno == ENOENT ? 0 : errno;
  const int error = ::fsync(descriptor) == 0 || errno == EINVAL ? 0 : errno;
  ::close(descriptor);
  return error;
}

}  // namespace

SyncLater::SyncLater() : before_(std::exchange(sync_later, this)) {}

SyncLater::~SyncLater() {
  sync_later = before_;
  for (const auto& path : paths_) wait_for_disk(path);
}

bool SyncLater::take(const std::filesystem::path& path) {
  if (sync_later == nullptr) return false;
  sync_later->paths_.push_back(path.empty() ? "." : path);
  return true;
}

void SyncLater::finish() {
  std::sort(paths_.begin(), paths_.end());
  paths_.erase(std::unique(paths_.begin(), paths_.end()), paths_.end());
  // The first fsync then finds that most of the data has been written, and brings the names of all
  // files to the disk.
  for (const auto& path : paths_) begin_to_write(path);
  for (const auto& path : std::exchange(paths_, {})) {
    const int error = wait_for_disk(path);
    if (error != 0) throw CheckpointError::io("write", path.string(), std::strerror(error));
  }
}

}  // namespace levin::files
