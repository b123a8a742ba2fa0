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

/// The uncompressed bytes of a bare deflate stream (RFC 1951), which must be `size` and use up all
/// of `bytes`. Throws DataError::corrupt.
Bytes inflate_raw(std::span<const std::byte> bytes, uint64_t size, std::string_view name);

/// zlib's CRC-32, as gzip and zip files hold it; `crc` continues an earlier one.
uint32_t crc32(std::span<const std::byte> bytes, uint32_t crc = 0);

}  // namespace levin::readers
