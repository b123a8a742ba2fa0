#include <levin/datamodules/readers/mapped_file.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include <levin/datamodules/readers/bytes.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

/// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

void check_same_file(int descriptor, const struct stat& opened, const std::string& name) {
  struct stat now = {};
  if (::fstat(descriptor, &now) == 0 && now.st_dev == opened.st_dev &&
      now.st_ino == opened.st_ino && now.st_size == opened.st_size &&
      now.st_mtim.tv_sec == opened.st_mtim.tv_sec && now.st_mtim.tv_nsec == opened.st_mtim.tv_nsec)
    return;
  throw DataError::unreadable(name,
                              "its size, its time of change or the file itself has changed since "
                              "it was opened; start again, and don't change it meanwhile");
}

constexpr size_t kHugePage = size_t{2} << 20;

/// Rows are picked from blocks at random, which is faster in a few large pages because more
/// addresses are in the processor's cache of translations. malloc isn't used, because it keeps
/// freed memory and the gaps before aligned blocks.
std::byte* map_huge_pages(size_t size) {
  void* const start =
      ::mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) throw std::bad_alloc();
  auto* const bytes = static_cast<std::byte*>(start);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(start) % kHugePage) % kHugePage;
  if (before > 0) ::munmap(bytes, before);
  if (before < kHugePage) ::munmap(bytes + before + size, kHugePage - before);
  ::madvise(bytes + before, size, MADV_HUGEPAGE);
  return bytes + before;
}

int open_for_reading(const std::filesystem::path& path, bool direct) {
  // Without O_NONBLOCK, opening a pipe would wait for somebody who writes into it.
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  if (direct) {
    const int number = ::open(path.c_str(), kFlags | O_DIRECT);
    if (number >= 0 || errno != EINVAL) return number;  // EINVAL: the file system has no O_DIRECT
  }
  return ::open(path.c_str(), kFlags);
}

}  // namespace

void BlockBuffer::release() {
  size_ >= kHugePage ? static_cast<void>(::munmap(bytes_, size_)) : std::free(bytes_);
  bytes_ = nullptr;
  size_ = 0;
}

std::byte* BlockBuffer::reserve(size_t size) {
  size_t whole = rounded_up(size, MappedFile::kPage);
  if (whole >= kHugePage) whole = rounded_up(whole, kHugePage);
  if (whole <= size_ && whole >= size_ / 8) return bytes_;
  release();
  if (whole >= kHugePage) {
    bytes_ = map_huge_pages(whole);
  } else {
    void* memory = nullptr;
    if (::posix_memalign(&memory, MappedFile::kPage, whole) != 0) throw std::bad_alloc();
    bytes_ = static_cast<std::byte*>(memory);
  }
  size_ = whole;
  return bytes_;
}

MappedFile::MappedFile(const std::filesystem::path& path) : name_(path.string()) {
  std::error_code failure;
  path_ = std::filesystem::absolute(path, failure);
  if (failure) throw DataError::unreadable(name_, failure.message());
  const Descriptor file(open_for_reading(path_, false));
  if (file.number() < 0) throw DataError::unreadable(name_, std::strerror(errno));
  const bool known = ::fstat(file.number(), &opened_) == 0;
  if (!known) throw DataError::unreadable(name_, std::strerror(errno));
  if (!S_ISREG(opened_.st_mode)) {
    throw DataError::unreadable(name_, irregular_file_fault(S_ISDIR(opened_.st_mode)));
  }
  const auto size = static_cast<size_t>(opened_.st_size);
  if (size == 0) return;
  void* start = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.number(), 0);
  if (start == MAP_FAILED) throw DataError::unreadable(name_, std::strerror(errno));
  bytes_ = {static_cast<const std::byte*>(start), size};
}

MappedFile::MappedFile(std::string name, Bytes bytes)
    : name_(std::move(name)), memory_(std::move(bytes)), bytes_(memory_) {}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this == &other) return *this;
  unmap();
  name_ = std::move(other.name_);
  path_ = std::move(other.path_);
  opened_ = other.opened_;
  memory_ = std::move(other.memory_);  // doesn't move the elements
  bytes_ = std::exchange(other.bytes_, {});
  return *this;
}

MappedFile::~MappedFile() { unmap(); }

void MappedFile::unmap() {
  if (memory_.empty() && !bytes_.empty()) {
    ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
  bytes_ = {};
}

const std::byte* MappedFile::read(uint64_t offset, uint64_t size, std::byte* to,
                                  bool direct) const {
  if (!memory_.empty()) return bytes_.data() + offset;
  const Descriptor file(open_for_reading(path_, direct));
  if (file.number() < 0) throw DataError::unreadable(name_, std::strerror(errno));
  check_same_file(file.number(), opened_, name_);
  const uint64_t begin = offset / kPage * kPage;
  const uint64_t needed = offset + size - begin;
  const size_t whole = rounded_up(static_cast<size_t>(needed), kPage);
  for (size_t done = 0; done < needed;) {
    const ssize_t got =
        ::pread(file.number(), to + done, whole - done, static_cast<off_t>(begin + done));
    if (got < 0 && errno == EINTR) continue;
    const bool whole_pages = got > 0 && static_cast<size_t>(got) % kPage == 0;
    const bool enough = got > 0 && done + static_cast<size_t>(got) >= needed;
    // Some file systems accept O_DIRECT, but fail to read, or return part of a page.
    if (direct && !whole_pages && !enough) return read(offset, size, to, /*direct=*/false);
    if (got < 0) throw DataError::unreadable(name_, std::strerror(errno));
    if (got == 0) {
      throw DataError::unreadable(name_,
                                  "it became shorter while it was read; wait until nothing writes "
                                  "to it, and start again");
    }
    done += static_cast<size_t>(got);
  }
  return to + (offset - begin);
}

void MappedFile::check_unchanged() const {
  if (!memory_.empty()) return;
  const Descriptor file(open_for_reading(path_, false));
  if (file.number() < 0) throw DataError::unreadable(name_, std::strerror(errno));
  check_same_file(file.number(), opened_, name_);
}

void MappedFile::release(uint64_t offset, uint64_t size) const {
  if (bytes_.empty() || !memory_.empty() || size == 0) return;
  const uint64_t begin = offset / kPage * kPage;
  const uint64_t end = std::min<uint64_t>(offset + size, bytes_.size());
  ::madvise(const_cast<std::byte*>(bytes_.data()) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace levin::readers
