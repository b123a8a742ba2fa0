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
  /// The type of the elements: "F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64",
  /// "U32", "U16", "U8" or "BOOL".
  std::string dtype;
  /// The sizes, all at least 0; empty for a scalar.
  std::vector<int64_t> shape;
  /// The tensor's bytes are [begin, end) of the data.
  uint64_t begin = 0;
  uint64_t end = 0;
};

/// What a header says. `parse` sorts the entries by their place in the data.
struct Header {
  /// Any text by name, which the format calls "__metadata__".
  std::map<std::string, std::string> metadata;
  std::vector<Entry> entries;
};

/// Returns how many bytes an element of that type takes, or 0 for an unknown type.
uint64_t element_size(std::string_view dtype);

/// Returns the length and the header of a file as its first bytes; the tensors' bytes have to
/// follow in the order of the entries. Sets each entry's begin and end, and pads the header with
/// spaces so that the data starts at a multiple of 8 bytes. Throws CheckpointError if two entries
/// have the same name, if an entry has the name "__metadata__", if a name or the metadata isn't
/// UTF-8, or if the header would be longer than the 100 MB that `parse` accepts.
std::string build_header(Header& header);

/// The parts of a file.
struct File {
  Header header;
  /// The tensors' bytes. Points into the bytes that `parse` was given, which must outlive it.
  std::span<const std::byte> data;
};

/// Takes the bytes of a whole file apart and checks them. Afterwards it is certain that each
/// entry's type is known, that its shape has as many bytes as [begin, end), and that these lie in
/// the data. Copies no tensor. `path` is used in messages only. Throws CheckpointError if the
/// header is longer than 100 MB or than the file, if the JSON, a type, a shape or an offset is
/// wrong, or if the data has gaps or another size than the header says.
File parse(std::span<const std::byte> bytes, std::string_view path);

}  // namespace levin::safetensors
