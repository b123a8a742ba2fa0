#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/array.h>

struct zip;  // libzip's zip_t and zip_source_t
struct zip_source;

namespace levin::readers {

/// One file inside a zip archive, as the archive's directory describes it.
struct ZipEntry {
  /// The path within the archive, with '/' between folders.
  std::string name = {};
  /// The entry's number in the directory, from 0.
  uint64_t index = 0;
  /// The compression method: 0 is stored, 8 is deflate. Entries of other methods are listed, but
  /// `read` refuses them.
  uint16_t method = 0;
  /// Bytes in the archive, and bytes once they are uncompressed.
  uint64_t compressed_size = 0;
  uint64_t size = 0;
};

/// A zip archive that is open for reading, with or without zip64 sizes. libzip parses it.
///
///     const ZipArchive archive("arrays.npz");
///     for (const ZipEntry& entry : archive.entries()) use(entry.name, archive.read(entry));
///
/// An archive is refused as a whole if its directory is damaged or disagrees with the headers of
/// the entries, if it is one part of several, if an entry is encrypted, or if a name comes twice.
/// Move-only. One thread at a time may use an archive.
class ZipArchive {
 public:
  /// Opens a file; entries are read from it when they are asked for. Throws DataError::unreadable
  /// if it can't be read, and DataError::corrupt if it is refused.
  explicit ZipArchive(const std::filesystem::path& path);
  /// Opens an archive in memory that the caller keeps alive and unchanged; `name` is what errors
  /// call it. Throws DataError::corrupt if it is refused.
  ZipArchive(std::span<const std::byte> bytes, std::string_view name);
  ZipArchive(ZipArchive&&) = default;
  ~ZipArchive();

  /// What errors call the archive: its path as it was given.
  const std::string& name() const { return name_; }
  /// The entries in the directory's order.
  const std::vector<ZipEntry>& entries() const { return entries_; }

  /// Returns the uncompressed bytes of an entry. Throws DataError::corrupt if they are damaged, if
  /// their CRC-32 or their size is wrong, if the method is neither 0 nor 8, or if the entry claims
  /// a size that its compressed bytes can't expand to; the claim is judged before memory is
  /// allocated.
  Bytes read(const ZipEntry& entry) const;

 private:
  struct Close {
    void operator()(struct zip* archive) const;
  };
  /// Takes over `source`. Throws the DataErrors of the constructors.
  void open(struct zip_source* source, uint64_t size);
  /// Fills `entries_` and checks each of them.
  void read_directory(uint64_t archive_size);

  std::string name_;
  std::unique_ptr<struct zip, Close> archive_;
  std::vector<ZipEntry> entries_;
};

/// A file to be written into an archive: its bytes are `parts`, one after another, which the caller
/// keeps alive until it is written.
struct ZipMember {
  std::string name = {};
  std::vector<std::span<const std::byte>> parts = {};
};

/// Writes `members`, of which there may be none, to a new archive without compression, then syncs
/// it and renames it over `path`; makes the folder if it is missing. The same members give the same
/// bytes at any time and in any time zone. Throws CheckpointError if the file can't be written; no
/// part of it is left behind then.
void write_zip(const std::filesystem::path& path, std::span<const ZipMember> members);

}  // namespace levin::readers
