#include <levin/framework/core/files.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <system_error>
#include <utility>

#include <levin/framework/core/error.h>
#include <levin/framework/core/memory.h>
#include <levin/framework/core/number_in.h>
#include <levin/framework/core/sync_later.h>
#include <levin/framework/core/write_signals.h>

namespace levin::files {
namespace {

constexpr size_t kAppendBuffer = size_t{64} << 10;
constexpr uint64_t kMostWithoutSize = uint64_t{256} << 20;

std::function<int(const Operation&)>& injector() {
  static std::function<int(const Operation&)> function;
  return function;
}
std::atomic<bool> injecting{false};

std::function<double()>& injected_clock() {
  static std::function<double()> function;
  return function;
}
std::atomic<bool> clock_injected{false};

template <class Clock>
double seconds_of() {
  if (clock_injected.load(std::memory_order_relaxed)) return injected_clock()();
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

/// Returns the errno value with which a test wants this operation to fail, or 0.
int injected(std::string_view operation, const std::filesystem::path& path) {
  if (!injecting.load(std::memory_order_relaxed)) return 0;
  return injector() ? injector()(Operation{operation, path}) : 0;
}

[[noreturn]] void fail(std::string_view action, const std::filesystem::path& path, int error) {
  throw CheckpointError::io(action, path.string(), std::strerror(error));
}

int open_file(const std::filesystem::path& path, int flags) {
  if (const int error = injected("open", path)) {
    errno = error;
    return -1;
  }
  return ::open(path.c_str(), flags | O_CLOEXEC, 0666);
}

/// Writes all of `data`, which then is what couldn't be written. Returns 0 or an errno value.
int write_all(int descriptor, const std::filesystem::path& path, std::span<const std::byte>& data) {
  if (const int error = injected("write", path)) return error;
  const NoWriteSignals signals;
  while (!data.empty()) {
    const ssize_t written = ::write(descriptor, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    data = data.subspan(static_cast<size_t>(written));
  }
  return 0;
}

/// Makes a rename in `folder` durable. Not all file systems can do that, so errors are ignored.
void sync_folder(const std::filesystem::path& folder) {
  if (SyncLater::take(folder)) return;
  const int descriptor = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

int write_and_sync(int descriptor, const std::filesystem::path& path,
                   std::span<const std::span<const std::byte>> parts) {
  for (auto part : parts) {
    if (const int error = write_all(descriptor, path, part)) return error;
  }
  if (const int error = injected("sync", path)) return error;
  if (SyncLater::take(path)) return 0;
  return ::fsync(descriptor) == 0 ? 0 : errno;
}

/// Reads to the end of a file that is expected to have `size` bytes. Returns 0 or an errno value,
/// EFBIG if there are more than `most_bytes`.
int read_all(int descriptor, uint64_t size, uint64_t most_bytes, std::string& text) {
  size_t done = 0;
  try {
    if (size > physical_memory()) return ENOMEM;
    // One byte more than the file's size, so that the first read can show that it has ended.
    text.resize(static_cast<size_t>(size) + 1);
    for (;;) {
      if (done > most_bytes) return EFBIG;
      if (done == text.size()) {  // the file grew, or is a pipe
        text.resize(text.size() + std::max<size_t>(4096, text.size() / 2));
      }
      const ssize_t got = ::read(descriptor, text.data() + done, text.size() - done);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return errno;
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
  } catch (const std::exception&) {  // std::bad_alloc or std::length_error
    return ENOMEM;
  }
  text.resize(done);
  return 0;
}

/// Writes a temporary file beside `path` and renames it. Returns 0 or an errno value.
int write_and_rename(const std::filesystem::path& path,
                     std::span<const std::span<const std::byte>> parts) {
  static std::atomic<uint64_t> counter{0};
  auto temporary = path;
  temporary += ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(counter++);

  const int descriptor = open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
  if (descriptor < 0) return errno;
  int error = write_and_sync(descriptor, path, parts);
  if (::close(descriptor) != 0 && error == 0) error = errno;
  if (error == 0) error = injected("rename", path);
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) ::unlink(temporary.c_str());
  return error;
}

}  // namespace

void write_atomically(const std::filesystem::path& path,
                      std::span<const std::span<const std::byte>> parts) {
  int error = ENOENT;
  for (int i = 0; i < 3 && error == ENOENT; ++i) {  // somebody removed the folder meanwhile
    if (path.has_parent_path()) create_folder(path.parent_path());
    error = write_and_rename(path, parts);
  }
  if (error != 0) fail("write", path, error);
  sync_folder(path.parent_path());
}

void write_atomically(const std::filesystem::path& path, std::string_view text) {
  const std::span<const std::byte> part = std::as_bytes(std::span(text.data(), text.size()));
  write_atomically(path, std::span(&part, 1));
}

void move_into_place(const std::filesystem::path& from, const std::filesystem::path& to) {
  const int descriptor = open_file(from, O_RDONLY);
  int error = descriptor < 0 ? errno : injected("sync", from);
  if (error == 0 && ::fsync(descriptor) != 0) error = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (error == 0) error = injected("rename", to);
  if (error == 0 && ::rename(from.c_str(), to.c_str()) != 0) error = errno;
  if (error != 0) fail("write", to, error);
  sync_folder(to.parent_path());
}

void make_link(const std::filesystem::path& target, const std::filesystem::path& link) {
  const auto to = target.lexically_normal().lexically_relative(link.parent_path());
  const auto temporary = link.parent_path() / ("." + link.filename().string() + ".link");
  ::unlink(temporary.c_str());
  int error = injected("open", temporary);
  if (error == 0 && ::symlink(to.c_str(), temporary.c_str()) != 0) error = errno;
  if (error == 0) error = injected("rename", link);
  if (error == 0 && ::rename(temporary.c_str(), link.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temporary.c_str());
    fail("link", link, error);
  }
  sync_folder(link.parent_path());
}

std::string read_text(const std::filesystem::path& path, uint64_t most_bytes) {
  const int descriptor = open_file(path, O_RDONLY);
  if (descriptor < 0) fail("read", path, errno);
  std::string text;
  struct stat status {};
  int error = ::fstat(descriptor, &status) == 0 ? 0 : errno;
  if (error == 0 && S_ISDIR(status.st_mode)) error = EISDIR;
  if (!S_ISREG(status.st_mode)) most_bytes = std::min(most_bytes, kMostWithoutSize);
  const auto size = static_cast<uint64_t>(std::max<off_t>(status.st_size, 0));
  if (error == 0) error = size > most_bytes ? EFBIG : read_all(descriptor, size, most_bytes, text);
  ::close(descriptor);
  if (error == EFBIG) {
    throw CheckpointError::io("read", path.string(),
                              "it holds more than " + std::to_string(most_bytes) +
                                  " bytes, the most that is read; check that it is the right file");
  }
  if (error != 0) fail("read", path, error);
  return text;
}

bool exists(const std::filesystem::path& path) noexcept {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

bool is_folder(const std::filesystem::path& path) noexcept {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

void create_folder(const std::filesystem::path& path) {
  std::error_code code;
  std::filesystem::create_directories(path, code);
  if (code) throw CheckpointError::io("create the folder", path.string(), code.message());
  if (::access(path.c_str(), W_OK | X_OK) != 0) fail("write to the folder", path, errno);
}

std::filesystem::path create_version_folder(const std::filesystem::path& root) {
  constexpr std::string_view kPrefix = "version_";
  create_folder(root);
  uint64_t next = 0;
  std::error_code code;
  for (std::filesystem::directory_iterator entry(root, code), end; !code && entry != end;
       entry.increment(code)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    // Larger numbers aren't from this function.
    const auto number = number_in<uint32_t>(std::string_view(name).substr(kPrefix.size()));
    if (number) next = std::max<uint64_t>(next, *number + uint64_t{1});
  }
  if (code) throw CheckpointError::io("list the folder", root.string(), code.message());
  for (;; ++next) {  // mkdir succeeds in only one of the processes that try the same number
    auto folder = root / (std::string(kPrefix) + std::to_string(next));
    if (const int error = injected("open", folder)) fail("create the folder", folder, error);
    if (::mkdir(folder.c_str(), 0777) == 0) return folder;
    if (errno != EEXIST) fail("create the folder", folder, errno);
  }
}

void remove_file(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) fail("remove", path, errno);
}

void remove_folder(const std::filesystem::path& path) {
  if (::rmdir(path.c_str()) == 0) return;
  if (errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST) fail("remove", path, errno);
}

AppendFile::AppendFile(const std::filesystem::path& path, int64_t offset) : path_(path) {
  if (path.has_parent_path()) create_folder(path.parent_path());
  descriptor_ = open_file(path, O_RDWR | O_CREAT);
  if (descriptor_ < 0) fail("write", path, errno);
  offset_ = ::lseek(descriptor_, 0, SEEK_END);
  if (offset >= 0 && offset < offset_) {
    const int error = ::ftruncate(descriptor_, offset) == 0 ? 0 : errno;
    if (error != 0) {
      close();
      fail("cut", path, error);
    }
    offset_ = ::lseek(descriptor_, 0, SEEK_END);
  }
}

AppendFile::AppendFile(AppendFile&& other) noexcept { *this = std::move(other); }

AppendFile& AppendFile::operator=(AppendFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(offset_, other.offset_);
  std::swap(waiting_, other.waiting_);
  std::swap(replaces_, other.replaces_);
  return *this;
}

AppendFile::~AppendFile() {
  try {
    close();
  } catch (const std::exception&) {  // a destructor can't report an error
  }
}

void AppendFile::append(std::string_view text) {
  waiting_ += text;
  offset_ += static_cast<int64_t>(text.size());
  if (waiting_.size() >= kAppendBuffer) flush();
}

void AppendFile::flush() {
  if (replaces_) {
    write_atomically(path_, waiting_);
    const int descriptor = open_file(path_, O_RDWR);
    if (descriptor < 0) fail("write", path_, errno);
    ::lseek(descriptor, 0, SEEK_END);
    ::close(std::exchange(descriptor_, descriptor));
    waiting_.clear();
    replaces_ = false;
  }
  if (const int error = write_waiting()) fail("write", path_, error);
}

int AppendFile::write_waiting() {
  if (waiting_.empty()) return 0;
  auto data = std::as_bytes(std::span(waiting_.data(), waiting_.size()));
  const int error = write_all(descriptor_, path_, data);
  waiting_.erase(0, waiting_.size() - data.size());
  return error;
}

bool AppendFile::is_removed() const {
  struct stat own {};
  struct stat there {};
  if (!is_open() || ::fstat(descriptor_, &own) != 0) return false;
  if (::stat(path_.c_str(), &there) != 0) return errno == ENOENT || errno == ENOTDIR;
  return own.st_dev != there.st_dev || own.st_ino != there.st_ino;
}

std::string AppendFile::text() const {
  if (replaces_) return waiting_;
  std::string text(static_cast<size_t>(offset_) - waiting_.size(), '\0');
  for (size_t done = 0; done < text.size();) {
    const ssize_t got =
        ::pread(descriptor_, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail("read", path_, got < 0 ? errno : EIO);
    done += static_cast<size_t>(got);
  }
  return text + waiting_;
}

void AppendFile::replace(std::string text) {
  const bool is_empty_on_disk = offset_ == static_cast<int64_t>(waiting_.size()) && !is_removed();
  waiting_ = std::move(text);
  offset_ = static_cast<int64_t>(waiting_.size());
  replaces_ = replaces_ || !is_empty_on_disk;
}

void AppendFile::close() {
  if (!is_open()) return;
  const auto forget = [this] {
    ::close(std::exchange(descriptor_, -1));
    waiting_.clear();
    replaces_ = false;
  };
  try {
    flush();
  } catch (...) {
    forget();
    throw;
  }
  forget();
}

double monotonic_seconds() { return seconds_of<std::chrono::steady_clock>(); }

double wall_seconds() { return seconds_of<std::chrono::system_clock>(); }

void inject_faults(std::function<int(const Operation&)> function) {
  injecting = static_cast<bool>(function);
  injector() = std::move(function);
}

void inject_clock(std::function<double()> clock) {
  clock_injected = false;
  injected_clock() = std::move(clock);
  clock_injected = static_cast<bool>(injected_clock());
}

}  // namespace levin::files
