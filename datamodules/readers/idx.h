#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include <levin/datamodules/readers/array.h>

namespace levin::readers {

/// Reads an IDX file, MNIST's format. It may be compressed by gzip, which is told by its bytes, not
/// by its name.
///
///     const Array images = read_idx("train-images-idx3-ubyte.gz");   // uint8 [60000, 28, 28]
///
/// Element types are uint8, int8, int16, int32, float32 and float64. Throws DataError::unreadable
/// if the file can't be read, and DataError::corrupt for a wrong magic number and for a file that
/// is shorter or longer than its header says. Source: http://yann.lecun.com/exdb/mnist, "the IDX
/// file format".
Array read_idx(const std::filesystem::path& path);
/// Does the same with the bytes of a file; `name` is what errors call it.
Array parse_idx(Bytes bytes, std::string_view name);

/// Says why a file of `size` bytes is refused if it ends inside its header.
std::string cut_idx_header(uint64_t size);
/// Says why a file is refused that starts with a magic number of another format.
std::string foreign_idx_magic(uint64_t magic);

}  // namespace levin::readers
