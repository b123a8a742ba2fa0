#include <levin/framework/collectives/host_memory.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdint>

#include <fmt/format.h>

#include <levin/framework/core/memory.h>
#include <levin/framework/core/write_signals.h>

namespace levin {
namespace {

std::shared_ptr<std::byte> map(const Descriptor& file, size_t bytes) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (data == MAP_FAILED) return nullptr;
  return {static_cast<std::byte*>(data), [bytes](std::byte* own) { ::munmap(own, bytes); }};
}

/// Returns the target of a link in /proc; "" if there is no such link or we may not read it.
std::string target_of(const std::string& link) {
  char text[PATH_MAX];
  const ssize_t size = ::readlink(link.c_str(), text, sizeof(text));
  return size > 0 ? std::string(text, static_cast<size_t>(size)) : std::string();
}

}  // namespace

HostMemory HostMemory::create(size_t bytes, double most) {
  if (bytes == 0 || static_cast<double>(bytes) > most * static_cast<double>(physical_memory())) {
    return {};
  }
  const NoWriteSignals signals;  // `ulimit -f` limits this memory as if it were a file on a disk
  uint64_t token = 0;
  if (::getrandom(&token, sizeof(token), GRND_NONBLOCK) != sizeof(token)) return {};
  HostMemory memory;
  const std::string name = fmt::format("levin-{:016x}", token);
  memory.file_ = Descriptor(::memfd_create(name.c_str(), MFD_CLOEXEC));
  if (!memory.file_.is_open()) return {};
  if (::ftruncate(memory.file_.get(), static_cast<off_t>(bytes)) != 0) return {};
  // Pages that the system can't give are missed here, instead of by SIGBUS when they are used.
  if (::fallocate(memory.file_.get(), 0, 0, static_cast<off_t>(bytes)) != 0 &&
      errno != EOPNOTSUPP && errno != EINTR) {
    return {};
  }
  memory.data_ = map(memory.file_, bytes);
  if (memory.data_ == nullptr) return {};
  memory.address_ = fmt::format("/proc/{}/fd/{} {}", ::getpid(), memory.file_.get(), name);
  return memory;
}

HostMemory HostMemory::open(const std::string& address, size_t bytes) {
  const size_t space = address.find(' ');
  if (space == address.npos) return {};
  const std::string path = address.substr(0, space);
  // In another container the same path may lead to any other file, which must not even be opened.
  if (target_of(path) != fmt::format("/memfd:{} (deleted)", address.substr(space + 1))) return {};
  HostMemory memory;
  memory.file_ = Descriptor(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  struct stat status {};
  if (!memory.file_.is_open() || ::fstat(memory.file_.get(), &status) != 0) return {};
  if (status.st_size != static_cast<off_t>(bytes)) return {};
  memory.data_ = map(memory.file_, bytes);
  if (memory.data_ == nullptr) return {};
  memory.address_ = address;
  return memory;
}

}  // namespace levin
