#include <levin/datamodules/readers/npy.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/npy_header.h>
#include <levin/datamodules/readers/zip.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

namespace levin::readers {
namespace {

constexpr std::string_view kSuffix = ".npy";

/// Copies column-major elements to row-major order. Elements that differ only in their first index
/// lie side by side in the source, those that differ only in their last index in the result. Going
/// over these two dimensions in small tiles keeps both sides in the cache.
template <size_t kItem>
void to_row_major(const std::byte* in, std::byte* out, const std::vector<int64_t>& shape) {
  constexpr size_t kTile = 32;
  const auto first = static_cast<size_t>(shape.front());
  const auto last = static_cast<size_t>(shape.back());
  size_t middle = 1;
  for (size_t i = 1; i + 1 < shape.size(); ++i) middle *= static_cast<size_t>(shape[i]);
  for (size_t m = 0; m < middle; ++m) {
    size_t reversed = 0;  // the place of `m` if the first of the middle indices goes fastest
    size_t scale = middle;
    size_t left = m;
    for (size_t i = shape.size() - 1; i-- > 1;) {
      scale /= static_cast<size_t>(shape[i]);
      reversed += left % static_cast<size_t>(shape[i]) * scale;
      left /= static_cast<size_t>(shape[i]);
    }
    for (size_t a = 0; a < first; a += kTile) {
      for (size_t b = 0; b < last; b += kTile) {
        for (size_t i = a; i < std::min(first, a + kTile); ++i) {
          for (size_t j = b; j < std::min(last, b + kTile); ++j) {
            std::memcpy(out + ((i * middle + m) * last + j) * kItem,
                        in + (i + first * (reversed + middle * j)) * kItem, kItem);
          }
        }
      }
    }
  }
}

Bytes row_major(const Bytes& bytes, const std::vector<int64_t>& shape, size_t item) {
  Bytes out(bytes.size());
  if (item == 1) to_row_major<1>(bytes.data(), out.data(), shape);
  if (item == 2) to_row_major<2>(bytes.data(), out.data(), shape);
  if (item == 4) to_row_major<4>(bytes.data(), out.data(), shape);
  if (item == 8) to_row_major<8>(bytes.data(), out.data(), shape);
  return out;
}

/// Throws DataError unless the elements, and nothing else, follow the header.
void check_length(const NpyHeader& header, uint64_t file_size, std::string_view name) {
  const auto wanted = byte_count(header.shape, header.dtype);
  const uint64_t found = file_size - header.size;
  if (wanted == found) return;
  throw DataError::corrupt(name, length_fault(header.dtype, header.shape, found));
}

Array finish(NpyHeader header, Bytes bytes) {
  const size_t item = item_size(header.dtype);
  if (header.big_endian) swap_byte_order(bytes, item);
  if (header.dtype == DType::bool_) {
    for (std::byte& value : bytes) value = std::byte{value != std::byte{0}};
  }
  if (header.fortran_order && header.shape.size() > 1 && !bytes.empty()) {
    bytes = row_major(bytes, header.shape, item);
  }
  return {std::move(header.shape), header.dtype, std::move(bytes)};
}

bool is_array(const ZipEntry& entry) { return std::string_view(entry.name).ends_with(kSuffix); }

std::string array_name(const ZipEntry& entry) {
  return entry.name.substr(0, entry.name.size() - kSuffix.size());
}

Array read_array(const ZipArchive& archive, const ZipEntry& entry) {
  return parse_npy(archive.read(entry), archive.name() + ":" + entry.name);
}

std::vector<NamedArray> read_arrays(const ZipArchive& archive) {
  std::vector<NamedArray> arrays;
  for (const ZipEntry& entry : archive.entries()) {
    if (is_array(entry)) arrays.push_back({array_name(entry), read_array(archive, entry)});
  }
  return arrays;
}

}  // namespace

Array read_npy(const std::filesystem::path& path) {
  const FileSource file(path);
  const Bytes front = file.read(0, std::min<uint64_t>(file.size(), kLongestNpyHeader));
  NpyHeader header = parse_npy_header(front, file.name());
  check_length(header, file.size(), file.name());
  Bytes bytes = file.read(header.size, file.size() - header.size);
  return finish(std::move(header), std::move(bytes));
}

Array parse_npy(Bytes bytes, std::string_view name) {
  NpyHeader header = parse_npy_header(bytes, name);
  check_length(header, bytes.size(), name);
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(header.size));
  return finish(std::move(header), std::move(bytes));
}

std::vector<std::string> npz_names(const std::filesystem::path& path) {
  const ZipArchive archive(path);
  std::vector<std::string> names;
  for (const ZipEntry& entry : archive.entries()) {
    if (is_array(entry)) names.push_back(array_name(entry));
  }
  return names;
}

Array read_npz(const std::filesystem::path& path, std::string_view name) {
  const ZipArchive archive(path);
  std::string known;
  for (const ZipEntry& entry : archive.entries()) {
    if (!is_array(entry)) continue;
    if (array_name(entry) == name) return read_array(archive, entry);
    known += (known.empty() ? "" : ", ") + in_quotes(array_name(entry));
  }
  throw DataError::unreadable(archive.name(),
                              "it has no array " + in_quotes(name) +
                                  (known.empty() ? ", nor any other; write it with numpy.savez"
                                                 : "; the arrays it has are " + known));
}

std::vector<NamedArray> read_npz(const std::filesystem::path& path) {
  return read_arrays(ZipArchive(path));
}

std::vector<NamedArray> parse_npz(std::span<const std::byte> bytes, std::string_view name) {
  return read_arrays(ZipArchive(bytes, name));
}

void write_npy(const std::filesystem::path& path, const Array& array) {
  const std::string header = npy_header(array.dtype, array.shape);
  const std::span<const std::byte> parts[] = {bytes_of(header), array.bytes};
  files::write_atomically(path, parts);
}

void write_npz(const std::filesystem::path& path, std::span<const NamedArray> arrays) {
  std::vector<std::string> headers;
  headers.reserve(arrays.size());  // views of them are kept
  std::vector<ZipMember> members;
  for (const NamedArray& item : arrays) {
    headers.push_back(npy_header(item.array.dtype, item.array.shape));
    members.push_back(
        {item.name + std::string(kSuffix), {bytes_of(headers.back()), item.array.bytes}});
  }
  write_zip(path, members);
}

}  // namespace levin::readers
