#include <levin/datamodules/readers/lvb.h>

#include <algorithm>
#include <limits>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/gzip.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

constexpr std::string_view kMagic = "\x89LVB\r\n\x1a\n";
constexpr uint64_t kVersion = 1;
constexpr size_t kFixedSize = 40;
constexpr size_t kChecksumAt = 36;
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
  void skip_to_multiple(size_t of) {
    const size_t size = rounded_up(at_, of) - at_;
    require(size);
    at_ += size;
  }
  [[noreturn]] void fail(const std::string& reason) const {
    throw DataError::corrupt(name_, reason);
  }

 private:
  void require(size_t size) const {
    if (size > bytes_.size() - at_) fail("its header ends too soon");
  }

  std::span<const std::byte> bytes_;
  std::string_view name_;
  size_t at_ = 0;
};

Column read_column(HeaderReader& reader, size_t& offset) {
  const auto name_size = static_cast<size_t>(reader.number(2));
  const uint64_t dtype = reader.number(1);
  if (dtype > static_cast<uint64_t>(DType::float64)) reader.fail("a column has an unknown type");
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

void check_layout(const HeaderReader& reader, const LvbHeader& header) {
  for (size_t i = 0; i < header.columns.size(); ++i) {
    const auto& column = header.columns[i];
    const auto bytes = byte_count(column.shape, column.dtype);
    if (!bytes || *bytes == 0 || *bytes > header.stride ||
        header.offsets[i] > header.stride - *bytes) {
      reader.fail("column " + in_quotes(column.name) + " doesn't lie inside a record");
    }
    const auto same = [&column](const Column& other) { return other.name == column.name; };
    if (column.name.empty() ||
        std::count_if(header.columns.begin(), header.columns.end(), same) > 1)
      reader.fail("the name " + in_quotes(column.name) + " of a column is empty or comes twice");
  }
}

}  // namespace

LvbHeader lvb_layout(std::vector<Column> columns, int64_t rows) {
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
  text.resize(header.size, '\0');
  store(text, kChecksumAt, crc32(bytes_of(text)), 4);
  return text;
}

LvbHeader parse_lvb_header(std::span<const std::byte> bytes, std::string_view name) {
  HeaderReader fixed(bytes, name);
  if (bytes.size() < kMagic.size() || fixed.text(kMagic.size()) != kMagic) {
    fixed.fail("it doesn't start as a .lvb file does");
  }
  const uint64_t version = fixed.number(4);
  if (version != kVersion) {
    fixed.fail("its version is " + std::to_string(version) + ", but this Levin reads version 1");
  }
  LvbHeader header;
  header.size = static_cast<size_t>(fixed.number(4));
  if (header.size < kFixedSize || header.size % kLine != 0 || header.size > bytes.size() ||
      header.size > kLongestHeader) {
    fixed.fail("its header ends too soon");
  }
  std::string copy(reinterpret_cast<const char*>(bytes.data()), header.size);
  store(copy, kChecksumAt, 0, 4);
  if (crc32(bytes_of(copy)) != load_little(bytes, kChecksumAt, 4)) {
    fixed.fail("the checksum of its header is wrong");
  }
  HeaderReader reader(bytes.first(header.size), name);
  reader.text(kMagic.size() + 8);
  const uint64_t rows = reader.number(8);
  header.stride = static_cast<size_t>(reader.number(8));
  const uint64_t columns = reader.number(4);
  reader.number(4);
  if (columns == 0 || columns > kMostColumns) reader.fail("its number of columns can't be");
  for (uint64_t i = 0; i < columns; ++i) {
    header.columns.push_back(read_column(reader, header.offsets.emplace_back()));
  }
  check_layout(reader, header);
  if (header.stride > kLongestRecord || rows > (uint64_t{1} << 62) / header.stride) {
    reader.fail("its size can't be");
  }
  header.rows = static_cast<int64_t>(rows);
  if (header.file_bytes() != bytes.size()) {
    reader.fail("it has " + std::to_string(bytes.size()) + " bytes, but its header says " +
                std::to_string(header.file_bytes()) + ": it is truncated, or more than one file");
  }
  return header;
}

}  // namespace levin::readers
