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

/// Memory that blocks of a file are read into, aligned to pages as reads past the page cache need
/// it. From 2 MiB on it is made of huge pages if the system offers them. Used again and again for
/// blocks of about the same size, it allocates once.
class BlockBuffer {
 public:
  BlockBuffer() = default;
  ~BlockBuffer() { release(); }
  BlockBuffer(const BlockBuffer&) = delete;
  BlockBuffer& operator=(const BlockBuffer&) = delete;
  /// Returns memory of at least `size` bytes, valid until the next call; what was in it may be
  /// gone. Allocates if the present memory is too small, or more than eight times too large. Throws
  /// std::bad_alloc if there is no memory.
  std::byte* reserve(size_t size);

 private:
  /// Gives the memory back.
  void release();

  std::byte* bytes_ = nullptr;
  size_t size_ = 0;
};

/// A file that is open for reading in two ways. It is mapped, so that single bytes anywhere in it
/// can be had without reading the rest (`bytes`); and long stretches can be read into memory of the
/// caller (`read`). Move-only; no descriptor stays open, so that there may be thousands.
///
///     const MappedFile file("rows.bin");
///     BlockBuffer buffer;
///     std::byte* const to = buffer.reserve(MappedFile::read_space(size));
///     const std::byte* first = file.read(offset, size, to, /*direct=*/false);
///
/// Mapped bytes take only page cache. But if the file is cut short while it is mapped, touching
/// bytes that are gone ends the process with SIGBUS; `read` and `check_unchanged` throw instead.
/// Const functions may be called from any number of threads.
class MappedFile {
 public:
  /// The size of a page: reads past the page cache start and end at multiples of it.
  static constexpr size_t kPage = 4096;

  /// Maps the file; reads nothing yet. Throws DataError::unreadable if it is missing, isn't a
  /// regular file, or may not be read.
  explicit MappedFile(const std::filesystem::path& path);
  /// Holds bytes in memory instead of a file, such as those of a file that was compressed. `name`
  /// is what errors call them.
  MappedFile(std::string name, Bytes bytes);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  /// What errors call the file: its path as it was given.
  const std::string& name() const { return name_; }
  /// All bytes, valid until this object is destroyed or moved from.
  std::span<const std::byte> bytes() const { return bytes_; }
  uint64_t size() const { return bytes_.size(); }
  /// The same bytes as a text.
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

  /// The bytes that `read` needs at `to` for `size` bytes: those, and the rest of the pages that
  /// they start and end in.
  static constexpr size_t read_space(uint64_t size) {
    return (static_cast<size_t>(size) + 3 * kPage - 1) / kPage * kPage;
  }
  /// Reads `size` bytes from `offset` on into `to`, which is page-aligned and has read_space(size)
  /// bytes, and returns where the first of them lies. They must lie within the file. Bytes in
  /// memory aren't copied: the result points to them. `direct` reads past the page cache if the
  /// file system can: that costs less, and leaves the cache to data that will be read again. Throws
  /// DataError if the bytes can't be read, or if the file is no longer the one that was opened.
  const std::byte* read(uint64_t offset, uint64_t size, std::byte* to, bool direct) const;
  /// Throws DataError::unreadable if the file at this path is no longer the one that was opened, by
  /// its inode, size and time of change, or if it is gone.
  void check_unchanged() const;
  /// Gives up the pages of this stretch in this process, so that going over a large file doesn't
  /// fill the memory; if they are touched again, they are mapped again.
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
