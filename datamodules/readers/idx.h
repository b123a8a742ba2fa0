#pragma once

#include <filesystem>
#include <string_view>

#include <levin/datamodules/readers/array.h>

namespace levin::readers {

/// Reads an IDX file, MNIST's format, plain or compressed by gzip (told by its bytes, not its
/// name).
///
/// Types: uint8, int8, int16, int32, float32, float64. Throws DataError::unreadable, and
/// DataError::corrupt for a wrong magic number and for anything but the exact length.
/// Source: http://yann.lecun.com/exdb/mnist, "the IDX file format".
Array read_idx(const std::filesystem::path& path);
/// The same from the file's bytes; `name` is what errors call it.
Array parse_idx(Bytes bytes, std::string_view name);

}  // namespace levin::readers
