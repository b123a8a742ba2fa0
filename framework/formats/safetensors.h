#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The safetensors file format. A file has three parts: a length, 8 bytes, little-endian; that many
/// bytes of JSON, the header, which describes the tensors; and the tensors' bytes without gaps.
/// Nothing in a file can run code. The functions know nothing of LibTorch, so that the parser can
/// be fuzzed alone.
///
/// Source: the format description at https://github.com/huggingface/safetensors.
namespace levin::safetensors {

/// What the header says of one tensor.
struct Entry {
  std::string name;
  /// "F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8" or "BOOL".
  std::string dtype;
  std::vector<int64_t> shape;
  /// The tensor's bytes are [begin, end) of the data.
  uint64_t begin = 0;
  uint64_t end = 0;
};

/// What a header says.
struct Header {
  /// Any text by name, which the format calls "__metadata__".
  std::map<std::string, std::string> metadata;
  std::vector<Entry> entries;
};

/// How many bytes an element of that type takes; 0 for an unknown type.
uint64_t element_size(std::string_view dtype);

/// The length and the header, as they stand in a file, of these tensors in their order. Sets each
/// entry's begin and end, and pads the header so that the data starts at a multiple of 8 bytes.
/// Throws CheckpointError if two entries have the same name, or a name or the metadata isn't UTF-8.
std::string build_header(Header& header);

/// The parts of a file.
struct File {
  Header header;
  /// Points into the bytes that `parse` was given.
  std::span<const std::byte> data;
};

/// Takes the bytes of a whole file apart, and checks them: afterwards each entry's type is known,
/// its shape has as many bytes as [begin, end), and these lie in the data. `path` is used in
/// messages only. Throws CheckpointError if the length, the JSON, a type, a shape or an offset is
/// wrong, the data has gaps, or bytes are missing.
File parse(std::span<const std::byte> bytes, std::string_view path);

}  // namespace levin::safetensors
