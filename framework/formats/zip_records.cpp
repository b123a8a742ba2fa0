#include <levin/framework/formats/zip_records.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <zlib.h>

#include <levin/framework/core/error.h>

namespace levin::zip_records {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kListEntry = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50;
constexpr uint32_t kEnd64Locator = 0x07064b50;
constexpr size_t kLocalSize = 30;
constexpr size_t kListEntrySize = 46;
constexpr size_t kEndSize = 22;
constexpr size_t kEnd64Size = 56;
constexpr size_t kLocatorSize = 20;
constexpr size_t kLongestComment = 65535;
constexpr uint64_t kFull32 = 0xffffffff;
constexpr uint64_t kFull16 = 0xffff;
constexpr uint64_t kMostInflation = 1032;
constexpr uint64_t kRecordAlignment = 64;
constexpr uint16_t kPaddingId = 0x4246;  // "FB", as torch.save writes it
constexpr uint16_t kZip64Id = 1;

/// A little-endian number of `size` bytes; the caller has checked that they are there.
uint64_t number_at(std::span<const std::byte> bytes, size_t place, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) value |= static_cast<uint64_t>(bytes[place + i]) << (8 * i);
  return value;
}

void put_number(std::string& out, uint64_t value, int size) {
  for (int i = 0; i < size; ++i) out += static_cast<char>((value >> (8 * i)) & 0xff);
}

uint32_t record_crc(std::span<const std::byte> bytes) {
  if (bytes.empty()) return 0;
  return static_cast<uint32_t>(
      ::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

/// The place of the archive's end record, or the number of bytes if there is none.
size_t find_end(std::span<const std::byte> bytes) {
  if (bytes.size() < kEndSize) return bytes.size();
  const size_t last = bytes.size() - kEndSize;
  const size_t first = last - std::min(last, kLongestComment);
  for (size_t place = last + 1; place-- > first;) {
    if (number_at(bytes, place, 4) == kEnd && number_at(bytes, place + 20, 2) == last - place) {
      return place;
    }
  }
  return bytes.size();
}

/// Replaces those of `numbers` that are full by the 64-bit ones of an entry's extra fields.
void take_zip64(std::span<const std::byte> extra, std::span<uint64_t* const> numbers) {
  while (extra.size() >= 4) {
    const uint64_t id = number_at(extra, 0, 2);
    const uint64_t size = number_at(extra, 2, 2);
    if (size > extra.size() - 4) return;
    if (id == kZip64Id) {
      size_t place = 4;
      for (uint64_t* number : numbers) {
        if (*number != kFull32 || place + 8 > 4 + size) continue;
        *number = number_at(extra, place, 8);
        place += 8;
      }
    }
    extra = extra.subspan(4 + size);
  }
}

/// The header before a record's bytes. `start` is its place in the file.
std::string local_header(const NewRecord& record, uint32_t crc, uint64_t start) {
  const bool is_large = record.bytes.size() >= kFull32;
  std::string extra;
  if (is_large) {
    put_number(extra, kZip64Id, 2);
    put_number(extra, 16, 2);
    put_number(extra, record.bytes.size(), 8);
    put_number(extra, record.bytes.size(), 8);
  }
  const uint64_t unpadded = start + kLocalSize + record.name.size() + extra.size() + 4;
  const uint64_t padding = (kRecordAlignment - unpadded % kRecordAlignment) % kRecordAlignment;
  put_number(extra, kPaddingId, 2);
  put_number(extra, padding, 2);
  extra.append(padding, 'Z');

  std::string out;
  put_number(out, kLocalHeader, 4);
  put_number(out, is_large ? 45 : 20, 2);
  put_number(out, 0x800, 2);  // the name is UTF-8
  put_number(out, 0, 2);
  put_number(out, 0x210000, 4);  // 1980-01-01, so that the same weights make the same file
  put_number(out, crc, 4);
  put_number(out, is_large ? kFull32 : record.bytes.size(), 4);
  put_number(out, is_large ? kFull32 : record.bytes.size(), 4);
  put_number(out, record.name.size(), 2);
  put_number(out, extra.size(), 2);
  return out + record.name + extra;
}

std::string list_entry(const NewRecord& record, uint32_t crc, uint64_t start) {
  const uint64_t size = record.bytes.size();
  std::string extra;
  if (size >= kFull32) {
    put_number(extra, size, 8);
    put_number(extra, size, 8);
  }
  if (start >= kFull32) put_number(extra, start, 8);
  if (!extra.empty()) {
    std::string head;
    put_number(head, kZip64Id, 2);
    put_number(head, extra.size(), 2);
    extra = head + extra;
  }
  std::string out;
  put_number(out, kListEntry, 4);
  put_number(out, 45, 2);
  put_number(out, extra.empty() ? 20 : 45, 2);
  put_number(out, 0x800, 2);
  put_number(out, 0, 2);
  put_number(out, 0x210000, 4);
  put_number(out, crc, 4);
  put_number(out, std::min(size, kFull32), 4);
  put_number(out, std::min(size, kFull32), 4);
  put_number(out, record.name.size(), 2);
  put_number(out, extra.size(), 2);
  put_number(out, 0, 2 + 2 + 2);
  put_number(out, 0, 4);
  put_number(out, std::min(start, kFull32), 4);
  return out + record.name + extra;
}

/// What follows the list of records.
std::string end_records(uint64_t count, uint64_t list_start, uint64_t list_size) {
  std::string out;
  if (count >= kFull16 || list_start >= kFull32 || list_size >= kFull32) {
    put_number(out, kEnd64, 4);
    put_number(out, kEnd64Size - 12, 8);
    put_number(out, 45, 2);
    put_number(out, 45, 2);
    put_number(out, 0, 8);
    put_number(out, count, 8);
    put_number(out, count, 8);
    put_number(out, list_size, 8);
    put_number(out, list_start, 8);
    put_number(out, kEnd64Locator, 4);
    put_number(out, 0, 4);
    put_number(out, list_start + list_size, 8);
    put_number(out, 1, 4);
  }
  put_number(out, kEnd, 4);
  put_number(out, 0, 4);
  put_number(out, std::min(count, kFull16), 2);
  put_number(out, std::min(count, kFull16), 2);
  put_number(out, std::min(list_size, kFull32), 4);
  put_number(out, std::min(list_start, kFull32), 4);
  put_number(out, 0, 2);
  return out;
}

}  // namespace

bool is_archive(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && number_at(bytes, 0, 4) == kLocalHeader;
}

Archive::Archive(std::span<const std::byte> bytes, std::string path)
    : bytes_(bytes), path_(std::move(path)) {
  const size_t end = find_end(bytes_);
  if (end == bytes_.size()) fail("the list of its records, at its end, is missing");
  uint64_t count = number_at(bytes_, end + 10, 2);
  uint64_t size = number_at(bytes_, end + 12, 4);
  uint64_t start = number_at(bytes_, end + 16, 4);
  uint64_t limit = end;
  const bool is_full = count == kFull16 || size == kFull32 || start == kFull32;
  if (is_full && end >= kLocatorSize && number_at(bytes_, end - kLocatorSize, 4) == kEnd64Locator) {
    const uint64_t place = number_at(bytes_, end - kLocatorSize + 8, 8);
    const uint64_t last = end - kLocatorSize;
    if (last < kEnd64Size || place > last - kEnd64Size || number_at(bytes_, place, 4) != kEnd64) {
      fail("its 64-bit end record is damaged");
    }
    count = number_at(bytes_, place + 32, 8);
    size = number_at(bytes_, place + 40, 8);
    start = number_at(bytes_, place + 48, 8);
    limit = place;
  }
  if (start > limit || size > limit - start) fail("the list of its records isn't in the file");
  read_list(start, start + size, count);
}

void Archive::fail(std::string_view reason) const { throw CheckpointError::corrupt(path_, reason); }

void Archive::read_list(uint64_t place, uint64_t end, uint64_t count) {
  size_t next = place;
  for (uint64_t i = 0; i < count; ++i) next = read_list_entry(next, end);
  if (next != end) fail("the list of its records has another length than its end says");
}

size_t Archive::read_list_entry(size_t place, uint64_t end) {
  if (end - place < kListEntrySize || number_at(bytes_, place, 4) != kListEntry) {
    fail("the list of its records is damaged");
  }
  const uint64_t flags = number_at(bytes_, place + 8, 2);
  const uint64_t method = number_at(bytes_, place + 10, 2);
  uint64_t stored = number_at(bytes_, place + 20, 4);
  Record record;
  record.crc = static_cast<uint32_t>(number_at(bytes_, place + 16, 4));
  record.size = number_at(bytes_, place + 24, 4);
  const uint64_t name_size = number_at(bytes_, place + 28, 2);
  const uint64_t extra_size = number_at(bytes_, place + 30, 2);
  const uint64_t rest = name_size + extra_size + number_at(bytes_, place + 32, 2);
  uint64_t start = number_at(bytes_, place + 42, 4);
  if (rest > end - place - kListEntrySize) fail("the list of its records is damaged");
  std::string name(reinterpret_cast<const char*>(bytes_.data()) + place + kListEntrySize,
                   name_size);
  uint64_t* const numbers[] = {&record.size, &stored, &start};
  take_zip64(bytes_.subspan(place + kListEntrySize + name_size, extra_size), numbers);

  const std::string quoted = shortened(name, 100);
  if ((flags & 1) != 0) fail(fmt::format("its record '{}' is encrypted", quoted));
  if (method != 0 && method != 8) {
    fail(fmt::format("its record '{}' is compressed by method {}; only deflate is known", quoted,
                     method));
  }
  record.is_deflated = method == 8;
  if (start > bytes_.size()) fail(fmt::format("its record '{}' isn't in the file", quoted));
  record.stored = stored_bytes(start, stored);
  stored_bytes_ += stored;
  if (stored_bytes_ > bytes_.size()) fail("its records overlap");
  const bool fits =
      record.is_deflated ? record.size / kMostInflation <= stored : record.size == stored;
  if (!fits) fail(fmt::format("its record '{}' can't have {} bytes", quoted, record.size));
  if (!records_.emplace(std::move(name), record).second) {
    fail(fmt::format("its record '{}' is there twice", quoted));
  }
  return place + kListEntrySize + rest;
}

std::span<const std::byte> Archive::stored_bytes(uint64_t place, uint64_t size) const {
  if (bytes_.size() - place < kLocalSize || number_at(bytes_, place, 4) != kLocalHeader) {
    fail("a record doesn't start where the list says");
  }
  const uint64_t skipped =
      kLocalSize + number_at(bytes_, place + 26, 2) + number_at(bytes_, place + 28, 2);
  const uint64_t left = bytes_.size() - place;
  if (skipped > left || size > left - skipped) fail("a record ends behind the end of the file");
  return bytes_.subspan(place + skipped, size);
}

std::vector<std::string> Archive::names() const {
  std::vector<std::string> names;
  for (const auto& [name, record] : records_) names.push_back(name);
  return names;
}

const Archive::Record& Archive::find(std::string_view name) const {
  const auto found = records_.find(name);
  if (found == records_.end()) fail(fmt::format("it has no record '{}'", shortened(name, 100)));
  return found->second;
}

uint64_t Archive::size(std::string_view name) const { return find(name).size; }

std::span<const std::byte> Archive::read(std::string_view name, std::vector<std::byte>& inflated) {
  const Record& record = find(name);
  auto bytes = record.stored;
  if (record.is_deflated) {
    inflated_bytes_ += record.size;
    if (inflated_bytes_ / kMostInflation > bytes_.size()) {
      fail("its compressed records take more memory than they can need");
    }
    inflated = inflate(record, name);
    bytes = inflated;
  }
  if (record_crc(bytes) != record.crc) {
    fail(
        fmt::format("the checksum of its record '{}' doesn't match; the file is damaged, or was "
                    "saved under torch.serialization.set_crc32_options(False)",
                    shortened(name, 100)));
  }
  return bytes;
}

std::vector<std::byte> Archive::inflate(const Record& record, std::string_view name) const {
  constexpr uint64_t kMostAtOnce = 1u << 30;  // zlib counts in 32 bits
  std::vector<std::byte> out(record.size);
  z_stream stream{};
  if (::inflateInit2(&stream, -MAX_WBITS) != Z_OK) fail("zlib has no memory");
  uint64_t taken = 0;
  uint64_t made = 0;
  std::byte spare{};  // zlib wants an address even for no bytes
  int status = Z_OK;
  while (status == Z_OK) {
    const auto in_size = std::min<uint64_t>(record.stored.size() - taken, kMostAtOnce);
    const auto out_size = std::min<uint64_t>(out.size() - made, kMostAtOnce);
    stream.next_in = reinterpret_cast<Bytef*>(
        const_cast<std::byte*>(in_size == 0 ? &spare : record.stored.data() + taken));
    stream.next_out = reinterpret_cast<Bytef*>(out_size == 0 ? &spare : out.data() + made);
    stream.avail_in = static_cast<uInt>(in_size);
    stream.avail_out = static_cast<uInt>(out_size);
    status = ::inflate(&stream, Z_NO_FLUSH);
    const uint64_t used = in_size - stream.avail_in;
    const uint64_t written = out_size - stream.avail_out;
    taken += used;
    made += written;
    if (used == 0 && written == 0 && status == Z_OK) break;
  }
  ::inflateEnd(&stream);
  if (status != Z_STREAM_END || made != out.size()) {
    fail(fmt::format("its record '{}' can't be decompressed", shortened(name, 100)));
  }
  return out;
}

std::vector<std::span<const std::byte>> archive_parts(const std::vector<NewRecord>& records,
                                                      std::vector<std::string>& headers) {
  headers.clear();
  std::string list;
  uint64_t place = 0;
  for (const auto& record : records) {
    const uint32_t crc = record_crc(record.bytes);
    list += list_entry(record, crc, place);
    headers.push_back(local_header(record, crc, place));
    place += headers.back().size() + record.bytes.size();
  }
  headers.push_back(list + end_records(records.size(), place, list.size()));
  std::vector<std::span<const std::byte>> parts;
  for (size_t i = 0; i < headers.size(); ++i) {
    parts.push_back(std::as_bytes(std::span(headers[i])));
    if (i < records.size() && !records[i].bytes.empty()) parts.push_back(records[i].bytes);
  }
  return parts;
}

}  // namespace levin::zip_records
