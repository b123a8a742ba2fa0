#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <levin/datamodules/readers/bytes.h>

namespace levin::readers {

/// One file inside a zip archive, as the archive's directory describes it.
struct ZipEntry {
  std::string name = {};
  uint16_t method = 0;  ///< 0: stored, 8: deflate
  uint32_t crc = 0;
  uint64_t compressed_size = 0;
  uint64_t size = 0;
  uint64_t header_offset = 0;
  uint64_t data_offset = 0;
};

/// The directory of an archive, with or without zip64 sizes (PKWARE's APPNOTE.TXT 6.3).
///
/// Throws DataError::corrupt for what is no zip file or a damaged one, and for archives in several
/// parts, encrypted entries, a name that comes twice, bytes before or after the archive, and
/// entries whose own header disagrees with the directory.
std::vector<ZipEntry> read_zip_directory(const ByteSource& archive);

/// The bytes of one entry. Throws DataError::corrupt where they are damaged or the checksum is
/// wrong.
Bytes read_zip_entry(const ByteSource& archive, const ZipEntry& entry);

/// A file to be written into an archive: its bytes are `parts`, one after another.
struct ZipMember {
  std::string name = {};
  std::vector<std::span<const std::byte>> parts = {};
};

/// From this size or offset on a writer uses zip64 fields.
constexpr uint64_t kZip64From = 0xffffffff;

/// Writes `members` without compression, the same bytes for the same members whenever it is done,
/// atomically. Throws CheckpointError where the file can't be written.
void write_zip(const std::filesystem::path& path, std::span<const ZipMember> members,
               uint64_t zip64_from = kZip64From);

}  // namespace levin::readers
