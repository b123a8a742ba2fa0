#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

/// TFRecord, the framing of TensorBoard's event files: each record is its length (8 bytes,
/// little-endian), a checksum of the length, the data, and a checksum of the data.
///
/// Source: https://www.tensorflow.org/tutorials/load_data/tfrecord.
namespace levin::tfrecord {

/// Returns the CRC-32C (Castagnoli) of `data`.
uint32_t crc32c(std::string_view data);

/// Appends `data` to `out` as one record.
void append(std::string& out, std::string_view data);

/// Returns where the last whole record among the first `limit` bytes of `file` ends: `limit`, if
/// a record ends there, and 0 if the file doesn't begin with a record. Only the checksums of the
/// lengths are checked.
size_t end_of_records(std::string_view file, size_t limit);

}  // namespace levin::tfrecord
