#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include <levin/datamodules/readers/array.h>

namespace levin::readers {

/// Bytes that can be read at any offset: a file, without holding all of it, or memory.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  /// What errors call it: the path.
  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }
  /// Fills `out` from `offset` on. Throws DataError where that is past the end or can't be read.
  void read(uint64_t offset, std::span<std::byte> out) const;
  Bytes read(uint64_t offset, uint64_t size) const;

 protected:
  ByteSource(std::string name, uint64_t size) : name_(std::move(name)), size_(size) {}
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;
  virtual void do_read(uint64_t offset, std::span<std::byte> out) const = 0;
  /// Throws DataError::corrupt where the source ends before `offset + size`.
  void check_range(uint64_t offset, uint64_t size) const;
  /// For sources that learn their size while they open.
  void set_size(uint64_t size) { size_ = size; }

 private:
  std::string name_;
  uint64_t size_;
};

/// A regular file. Throws DataError::unreadable where it is missing, a folder, or not permitted.
class FileSource : public ByteSource {
 public:
  explicit FileSource(const std::filesystem::path& path);
  ~FileSource() override;

 private:
  void do_read(uint64_t offset, std::span<std::byte> out) const override;
  int descriptor_;
};

/// Bytes that somebody else keeps alive.
class MemorySource : public ByteSource {
 public:
  MemorySource(std::span<const std::byte> bytes, std::string_view name)
      : ByteSource(std::string(name), bytes.size()), bytes_(bytes) {}

 private:
  void do_read(uint64_t offset, std::span<std::byte> out) const override;
  std::span<const std::byte> bytes_;
};

/// The whole file. Throws DataError::unreadable.
Bytes read_file(const std::filesystem::path& path);

/// The bytes of a text, as a view.
std::span<const std::byte> bytes_of(std::string_view text);

/// An unsigned integer of `width` bytes, least significant first.
uint64_t load_little(std::span<const std::byte> bytes, size_t offset, size_t width);
/// An unsigned integer of `width` bytes, most significant first.
uint64_t load_big(std::span<const std::byte> bytes, size_t offset, size_t width);

/// The least multiple of `multiple` that is at least `size`.
constexpr size_t rounded_up(size_t size, size_t multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

/// Reverses the bytes of every item of `width` bytes in place.
void swap_byte_order(std::span<std::byte> bytes, size_t width);

/// "[60000, 28, 28]", for errors.
std::string shape_text(std::span<const int64_t> shape);
/// A text out of a file as errors show it: in quotes, at most 60 characters, nothing unprintable.
std::string in_quotes(std::string_view text);

}  // namespace levin::readers
