#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include <levin/datamodules/readers/array.h>

/// How the parsers get at bytes: files that can be read at any offset, numbers in either byte
/// order, and the spelling of values in messages. Parsers use a FileSource if they need only parts
/// of a file, or need to check its size first; `read_file` is enough for the others.
namespace levin::readers {

/// A regular file that can be read at any offset; only the parts that are read take memory. It
/// stays open as long as the object lives. Any number of threads may read from it at a time.
///
///     const FileSource file("x.npy");
///     const Bytes magic = file.read(0, 6);
class FileSource {
 public:
  /// Throws DataError::unreadable if the file is missing, a folder, a pipe or a device, or if
  /// reading it isn't permitted.
  explicit FileSource(const std::filesystem::path& path);
  ~FileSource();
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  /// What errors call the file: its path.
  const std::string& name() const { return name_; }
  /// The number of bytes when the file was opened.
  uint64_t size() const { return size_; }
  /// Fills `out` with the bytes from `offset` on. Throws DataError::corrupt if the file ends before
  /// that (the message gives its size), and DataError::unreadable if the system can't read it.
  void read(uint64_t offset, std::span<std::byte> out) const;
  /// Does the same into new memory, which is asked for only if the file has so many bytes.
  Bytes read(uint64_t offset, uint64_t size) const;

 private:
  /// Throws DataError::corrupt if the file ends before `offset + size`.
  void check_range(uint64_t offset, uint64_t size) const;

  std::string name_;
  uint64_t size_ = 0;
  /// Read by pread, which has no position that threads could share.
  int descriptor_;
};

/// Reads a whole file into memory. Throws what FileSource throws, and DataError::unreadable if the
/// file becomes shorter meanwhile.
Bytes read_file(const std::filesystem::path& path);

/// Makes room for `size` bytes that the file `name` needs in memory; new ones are 0. Throws
/// DataError::unreadable, which names the file, if this machine doesn't have that much.
void grow(Bytes& bytes, uint64_t size, std::string_view name);

/// The bytes of a text, as a view of it.
std::span<const std::byte> bytes_of(std::string_view text);

/// Reads an unsigned integer of `width` bytes, at most 8, least significant byte first. The bytes
/// must be there, which isn't checked.
uint64_t load_little(std::span<const std::byte> bytes, size_t offset, size_t width);
/// Does the same with the most significant byte first.
uint64_t load_big(std::span<const std::byte> bytes, size_t offset, size_t width);

/// The least multiple of `multiple` that is at least `size`; `multiple` must not be 0.
constexpr size_t rounded_up(size_t size, size_t multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

/// Reverses the bytes of every item of `width` bytes, in place.
void swap_byte_order(std::span<std::byte> bytes, size_t width);

/// Writes a shape as messages show it: "[60000, 28, 28]".
std::string shape_text(std::span<const int64_t> shape);
/// Writes a text out of a file as messages show it: in single quotes, at most 60 bytes of it (then
/// "..."), and with '?' for each control character, so that a damaged file can't garble a terminal.
std::string in_quotes(std::string_view text);

/// Says why an array is refused if `found` bytes follow a header that says `dtype` and `shape`, and
/// these take another number: "its header says uint8 [2, 3], which takes 6 bytes, but ...".
std::string length_fault(DType dtype, std::span<const int64_t> shape, uint64_t found);
/// Says why a path that leads to a folder, or else to a pipe or a device, isn't read.
std::string_view irregular_file_fault(bool is_folder);

}  // namespace levin::readers
