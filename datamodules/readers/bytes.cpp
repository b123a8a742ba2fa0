#include <levin/datamodules/readers/bytes.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include <fmt/format.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/first_bytes.h>
#include <levin/framework/core/memory.h>

namespace levin::readers {

FileSource::FileSource(const std::filesystem::path& path) : name_(path.string()) {
  // Without O_NONBLOCK, opening a pipe would wait for somebody who writes into it.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) throw DataError::unreadable(name_, std::strerror(errno));
  struct stat info = {};
  const bool known = ::fstat(descriptor_, &info) == 0;
  if (!known || !S_ISREG(info.st_mode)) {
    const std::string reason(known ? irregular_file_fault(S_ISDIR(info.st_mode))
                                   : std::string_view(std::strerror(errno)));
    ::close(descriptor_);
    throw DataError::unreadable(name_, reason);
  }
  size_ = static_cast<uint64_t>(info.st_size);
}

FileSource::~FileSource() { ::close(descriptor_); }

void FileSource::check_range(uint64_t offset, uint64_t size) const {
  if (offset <= size_ && size <= size_ - offset) return;
  throw DataError::corrupt(name_, "it ends after " + counted(size_, "byte") + ", but " +
                                      counted(size, "byte") + " from offset " +
                                      std::to_string(offset) +
                                      " on are needed: it is truncated, or a size written in it "
                                      "is wrong; copy or download it again");
}

void FileSource::read(uint64_t offset, std::span<std::byte> out) const {
  check_range(offset, out.size());
  while (!out.empty()) {
    const ssize_t got = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw DataError::unreadable(name_, std::strerror(errno));
    if (got == 0) {
      throw DataError::unreadable(name_,
                                  "it became shorter while it was read; wait until nothing writes "
                                  "to it, and start again");
    }
    offset += static_cast<uint64_t>(got);
    out = out.subspan(static_cast<size_t>(got));
  }
}

Bytes FileSource::read(uint64_t offset, uint64_t size) const {
  check_range(offset, size);  // before memory is asked for
  Bytes bytes;
  grow(bytes, size, name_);
  read(offset, bytes);
  return bytes;
}

Bytes read_file(const std::filesystem::path& path) {
  const FileSource file(path);
  return file.read(0, file.size());
}

void grow(Bytes& bytes, uint64_t size, std::string_view name) {
  try {
    if (size <= physical_memory()) return bytes.resize(size);
  } catch (const std::bad_alloc&) {
  }
  throw DataError::unreadable(
      name, fmt::format("it takes {:.1f} GB of memory, which this machine doesn't have; use "
                        "StreamDataModule for data that is larger than memory",
                        static_cast<double>(size) / 1e9));
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

uint64_t load_little(std::span<const std::byte> bytes, size_t offset, size_t width) {
  uint64_t value = 0;
  for (size_t i = width; i-- > 0;)
    value = value << 8 | std::to_integer<uint64_t>(bytes[offset + i]);
  return value;
}

uint64_t load_big(std::span<const std::byte> bytes, size_t offset, size_t width) {
  uint64_t value = 0;
  for (size_t i = 0; i < width; ++i) {
    value = value << 8 | std::to_integer<uint64_t>(bytes[offset + i]);
  }
  return value;
}

void swap_byte_order(std::span<std::byte> bytes, size_t width) {
  if (width < 2) return;
  for (size_t at = 0; at + width <= bytes.size(); at += width) {
    std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                 bytes.begin() + static_cast<std::ptrdiff_t>(at + width));
  }
}

std::string shape_text(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

std::string in_quotes(std::string_view text) {
  constexpr size_t kLongest = 60;
  std::string shown = "'";
  for (char c : first_bytes(text, kLongest)) {
    const auto code = static_cast<unsigned char>(c);
    shown += code < 0x20 || code == 0x7f ? '?' : c;
  }
  return shown + (text.size() > kLongest ? "...'" : "'");
}

std::string length_fault(DType dtype, std::span<const int64_t> shape, uint64_t found) {
  const auto wanted = byte_count(shape, dtype);
  const std::string takes = wanted ? counted(*wanted, "byte") : "more bytes than a file can have";
  const char* cause = "something was appended to it";
  if (!wanted) cause = "its header is damaged";
  if (wanted && *wanted > found) cause = "it is truncated";
  return "its header says " + std::string(dtype_name(dtype)) + " " + shape_text(shape) +
         ", which takes " + takes + ", but is followed by " + std::to_string(found) + ": " + cause +
         "; copy or download it again";
}

std::string_view irregular_file_fault(bool is_folder) {
  return is_folder ? "it is a folder, but a file is needed; name a file in it"
                   : "it isn't a regular file but a pipe or a device; save what it gives as a file "
                     "and name that";
}

}  // namespace levin::readers
