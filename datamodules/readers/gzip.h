#pragma once

#include <span>
#include <string_view>

#include <levin/datamodules/readers/array.h>

namespace levin::readers {

/// Whether the bytes start as a gzip stream does, whatever the file is called.
bool is_gzip(std::span<const std::byte> bytes);

/// The uncompressed bytes of a whole gzip file, all its members one after another (RFC 1952).
///
/// `name` is what errors call it. Throws DataError::corrupt for a truncated or damaged stream, a
/// wrong checksum, and anything but zero padding after the last member.
Bytes gunzip(std::span<const std::byte> bytes, std::string_view name);

/// Deflate can't expand by a larger factor, so that a claimed size can be judged before memory is
/// allocated for it.
inline constexpr uint64_t kMostInflated = 1032;

/// zlib's CRC-32, as gzip and zip files hold it; `crc` continues an earlier one.
uint32_t crc32(std::span<const std::byte> bytes, uint32_t crc = 0);

}  // namespace levin::readers
