#include <levin/tuning/study/journal_file.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/write_signals.h>
#include <levin/tuning/space/python_json.h>

namespace levin {
namespace {

[[noreturn]] void fail_journal(std::string_view action, const std::filesystem::path& path) {
  throw CheckpointError::io(action, path.string(), std::strerror(errno));
}

uint64_t size_of_journal(int descriptor, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) fail_journal("read", path);
  return static_cast<uint64_t>(status.st_size);
}

/// Writes all of `text` at the end of the file; returns whether it succeeded.
bool write_to_journal(int descriptor, std::string_view text) {
  const NoWriteSignals signals;
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace

JournalFile::JournalFile(const std::filesystem::path& path) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_journal("open", path);
  try {
    lock_ = std::make_unique<JournalLock>(path);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

JournalFile::~JournalFile() { ::close(descriptor_); }

std::string JournalFile::read_from(uint64_t offset) const {
  const uint64_t size = size_of_journal(descriptor_, path_);
  if (size < offset) {
    throw CheckpointError(fmt::format(
        "'{}' has become shorter: it had {} bytes and now has {}; nothing may be removed "
        "from the file of a study while it is in use",
        path_.string(), offset, size));
  }
  std::string text(static_cast<size_t>(size - offset), '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = ::pread(descriptor_, text.data() + done, text.size() - done,
                                static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_journal("read", path_);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  text.resize(done);
  return text;
}

std::vector<Value> JournalFile::read_new() {
  const std::string text = read_from(offset_);
  std::vector<Value> lines;
  size_t begin = 0;
  for (size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    try {
      lines.push_back(from_python_json(line));
    } catch (const DataError& error) {
      throw DataError::corrupt(
          path_.string(),
          fmt::format("line {}: {}", line_ + static_cast<int64_t>(lines.size()) + 1, error.what()));
    }
  }
  offset_ += begin;
  line_ += static_cast<int64_t>(lines.size());
  return lines;
}

uint64_t JournalFile::remove_torn_line(uint64_t size) const {
  constexpr uint64_t kBlock = 65536;
  uint64_t end = size;
  char last_byte = 0;
  const bool is_whole =
      size == 0 ||
      (::pread(descriptor_, &last_byte, 1, static_cast<off_t>(size - 1)) == 1 && last_byte == '\n');
  if (is_whole) return size;
  while (end > 0) {
    const uint64_t begin = end > kBlock ? end - kBlock : 0;
    std::string block(static_cast<size_t>(end - begin), '\0');
    if (::pread(descriptor_, block.data(), block.size(), static_cast<off_t>(begin)) !=
        static_cast<ssize_t>(block.size())) {
      fail_journal("read", path_);
    }
    const size_t last = block.rfind('\n');
    end = last == std::string::npos ? begin : begin + last + 1;
    if (last != std::string::npos) break;
  }
  if (end != size && ::ftruncate(descriptor_, static_cast<off_t>(end)) != 0) {
    fail_journal("truncate", path_);
  }
  return end;
}

void JournalFile::append(const std::vector<Value>& lines) {
  if (!lines.empty()) append_made([&] { return lines; });
}

void JournalFile::append_made(const std::function<std::vector<Value>()>& make) {
  const JournalLockGuard guard(*lock_);
  std::string text;
  for (const Value& line : make()) text += to_python_json(line) + "\n";
  if (text.empty()) return;
  const uint64_t size = remove_torn_line(size_of_journal(descriptor_, path_));
  const bool waits =
      sync_interval_ == 0.0 || files::monotonic_seconds() - synced_ >= sync_interval_;
  if (write_to_journal(descriptor_, text) && (!waits || ::fsync(descriptor_) == 0)) {
    if (waits && sync_interval_ > 0.0) synced_ = files::monotonic_seconds();
    return;
  }
  const int error = errno;
  // A part of a line would be glued to the next one.
  if (::ftruncate(descriptor_, static_cast<off_t>(size)) == 0) errno = error;
  fail_journal("write", path_);
}

void JournalFile::set_sync_interval(double seconds) {
  sync_interval_ = seconds;
  sync();
}

void JournalFile::sync() {
  if (::fsync(descriptor_) != 0) fail_journal("write", path_);
  synced_ = files::monotonic_seconds();
}

}  // namespace levin
