#include <levin/datamodules/readers/dense_shard.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/gzip.h>
#include <levin/datamodules/readers/idx.h>
#include <levin/datamodules/readers/lvb.h>
#include <levin/datamodules/readers/npy_header.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>

namespace levin::readers {
namespace {

/// An array [rows, ...] inside a file, in row-major order and the machine's byte order.
struct MappedArray {
  MappedFile file;
  DType dtype = DType::float32;
  int64_t rows = 0;
  std::vector<int64_t> row_shape = {};
  uint64_t offset = 0;

  Column column(std::string name) const { return {std::move(name), dtype, row_shape}; }
};

void check_length(const MappedArray& array, std::span<const int64_t> shape) {
  const auto bytes = byte_count(shape, array.dtype);
  const uint64_t found = array.file.size() - array.offset;
  if (bytes && *bytes == found) return;
  throw DataError::corrupt(array.file.name(), length_fault(array.dtype, shape, found));
}

MappedArray with_shape(MappedFile file, DType dtype, uint64_t offset,
                       const std::vector<int64_t>& shape) {
  MappedArray array{std::move(file), dtype, 0, {}, offset};
  if (shape.empty()) {
    throw DataError::bad_value(
        "the shape of the array", "[]", array.file.name(),
        "it must be [rows, ...]. Save the array with at least one dimension.");
  }
  check_length(array, shape);
  array.rows = shape.front();
  array.row_shape.assign(shape.begin() + 1, shape.end());
  if (element_count(array.row_shape).value_or(0) == 0) {
    throw DataError::bad_value("the shape of the array", shape_text(shape), array.file.name(),
                               "every row must hold at least one value. Save an array whose sizes "
                               "after the first are all above 0.");
  }
  return array;
}

MappedArray map_npy(MappedFile file) {
  const auto header = parse_npy_header(
      file.bytes().first(std::min(file.bytes().size(), kLongestNpyHeader)), file.name());
  if (header.fortran_order && header.shape.size() > 1) {
    throw DataError(file.name() +
                    ": the array is column-major (Fortran order), so it can't be read row by row; "
                    "save numpy.ascontiguousarray(array) instead");
  }
  if (header.big_endian && item_size(header.dtype) > 1) {
    throw DataError(file.name() +
                    ": the numbers are big-endian, but rows are read as they lie in the file; save "
                    "array.astype(array.dtype.newbyteorder('<')) instead");
  }
  return with_shape(std::move(file), header.dtype, header.size, header.shape);
}

MappedArray map_idx(MappedFile file) {
  if (is_gzip(file.bytes())) {
    file = MappedFile(file.name(), gunzip(file.bytes(), file.name()));
  }
  constexpr size_t kMagicSize = 4;
  const auto bytes = file.bytes();
  const auto fail = [&file](const std::string& reason) {
    throw DataError::corrupt(file.name(), reason);
  };
  if (bytes.size() < kMagicSize) fail(cut_idx_header(bytes.size()));
  const uint64_t code = load_big(bytes, 2, 1);
  const auto sizes = static_cast<size_t>(load_big(bytes, 3, 1));
  if (load_big(bytes, 0, 2) != 0 || sizes == 0 || code < 0x08 || code > 0x0e || code == 0x0a) {
    fail(foreign_idx_magic(load_big(bytes, 0, 4)));
  }
  if (code > 0x09) {
    constexpr const char* kTypes[] = {"int16", "int32", "float32", "float64"};  // from code 0x0b on
    throw DataError(file.name() + ": the elements are " + kTypes[code - 0x0b] +
                    ", but only IDX files of uint8 and int8 are read row by row; save the array as "
                    "a .npy file");
  }
  if (bytes.size() < kMagicSize + 4 * sizes) fail(cut_idx_header(bytes.size()));
  std::vector<int64_t> shape(sizes);
  for (size_t i = 0; i < sizes; ++i) {
    shape[i] = static_cast<int64_t>(load_big(bytes, kMagicSize + 4 * i, 4));
  }
  return with_shape(std::move(file), code == 0x08 ? DType::uint8 : DType::int8,
                    kMagicSize + 4 * sizes, shape);
}

DenseShard::Part part_of(MappedArray& array) {
  const size_t stride = array.column("").bytes();
  return {std::move(array.file), array.offset, stride};
}

std::shared_ptr<const Shard> shard_of(MappedArray input, std::optional<MappedArray> target) {
  std::vector<Column> columns = {input.column("input")};
  std::vector<DenseShard::Place> places = {{0, 0}};
  std::vector<DenseShard::Part> parts;
  const std::string name = input.file.name();
  if (target) {
    if (target->rows != input.rows) {
      throw DataError::rows_differ(name, input.rows, target->file.name(), target->rows);
    }
    if (target->row_shape == std::vector<int64_t>{1}) target->row_shape.clear();
    columns.push_back(target->column("target"));
    places.push_back({1, 0});
  }
  parts.push_back(part_of(input));
  if (target) parts.push_back(part_of(*target));
  return std::make_shared<DenseShard>(name, input.rows, std::move(columns), std::move(parts),
                                      std::move(places));
}

/// The place of the target among `width` columns, which must be the first or the last; nothing for
/// "none".
std::optional<int64_t> target_place(const std::string& wanted, int64_t width,
                                    const std::string& name) {
  if (wanted == "none") return {};
  if (width == 1) {
    throw DataError(name +
                    " has only one column, the target; give the targets a file of their own, or "
                    "set target_column = none");
  }
  if (const auto place = number_in<int64_t>(wanted)) {
    if (*place == 0 || *place == -width) return 0;
    if (*place == -1 || *place == width - 1) return width - 1;
  }
  throw DataError::bad_value("target_column", in_quotes(wanted), name,
                             "of the array's " + std::to_string(width) +
                                 " columns it must be the first (0) or the last (-1). If none of "
                                 "them holds targets, set it to none.");
}

}  // namespace

DenseShard::DenseShard(std::string name, int64_t rows, std::vector<Column> columns,
                       std::vector<Part> parts, std::vector<Place> places)
    : parts_(std::move(parts)), places_(std::move(places)) {
  name_ = std::move(name);
  rows_ = rows;
  columns_ = std::move(columns);
}

std::vector<std::filesystem::path> DenseShard::files() const {
  std::vector<std::filesystem::path> files;
  for (const auto& part : parts_) files.emplace_back(part.file.name());
  return files;
}

uint64_t DenseShard::file_bytes() const {
  uint64_t bytes = 0;
  for (const auto& part : parts_) bytes += part.file.size();
  return bytes;
}

size_t DenseShard::row_bytes() const {
  size_t bytes = 0;
  for (const auto& part : parts_) bytes += part.stride;
  return bytes;
}

void DenseShard::load(int64_t first, int64_t count, bool direct, BlockBuffer& buffer,
                      std::span<RowsInMemory> views) const {
  const auto bytes_of_part = [count](const Part& part) {
    return static_cast<uint64_t>(count) * part.stride;
  };
  size_t space = 0;
  for (const auto& part : parts_) space += MappedFile::read_space(bytes_of_part(part));
  std::byte* to = buffer.reserve(space);
  for (size_t p = 0; p < parts_.size(); ++p) {
    const auto& part = parts_[p];
    const uint64_t offset = part.offset + static_cast<uint64_t>(first) * part.stride;
    const std::byte* start = part.file.read(offset, bytes_of_part(part), to, direct);
    to += MappedFile::read_space(bytes_of_part(part));
    for (size_t i = 0; i < places_.size(); ++i) {
      if (places_[i].part == p) views[i] = {start + places_[i].offset, part.stride};
    }
  }
}

void DenseShard::read_row(int64_t row, std::span<std::byte* const> out) const {
  for (size_t i = 0; i < places_.size(); ++i) {
    const auto& part = parts_[places_[i].part];
    const uint64_t offset =
        part.offset + static_cast<uint64_t>(row) * part.stride + places_[i].offset;
    std::memcpy(out[i], part.file.bytes().data() + offset, columns_[i].bytes());
  }
}

std::shared_ptr<const Shard> open_lvb(MappedFile file) {
  auto header = parse_lvb_header(file.bytes(), file.name());
  std::vector<DenseShard::Place> places;
  for (const size_t offset : header.offsets) places.push_back({0, offset});
  std::string name = file.name();
  std::vector<DenseShard::Part> parts;
  parts.push_back({std::move(file), header.size, header.stride});
  CsvLayout layout = {name, std::move(header.names.features), {}};
  if (!layout.names.empty() && !header.names.target.empty()) {
    layout.target = layout.names.size();
    layout.names.push_back(std::move(header.names.target));
  }
  auto shard = std::make_shared<DenseShard>(std::move(name), header.rows, std::move(header.columns),
                                            std::move(parts), std::move(places));
  if (!layout.names.empty()) shard->set_layout(std::move(layout));
  return shard;
}

std::shared_ptr<const Shard> open_npy(MappedFile file, MappedFile targets) {
  return shard_of(map_npy(std::move(file)), map_npy(std::move(targets)));
}

std::shared_ptr<const Shard> open_npy(MappedFile file, const std::string& target_column) {
  auto array = map_npy(std::move(file));
  if (target_column == "none") return shard_of(std::move(array), {});
  const std::string name = array.file.name();
  if (array.row_shape.size() != 1) {
    throw DataError::bad_value("the number of dimensions",
                               std::to_string(array.row_shape.size() + 1), name,
                               "if a column holds the targets, it must be 2, [rows, columns]. Give "
                               "the targets a file of their own, or set target_column = none.");
  }
  const int64_t width = array.row_shape.front();
  const int64_t place = *target_place(target_column, width, name);
  const size_t item = item_size(array.dtype);
  std::vector<Column> columns = {{"input", array.dtype, {width - 1}}, {"target", array.dtype, {}}};
  std::vector<DenseShard::Place> places = {{0, place == 0 ? item : 0},
                                           {0, static_cast<size_t>(place) * item}};
  const int64_t rows = array.rows;
  std::vector<DenseShard::Part> parts;
  parts.push_back(part_of(array));
  return std::make_shared<DenseShard>(name, rows, std::move(columns), std::move(parts),
                                      std::move(places));
}

std::shared_ptr<const Shard> open_idx(MappedFile file, MappedFile* targets) {
  std::optional<MappedArray> labels;
  if (targets != nullptr) labels = map_idx(std::move(*targets));
  return shard_of(map_idx(std::move(file)), std::move(labels));
}

}  // namespace levin::readers
