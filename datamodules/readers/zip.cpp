#include <levin/datamodules/readers/zip.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include <levin/datamodules/readers/gzip.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

namespace levin::readers {
namespace {

constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kEntrySignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kLocatorSignature = 0x07064b50;
constexpr size_t kLocalSize = 30;
constexpr size_t kEntrySize = 46;
constexpr size_t kEndSize = 22;
constexpr size_t kEnd64Size = 56;
constexpr size_t kLocatorSize = 20;
constexpr uint64_t kFull32 = 0xffffffff;
constexpr uint16_t kStored = 0;
constexpr uint16_t kDeflate = 8;
constexpr uint64_t kEncrypted = 1;
constexpr uint16_t kZip64Field = 1;

[[noreturn]] void fail(const ByteSource& archive, const std::string& reason) {
  throw DataError::corrupt(archive.name(), reason);
}

/// Where the directory lies, from the archive's last record.
struct Directory {
  uint64_t offset = 0;
  uint64_t size = 0;
  uint64_t entries = 0;
};

/// The end record is the last one; a comment may follow it.
uint64_t find_end_record(const ByteSource& archive) {
  if (archive.size() < kEndSize) fail(archive, "it is no zip file: too short");
  const uint64_t tail_size = std::min<uint64_t>(archive.size(), kEndSize + 0xffff);
  const Bytes tail = archive.read(archive.size() - tail_size, tail_size);
  for (size_t at = tail.size() - kEndSize + 1; at-- > 0;) {
    if (load_little(tail, at, 4) != kEndSignature) continue;
    if (at + kEndSize + load_little(tail, at + 20, 2) == tail.size()) {
      return archive.size() - tail_size + at;
    }
  }
  fail(archive, "it is no zip file, or a truncated one: the directory at its end is missing");
}

Directory find_directory(const ByteSource& archive) {
  const uint64_t end_offset = find_end_record(archive);
  const Bytes end = archive.read(end_offset, kEndSize);
  Directory directory = {load_little(end, 16, 4), load_little(end, 12, 4), load_little(end, 10, 2)};
  bool one_part = load_little(end, 4, 4) == 0 && load_little(end, 8, 2) == directory.entries;
  uint64_t directory_end = end_offset;

  const bool room = end_offset >= kLocatorSize + kEnd64Size;
  const Bytes locator = room ? archive.read(end_offset - kLocatorSize, kLocatorSize) : Bytes{};
  if (room && load_little(locator, 0, 4) == kLocatorSignature) {
    directory_end = load_little(locator, 8, 8);
    const Bytes end64 = archive.read(directory_end, kEnd64Size);
    const uint64_t record_size = load_little(end64, 4, 8) + 12;
    if (load_little(end64, 0, 4) != kEnd64Signature || record_size < kEnd64Size ||
        directory_end + record_size != end_offset - kLocatorSize) {
      fail(archive, "its zip64 directory is damaged");
    }
    directory = {load_little(end64, 48, 8), load_little(end64, 40, 8), load_little(end64, 32, 8)};
    one_part = load_little(end64, 16, 8) == 0 && load_little(end64, 24, 8) == directory.entries &&
               load_little(locator, 4, 4) == 0;
  }
  if (!one_part) fail(archive, "it is one part of several, or its directory is damaged");
  if (directory.size > directory_end || directory.offset != directory_end - directory.size) {
    fail(archive, "its directory isn't where its end says");
  }
  return directory;
}

/// Sizes that don't fit in 32 bits stand in an extra field, in this order, only those needed.
void apply_zip64(const ByteSource& archive, std::span<const std::byte> extra, ZipEntry& entry) {
  uint64_t* const wide[] = {&entry.size, &entry.compressed_size, &entry.header_offset};
  if (std::none_of(std::begin(wide), std::end(wide), [](auto* v) { return *v == kFull32; })) return;
  while (extra.size() >= 4) {
    const uint64_t id = load_little(extra, 0, 2);
    const uint64_t size = load_little(extra, 2, 2);
    extra = extra.subspan(4);
    if (size > extra.size()) break;
    auto field = extra.first(size);
    extra = extra.subspan(size);
    if (id != kZip64Field) continue;
    for (uint64_t* value : wide) {
      if (*value != kFull32) continue;
      if (field.size() < 8)
        fail(archive, "the zip64 size of " + in_quotes(entry.name) + " is missing");
      *value = load_little(field, 0, 8);
      field = field.subspan(8);
    }
    return;
  }
  fail(archive, "the zip64 size of " + in_quotes(entry.name) + " is missing");
}

/// Reads one entry from the front of `rest` and cuts it off.
ZipEntry read_entry(const ByteSource& archive, std::span<const std::byte>& rest) {
  if (rest.size() < kEntrySize || load_little(rest, 0, 4) != kEntrySignature) {
    fail(archive, "its directory is damaged");
  }
  const size_t name_size = load_little(rest, 28, 2);
  const size_t extra_size = load_little(rest, 30, 2);
  const size_t whole = kEntrySize + name_size + extra_size + load_little(rest, 32, 2);
  if (whole > rest.size()) fail(archive, "its directory is damaged");
  ZipEntry entry;
  entry.name.assign(reinterpret_cast<const char*>(rest.data()) + kEntrySize, name_size);
  entry.method = static_cast<uint16_t>(load_little(rest, 10, 2));
  entry.crc = static_cast<uint32_t>(load_little(rest, 16, 4));
  entry.compressed_size = load_little(rest, 20, 4);
  entry.size = load_little(rest, 24, 4);
  entry.header_offset = load_little(rest, 42, 4);
  if ((load_little(rest, 8, 2) & kEncrypted) != 0) {
    fail(archive, in_quotes(entry.name) + " is encrypted");
  }
  apply_zip64(archive, rest.subspan(kEntrySize + name_size, extra_size), entry);
  rest = rest.subspan(whole);
  return entry;
}

/// Reads the entry's own header, which precedes its bytes and repeats what the directory says.
uint64_t find_data(const ByteSource& archive, const ZipEntry& entry) {
  const Bytes local = archive.read(entry.header_offset, kLocalSize);
  const size_t name_size = load_little(local, 26, 2);
  const Bytes name = archive.read(entry.header_offset + kLocalSize, name_size);
  const auto expected = bytes_of(entry.name);
  if (load_little(local, 0, 4) != kLocalSignature || load_little(local, 8, 2) != entry.method ||
      !std::equal(name.begin(), name.end(), expected.begin(), expected.end())) {
    fail(archive, "the header of " + in_quotes(entry.name) + " disagrees with the directory");
  }
  return entry.header_offset + kLocalSize + name_size + load_little(local, 28, 2);
}

// --- writing ---------------------------------------------------------------------------------

class Record {
 public:
  Record& add(uint64_t value, size_t width) {
    for (size_t i = 0; i < width; ++i) bytes_.push_back(static_cast<std::byte>(value >> (8 * i)));
    return *this;
  }
  Record& add(std::string_view text) {
    const auto bytes = bytes_of(text);
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Record& add(const Record& other) {
    bytes_.insert(bytes_.end(), other.bytes_.begin(), other.bytes_.end());
    return *this;
  }
  size_t size() const { return bytes_.size(); }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

/// What both headers of an entry share: version, flags, method, date, sizes.
Record common_fields(const ZipEntry& entry, bool wide) {
  constexpr uint64_t kUtf8Name = 1 << 11;
  constexpr uint64_t kFirstDay = 1 << 5 | 1;  // 1980-01-01, as NumPy writes
  Record record;
  record.add(wide ? 45 : 20, 2).add(kUtf8Name, 2).add(kStored, 2).add(0, 2).add(kFirstDay, 2);
  record.add(entry.crc, 4);
  record.add(wide ? kFull32 : entry.size, 4).add(wide ? kFull32 : entry.size, 4);
  return record.add(entry.name.size(), 2);
}

Record local_header(const ZipEntry& entry, uint64_t zip64_from) {
  const bool wide = entry.size >= zip64_from;
  Record record;
  record.add(kLocalSignature, 4).add(common_fields(entry, wide)).add(wide ? 20 : 0, 2);
  record.add(entry.name);
  if (wide) record.add(kZip64Field, 2).add(16, 2).add(entry.size, 8).add(entry.size, 8);
  return record;
}

Record directory_entry(const ZipEntry& entry, uint64_t zip64_from) {
  const bool wide = entry.size >= zip64_from;
  const bool far = entry.header_offset >= zip64_from;
  const uint64_t field = (wide ? 16u : 0u) + (far ? 8u : 0u);
  Record record;
  record.add(kEntrySignature, 4).add(wide || far ? 45 : 20, 2).add(common_fields(entry, wide));
  record.add(field > 0 ? field + 4 : 0, 2).add(0, 2).add(0, 2).add(0, 2).add(0, 4);
  record.add(far ? kFull32 : entry.header_offset, 4).add(entry.name);
  if (field > 0) record.add(kZip64Field, 2).add(field, 2);
  if (wide) record.add(entry.size, 8).add(entry.size, 8);
  if (far) record.add(entry.header_offset, 8);
  return record;
}

Record end_records(const Directory& directory, uint64_t zip64_from) {
  constexpr uint64_t kFull16 = 0xffff;
  const bool many = directory.entries >= std::min(kFull16, zip64_from);
  const bool wide = many || directory.size >= zip64_from || directory.offset >= zip64_from;
  Record record;
  if (wide) {
    record.add(kEnd64Signature, 4).add(kEnd64Size - 12, 8).add(45, 2).add(45, 2).add(0, 8);
    record.add(directory.entries, 8).add(directory.entries, 8).add(directory.size, 8);
    record.add(directory.offset, 8);
    record.add(kLocatorSignature, 4).add(0, 4).add(directory.offset + directory.size, 8).add(1, 4);
  }
  const uint64_t entries = wide ? kFull16 : directory.entries;
  record.add(kEndSignature, 4).add(0, 4).add(entries, 2).add(entries, 2);
  record.add(wide ? kFull32 : directory.size, 4).add(wide ? kFull32 : directory.offset, 4);
  return record.add(0, 2);
}

}  // namespace

std::vector<ZipEntry> read_zip_directory(const ByteSource& archive) {
  const Directory directory = find_directory(archive);
  const Bytes bytes = archive.read(directory.offset, directory.size);
  std::span<const std::byte> rest = bytes;
  std::vector<ZipEntry> entries;
  std::set<std::string> names;
  while (!rest.empty()) {
    ZipEntry entry = read_entry(archive, rest);
    if (!names.insert(entry.name).second) {
      fail(archive, "it holds " + in_quotes(entry.name) + " twice");
    }
    entry.data_offset = find_data(archive, entry);
    if (entry.data_offset > directory.offset ||
        entry.compressed_size > directory.offset - entry.data_offset) {
      fail(archive, in_quotes(entry.name) + " doesn't lie inside the archive");
    }
    entries.push_back(std::move(entry));
  }
  if (entries.size() != directory.entries) fail(archive, "its directory is damaged");
  return entries;
}

Bytes read_zip_entry(const ByteSource& archive, const ZipEntry& entry) {
  Bytes bytes = archive.read(entry.data_offset, entry.compressed_size);
  if (entry.method == kDeflate) {
    bytes = inflate_raw(bytes, entry.size, archive.name() + ":" + entry.name);
  } else if (entry.method != kStored) {
    fail(archive, in_quotes(entry.name) + " is compressed by method " +
                      std::to_string(entry.method) +
                      ", which isn't known (stored and deflate are)");
  }
  if (bytes.size() != entry.size) {
    fail(archive, "the sizes of " + in_quotes(entry.name) + " disagree");
  }
  if (crc32(bytes) != entry.crc) {
    fail(archive, "the checksum (CRC-32) of " + in_quotes(entry.name) + " is wrong");
  }
  return bytes;
}

void write_zip(const std::filesystem::path& path, std::span<const ZipMember> members,
               uint64_t zip64_from) {
  std::vector<Record> headers;
  std::vector<ZipEntry> entries;
  Directory directory;
  for (const ZipMember& member : members) {
    ZipEntry entry;
    entry.name = member.name;
    entry.header_offset = directory.offset;
    for (const auto& part : member.parts) {
      entry.crc = crc32(part, entry.crc);
      entry.size += part.size();
    }
    headers.push_back(local_header(entry, zip64_from));
    directory.offset += headers.back().size() + entry.size;
    entries.push_back(std::move(entry));
  }
  Record tail;
  for (const ZipEntry& entry : entries) tail.add(directory_entry(entry, zip64_from));
  directory.size = tail.size();
  directory.entries = entries.size();
  tail.add(end_records(directory, zip64_from));

  std::vector<std::span<const std::byte>> parts;
  for (size_t i = 0; i < members.size(); ++i) {
    parts.push_back(headers[i].bytes());
    parts.insert(parts.end(), members[i].parts.begin(), members[i].parts.end());
  }
  parts.push_back(tail.bytes());
  files::write_atomically(path, parts);
}

}  // namespace levin::readers
