#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Zip archives as `torch.save` writes them: a few named records, usually neither compressed nor
/// encrypted. The functions know nothing of LibTorch, so that the parser can be fuzzed alone.
///
/// Source: APPNOTE.TXT 6.3.9 of PKWARE.
namespace levin::zip_records {

/// Whether a file that begins with these bytes is a zip archive.
bool is_archive(std::span<const std::byte> bytes);

/// The records of an archive in memory. It points into the bytes that it was made of, which must
/// outlive it.
class Archive {
 public:
  /// Reads the list of records and checks that each lies in `bytes`. `path` is used in messages
  /// only. Throws CheckpointError if the list is damaged, if two records have the same name or
  /// overlap, and for records that are encrypted or compressed in another way than by deflate.
  Archive(std::span<const std::byte> bytes, std::string path);

  /// The names of all records, sorted.
  std::vector<std::string> names() const;
  bool contains(std::string_view name) const { return records_.contains(name); }
  /// The number of bytes of a record. Throws CheckpointError if there is none of that name.
  uint64_t size(std::string_view name) const;
  /// The bytes of a record, in the archive's own memory if the record isn't compressed, and else in
  /// `inflated`, which is replaced. Throws CheckpointError if there is no record of that name, if
  /// its checksum is wrong, and if compressed records would take over 1,032 times the archive's own
  /// memory together, which deflate can't reach honestly.
  std::span<const std::byte> read(std::string_view name, std::vector<std::byte>& inflated);

 private:
  struct Record {
    std::span<const std::byte> stored;
    uint64_t size = 0;
    uint32_t crc = 0;
    bool is_deflated = false;
  };

  [[noreturn]] void fail(std::string_view reason) const;
  const Record& find(std::string_view name) const;
  void read_list(uint64_t place, uint64_t end, uint64_t count);
  size_t read_list_entry(size_t place, uint64_t end);
  std::span<const std::byte> stored_bytes(uint64_t place, uint64_t size) const;
  std::vector<std::byte> inflate(const Record& record, std::string_view name) const;

  std::span<const std::byte> bytes_;
  std::string path_;
  std::map<std::string, Record, std::less<>> records_;
  uint64_t stored_bytes_ = 0;    // of all records
  uint64_t inflated_bytes_ = 0;  // that `read` has returned
};

/// A record to write; its bytes must live until the archive is written.
struct NewRecord {
  std::string name;
  std::span<const std::byte> bytes;
};

/// Returns the parts of an archive of these records, without compression, whose concatenation is
/// the file: for each record its header and its bytes, and at the end the list. The bytes of each
/// record start at a multiple of 64, as `torch.save` places them. `headers` receives the memory of
/// what isn't a record's bytes, and must live as long as the parts.
std::vector<std::span<const std::byte>> archive_parts(const std::vector<NewRecord>& records,
                                                      std::vector<std::string>& headers);

}  // namespace levin::zip_records
