#include <levin/datamodules/readers/folder_lock.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/files.h>

namespace levin::readers {
namespace {

constexpr double kSilentWait = 5.0;  // seconds

}  // namespace

FolderLock::FolderLock(const std::filesystem::path& folder)
    : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  const double start = files::monotonic_seconds();
  bool has_said_so = false;
  while (descriptor_ >= 0 && ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return;
    if (!has_said_so && files::monotonic_seconds() - start > kSilentWait) {
      has_said_so = true;
      diagnostics::print("waiting for another process that downloads into '" + folder.string() +
                         "'\n");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace levin::readers
