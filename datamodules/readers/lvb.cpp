#include <levin/datamodules/readers/lvb.h>

#include <algorithm>
#include <cstdio>
#include <limits>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/gzip.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

constexpr std::string_view kMagic = "\x89LVB\r\n\x1a\n";
constexpr uint64_t kVersion = 1;
constexpr uint64_t kVersionOfSparseRows = 2;  // sparse_lvb.h
constexpr size_t kFixedSize = 40;
constexpr size_t kChecksumAt = 36;
/// "NAME", which stands before the names of the features.
constexpr uint64_t kNamesTag = 0x454d414e;
constexpr size_t kLongestName = 0xffff;
constexpr size_t kLine = 64;
/// Limits far above what anybody needs, against the sizes that a damaged header may claim.
constexpr size_t kMostColumns = 1024;
constexpr size_t kLongestHeader = size_t{1} << 20;
constexpr size_t kLongestRecord = size_t{1} << 40;

void store(std::string& text, size_t at, uint64_t value, size_t width) {
  for (size_t i = 0; i < width; ++i) text[at + i] = static_cast<char>(value >> (8 * i) & 0xff);
}

void append(std::string& text, uint64_t value, size_t width) {
  text.append(width, '\0');
  store(text, text.size() - width, value, width);
}

/// Reads a header's numbers one after another.
class HeaderReader {
 public:
  HeaderReader(std::span<const std::byte> bytes, std::string_view name)
      : bytes_(bytes), name_(name) {}

  uint64_t number(size_t width) {
    require(width);
    at_ += width;
    return load_little(bytes_, at_ - width, width);
  }
  std::string text(size_t size) {
    require(size);
    at_ += size;
    return {reinterpret_cast<const char*>(bytes_.data()) + at_ - size, size};
  }
  /// The bytes that are left.
  size_t left() const { return bytes_.size() - at_; }
  void skip_to_multiple(size_t of) {
    const size_t size = rounded_up(at_, of) - at_;
    require(size);
    at_ += size;
  }
  /// Throws the DataError for a header that is damaged.
  [[noreturn]] void fail(const std::string& reason) const {
    throw DataError::corrupt(name_,
                             reason + "; copy it again, or make it again with levin convert");
  }

 private:
  void require(size_t size) const {
    if (size <= bytes_.size() - at_) return;
    fail("its header ends after " + counted(bytes_.size(), "byte") + ", but more are needed");
  }

  std::span<const std::byte> bytes_;
  std::string_view name_;
  size_t at_ = 0;
};

Column read_column(HeaderReader& reader, size_t& offset) {
  const auto name_size = static_cast<size_t>(reader.number(2));
  const uint64_t dtype = reader.number(1);
  constexpr auto kLastType = static_cast<uint64_t>(DType::float64);
  if (dtype > kLastType) {
    reader.fail("the element type of a column is " + std::to_string(dtype) +
                ", but must be from 0 to " + std::to_string(kLastType));
  }
  Column column;
  column.dtype = static_cast<DType>(dtype);
  const auto sizes = static_cast<size_t>(reader.number(1));
  offset = static_cast<size_t>(reader.number(4));
  for (size_t i = 0; i < sizes; ++i) {
    column.shape.push_back(static_cast<int64_t>(reader.number(8)));
  }
  column.name = reader.text(name_size);
  reader.skip_to_multiple(8);
  return column;
}

/// The bytes that the names take in a header; 0 if there are none or if a name is too long.
size_t names_size(const LvbNames& names) {
  if (names.features.empty() || names.target.size() > kLongestName) return 0;
  size_t size = 8 + 2 + names.target.size();
  for (const auto& name : names.features) {
    if (name.size() > kLongestName) return 0;
    size += 2 + name.size();
  }
  return size;
}

void append_names(std::string& text, const LvbNames& names) {
  if (names.features.empty()) return;
  append(text, kNamesTag, 4);
  append(text, names.features.size() + 1, 4);
  for (const auto& name : names.features) {
    append(text, name.size(), 2);
    text += name;
  }
  append(text, names.target.size(), 2);
  text += names.target;
}

/// Reads the names that follow the columns, if there are any.
LvbNames read_names(HeaderReader& reader, const Column& features) {
  LvbNames names;
  if (reader.left() < 8 || reader.number(4) != kNamesTag) return names;
  const uint64_t count = reader.number(4);
  if (count != features.values() + 1) {
    reader.fail("the number of its names is " + std::to_string(count) + ", but must be " +
                std::to_string(features.values() + 1) + ", one for each feature and the target");
  }
  for (uint64_t i = 0; i + 1 < count; ++i) {
    names.features.push_back(reader.text(static_cast<size_t>(reader.number(2))));
  }
  names.target = reader.text(static_cast<size_t>(reader.number(2)));
  return names;
}

/// Throws DataError unless a column lies inside a record of `stride` bytes.
void check_place(const HeaderReader& reader, const Column& column, size_t offset, size_t stride) {
  const auto bytes = byte_count(column.shape, column.dtype);
  if (bytes && *bytes > 0 && *bytes <= stride && offset <= stride - *bytes) return;
  const std::string text = "column " + in_quotes(column.name) + " is " + column_text(column);
  if (!bytes) reader.fail(text + ", which takes more bytes than a file can have");
  if (*bytes == 0) reader.fail(text + ", which holds no values");
  reader.fail(text + " and takes " + counted(*bytes, "byte") + " from offset " +
              std::to_string(offset) + " on, but a record has " + counted(stride, "byte"));
}

void check_layout(const HeaderReader& reader, const LvbHeader& header) {
  for (size_t i = 0; i < header.columns.size(); ++i) {
    const auto& column = header.columns[i];
    check_place(reader, column, header.offsets[i], header.stride);
    if (column.name.empty()) reader.fail("column " + std::to_string(i + 1) + " has no name");
    const auto same = [&column](const Column& other) { return other.name == column.name; };
    if (std::count_if(header.columns.begin(), header.columns.end(), same) > 1) {
      reader.fail("more than one column has the name " + in_quotes(column.name));
    }
  }
}

/// Reads the size of the header, which must lie inside the file.
size_t header_size(HeaderReader& reader, size_t file_size) {
  const auto size = static_cast<size_t>(reader.number(4));
  if (size < kFixedSize || size % kLine != 0 || size > kLongestHeader) {
    reader.fail("the size of its header is " + std::to_string(size) +
                ", but must be a multiple of " + std::to_string(kLine) + " up to " +
                std::to_string(kLongestHeader));
  }
  if (size > file_size) {
    reader.fail("it ends after " + counted(file_size, "byte") + ", inside its header of " +
                std::to_string(size));
  }
  return size;
}

std::string crc_text(uint64_t crc) {
  char text[17];
  std::snprintf(text, sizeof text, "%08llx", static_cast<unsigned long long>(crc));
  return text;
}

void check_header_crc(const HeaderReader& reader, std::span<const std::byte> header) {
  std::string copy(reinterpret_cast<const char*>(header.data()), header.size());
  store(copy, kChecksumAt, 0, 4);
  const uint64_t found = crc32(bytes_of(copy));
  const uint64_t written = load_little(header, kChecksumAt, 4);
  if (found == written) return;
  reader.fail("the checksum (CRC-32) of its header is " + crc_text(found) +
              ", but the header says " + crc_text(written));
}

}  // namespace

LvbHeader lvb_layout(std::vector<Column> columns, int64_t rows, LvbNames names) {
  LvbHeader header;
  header.rows = rows;
  size_t record = 0;
  size_t size = kFixedSize;
  for (const auto& column : columns) {
    record = rounded_up(record, item_size(column.dtype));
    header.offsets.push_back(record);
    record += column.bytes();
    size = rounded_up(size + 8 + 8 * column.shape.size() + column.name.size(), 8);
  }
  const size_t padded = rounded_up(record, kLine);
  header.stride = (padded - record) * 16 <= record ? padded : rounded_up(record, 8);
  const size_t extra = names_size(names);
  if (extra > 0 && rounded_up(size + extra, kLine) <= kLongestHeader) {
    size += extra;
    header.names = std::move(names);
  }
  header.size = rounded_up(size, kLine);
  header.columns = std::move(columns);
  return header;
}

std::string lvb_header(const LvbHeader& header) {
  std::string text(kMagic);
  append(text, kVersion, 4);
  append(text, header.size, 4);
  append(text, static_cast<uint64_t>(header.rows), 8);
  append(text, header.stride, 8);
  append(text, header.columns.size(), 4);
  append(text, 0, 4);
  for (size_t i = 0; i < header.columns.size(); ++i) {
    const auto& column = header.columns[i];
    append(text, column.name.size(), 2);
    append(text, static_cast<uint64_t>(column.dtype), 1);
    append(text, column.shape.size(), 1);
    append(text, header.offsets[i], 4);
    for (const int64_t size : column.shape) append(text, static_cast<uint64_t>(size), 8);
    text += column.name;
    text.resize(rounded_up(text.size(), 8), '\0');
  }
  append_names(text, header.names);
  text.resize(header.size, '\0');
  store(text, kChecksumAt, crc32(bytes_of(text)), 4);
  return text;
}

LvbHeader parse_lvb_header(std::span<const std::byte> bytes, std::string_view name) {
  HeaderReader fixed(bytes, name);
  if (bytes.size() < kMagic.size() || fixed.text(kMagic.size()) != kMagic) {
    throw DataError::corrupt(name,
                             "it isn't a .lvb file, which starts with the bytes 89 4c 56 42 0d 0a "
                             "1a 0a; check that it is the right file");
  }
  const uint64_t version = fixed.number(4);
  if (version == kVersionOfSparseRows) {
    throw DataError::corrupt(name,
                             "its rows are sparse, but dense rows are read here; use what reads "
                             "sparse rows, or make it again with levin convert and sparse = false");
  }
  if (version != kVersion) {
    throw DataError::corrupt(name, "its version of the .lvb format is " + std::to_string(version) +
                                       ", but this Levin reads version " +
                                       std::to_string(kVersion) +
                                       "; use a newer Levin, or make it again with levin convert");
  }
  LvbHeader header;
  header.size = header_size(fixed, bytes.size());
  check_header_crc(fixed, bytes.first(header.size));
  HeaderReader reader(bytes.first(header.size), name);
  reader.text(kMagic.size() + 8);
  const uint64_t rows = reader.number(8);
  header.stride = static_cast<size_t>(reader.number(8));
  const uint64_t columns = reader.number(4);
  reader.number(4);
  if (columns == 0 || columns > kMostColumns) {
    reader.fail("the number of its columns is " + std::to_string(columns) +
                ", but must be from 1 to " + std::to_string(kMostColumns));
  }
  for (uint64_t i = 0; i < columns; ++i) {
    header.columns.push_back(read_column(reader, header.offsets.emplace_back()));
  }
  check_layout(reader, header);
  header.names = read_names(reader, header.columns.front());
  if (header.stride > kLongestRecord || rows > (uint64_t{1} << 62) / header.stride) {
    reader.fail("its header says " + std::to_string(rows) + " rows of " +
                std::to_string(header.stride) +
                " bytes, but a row may have at most 2^40 bytes and all rows 2^62");
  }
  header.rows = static_cast<int64_t>(rows);
  if (header.file_bytes() != bytes.size()) {
    reader.fail("it has " + counted(bytes.size(), "byte") + ", but its header says " +
                std::to_string(header.file_bytes()) +
                (bytes.size() < header.file_bytes() ? ": it is truncated"
                                                    : ": something was appended to it"));
  }
  return header;
}

}  // namespace levin::readers
