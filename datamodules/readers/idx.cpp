#include <levin/datamodules/readers/idx.h>

#include <optional>
#include <string>
#include <utility>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/gzip.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

constexpr size_t kMagicSize = 4;

std::optional<DType> dtype_of_code(uint64_t code) {
  switch (code) {
    case 0x08:
      return DType::uint8;
    case 0x09:
      return DType::int8;
    case 0x0b:
      return DType::int16;
    case 0x0c:
      return DType::int32;
    case 0x0d:
      return DType::float32;
    case 0x0e:
      return DType::float64;
    default:
      return {};
  }
}

}  // namespace

Array read_idx(const std::filesystem::path& path) {
  return parse_idx(read_file(path), path.string());
}

Array parse_idx(Bytes bytes, std::string_view name) {
  if (is_gzip(bytes)) bytes = gunzip(bytes, name);
  if (bytes.size() < kMagicSize) throw DataError::corrupt(name, cut_idx_header(bytes.size()));
  const auto dtype = dtype_of_code(load_big(bytes, 2, 1));
  const auto sizes = static_cast<size_t>(load_big(bytes, 3, 1));
  if (load_big(bytes, 0, 2) != 0 || !dtype || sizes == 0) {
    throw DataError::corrupt(name, foreign_idx_magic(load_big(bytes, 0, kMagicSize)));
  }
  const size_t header = kMagicSize + 4 * sizes;
  if (bytes.size() < header) throw DataError::corrupt(name, cut_idx_header(bytes.size()));
  std::vector<int64_t> shape(sizes);
  for (size_t i = 0; i < sizes; ++i) {
    shape[i] = static_cast<int64_t>(load_big(bytes, kMagicSize + 4 * i, 4));
  }
  const auto wanted = byte_count(shape, *dtype);
  const size_t found = bytes.size() - header;
  if (wanted != found) throw DataError::corrupt(name, length_fault(*dtype, shape, found));
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(header));
  swap_byte_order(bytes, item_size(*dtype));
  return {std::move(shape), *dtype, std::move(bytes)};
}

std::string cut_idx_header(uint64_t size) {
  return "it ends after " + counted(size, "byte") +
         ", inside the header of an IDX file; copy or download it again";
}

std::string foreign_idx_magic(uint64_t magic) {
  return "it isn't an IDX file: its magic number is " + std::to_string(magic) +
         ", but MNIST's are 2051 (images) and 2049 (labels); check that it is the right file";
}

}  // namespace levin::readers
