#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include <levin/datamodules/readers/array.h>

namespace levin::readers {

/// Memory that blocks of a file are read into, aligned for reads past the page cache. Grows where
/// more is asked for, and shrinks where an eighth would do.
class BlockBuffer {
 public:
  BlockBuffer() = default;
  ~BlockBuffer() { release(); }
  BlockBuffer(const BlockBuffer&) = delete;
  BlockBuffer& operator=(const BlockBuffer&) = delete;
  /// At least `size` bytes; what was in it may be gone.
  std::byte* reserve(size_t size);

 private:
  void release();

  std::byte* bytes_ = nullptr;
  size_t size_ = 0;
};

/// A file that is mapped for reading, so that its bytes can be had one here and one there, and that
/// long stretches can be read from into memory of one's own. Move-only; no descriptor stays open.
///
/// Mapped bytes cost no anonymous memory, but a file cut short while it is mapped ends the process
/// when they are touched; `read` and `check_unchanged` say so by an error.
class MappedFile {
 public:
  /// Reads past the page cache go by whole pages of this size.
  static constexpr size_t kPage = 4096;

  /// Throws DataError::unreadable where `path` is missing, no regular file, or not permitted.
  explicit MappedFile(const std::filesystem::path& path);
  /// What a compressed file holds, in memory; `name` is what errors call it.
  MappedFile(std::string name, Bytes bytes);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  /// What errors call it: the path as it was given.
  const std::string& name() const { return name_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  uint64_t size() const { return bytes_.size(); }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

  /// Bytes that `read` needs in its target: `size` and the rest of the pages it starts and ends in.
  static constexpr size_t read_space(uint64_t size) {
    return (static_cast<size_t>(size) + 3 * kPage - 1) / kPage * kPage;
  }
  /// Reads `size` bytes from `offset` on into `to`, page-aligned and of read_space(size) bytes, and
  /// returns where the first of them lies. `direct` goes past the page cache where the file system
  /// can: cheaper, and right for what won't be read again soon. Thread-safe.
  /// Throws DataError where it can't be read, or where the file isn't the one that was opened.
  const std::byte* read(uint64_t offset, uint64_t size, std::byte* to, bool direct) const;
  /// Throws DataError::corrupt where the file isn't the one that was opened any more.
  void check_unchanged() const;
  /// Lets go of this stretch of the mapping: it is read again where it is touched again.
  void release(uint64_t offset, uint64_t size) const;

 private:
  void unmap();

  std::string name_;
  std::filesystem::path path_;  // absolute
  Bytes memory_;                // instead of a mapping
  std::span<const std::byte> bytes_;
  struct stat opened_ = {};
};

}  // namespace levin::readers
