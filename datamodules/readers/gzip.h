#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <levin/datamodules/readers/array.h>

namespace levin::readers {

/// Whether the bytes start as a gzip stream does. Files are told by this, not by their names.
bool is_gzip(std::span<const std::byte> bytes);
/// The path without the ending .gz, if it has one, so that what stands in front of that tells the
/// format: "day.svm" for "day.svm.gz".
std::filesystem::path without_gz(const std::filesystem::path& path);

/// Returns the uncompressed bytes of a whole gzip file: of all its members, one after another (RFC
/// 1952). `name` is what errors call the file. Throws DataError::corrupt for a truncated or damaged
/// stream, for a wrong checksum, and if anything but zeros follows the last member.
Bytes gunzip(std::span<const std::byte> bytes, std::string_view name);

/// The same from front to end, for files whose uncompressed bytes don't fit into memory. Programs
/// that compress by several threads (pigz, bgzip) write many members, which are one text.
///
///     Gunzip text(file.bytes(), file.name());
///     while (const size_t count = text.read(buffer)) use(std::span(buffer).first(count));
class Gunzip {
 public:
  /// The bytes must exist as long as this object. Throws DataError::corrupt unless they start as a
  /// gzip stream does.
  Gunzip(std::span<const std::byte> bytes, std::string_view name);
  ~Gunzip();

  /// Fills `out` with the next uncompressed bytes and returns how many there are: fewer than `out`
  /// has room for only at the end of the last member. Throws what `gunzip` throws, as soon as it
  /// comes to the fault.
  size_t read(std::span<std::byte> out);
  /// The compressed bytes that weren't read yet.
  size_t rest() const;
  /// Whether `read` has come to the end of the last member.
  bool has_ended() const;

 private:
  class Inflater;
  std::unique_ptr<Inflater> inflater_;
};

/// The largest factor by which deflate can expand bytes. With it, a size that a file claims can be
/// judged before memory is allocated for it.
inline constexpr uint64_t kMostInflated = 1032;

/// Returns zlib's CRC-32, which gzip, zip and .lvb files hold; `crc` continues an earlier one.
uint32_t crc32(std::span<const std::byte> bytes, uint32_t crc = 0);

}  // namespace levin::readers
