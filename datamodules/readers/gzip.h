#pragma once

#include <span>
#include <string_view>

#include <levin/datamodules/readers/array.h>

namespace levin::readers {

/// Whether the bytes start as a gzip stream does. Files are told by this, not by their names.
bool is_gzip(std::span<const std::byte> bytes);

/// Returns the uncompressed bytes of a whole gzip file: of all its members, one after another (RFC
/// 1952). `name` is what errors call the file. Throws DataError::corrupt for a truncated or damaged
/// stream, for a wrong checksum, and if anything but zeros follows the last member.
Bytes gunzip(std::span<const std::byte> bytes, std::string_view name);

/// The largest factor by which deflate can expand bytes. With it, a size that a file claims can be
/// judged before memory is allocated for it.
inline constexpr uint64_t kMostInflated = 1032;

/// Returns zlib's CRC-32, which gzip, zip and .lvb files hold; `crc` continues an earlier one.
uint32_t crc32(std::span<const std::byte> bytes, uint32_t crc = 0);

}  // namespace levin::readers
