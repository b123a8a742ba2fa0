#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The safetensors file format, without torch: an 8-byte little-endian length, that many bytes of
/// JSON, then the tensors' bytes without gaps. Source: the format description of the safetensors
/// project, https://github.com/huggingface/safetensors.
namespace levin::safetensors {

/// One tensor of a file.
struct Entry {
  std::string name;
  /// "F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8" or "BOOL".
  std::string dtype;
  std::vector<int64_t> shape;
  /// Bytes [begin, end) of the data part.
  uint64_t begin = 0;
  uint64_t end = 0;
};

/// What the JSON part says.
struct Header {
  /// Free text by name ("__metadata__").
  std::map<std::string, std::string> metadata;
  std::vector<Entry> entries;
};

/// Bytes an element of `dtype` takes; 0 for an unknown one.
uint64_t element_size(std::string_view dtype);

/// The length and JSON parts of a file with these tensors, padded so that the data starts at a
/// multiple of 8. Sets each entry's begin and end in the order given. Throws CheckpointError for
/// a name given twice, or one that isn't UTF-8.
std::string build_header(Header& header);

/// A file taken apart; `data` points into the bytes given.
struct File {
  Header header;
  std::span<const std::byte> data;
};

/// Takes a whole file apart. `path` is for messages only. Throws CheckpointError where the length,
/// the JSON, a type, a shape or an offset is wrong, the data has gaps, or bytes are missing.
File parse(std::span<const std::byte> bytes, std::string_view path);

}  // namespace levin::safetensors
