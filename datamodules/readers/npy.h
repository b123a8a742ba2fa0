#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/array.h>

/// NumPy's files: one array in a .npy, named arrays in a .npz (a zip file of .npy files).
///
/// Versions 1.0 to 3.0, either byte order, C or Fortran order; what is read is always row-major in
/// the machine's byte order. Booleans, integers and floats of 16 to 64 bits. Anything else throws
/// DataError::bad_value: nothing pickled is ever loaded. Damaged files throw DataError::corrupt.
/// Source: numpy.lib.format.
namespace levin::readers {

Array read_npy(const std::filesystem::path& path);
/// The same from the file's bytes; `name` is what errors call it.
Array parse_npy(Bytes bytes, std::string_view name);

struct NamedArray {
  std::string name = {};
  Array array = {};
};

/// The names of the arrays, in the file's order.
std::vector<std::string> npz_names(const std::filesystem::path& path);
/// One array. Throws DataError::unreadable, with the names there are, where it isn't there.
Array read_npz(const std::filesystem::path& path, std::string_view name);
/// All arrays, in the file's order.
std::vector<NamedArray> read_npz(const std::filesystem::path& path);
std::vector<NamedArray> parse_npz(std::span<const std::byte> bytes, std::string_view name);

/// Writes what `numpy.save` would, byte for byte, atomically. Throws CheckpointError.
void write_npy(const std::filesystem::path& path, const Array& array);
/// Writes an uncompressed .npz, the same bytes for the same arrays, atomically. Throws
/// CheckpointError.
void write_npz(const std::filesystem::path& path, std::span<const NamedArray> arrays);

}  // namespace levin::readers
