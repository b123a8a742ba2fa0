#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/array.h>

/// NumPy's files: one array in a .npy, named arrays in a .npz, which is a zip file of .npy files.
///
/// Versions 1.0 to 3.0 are read, in either byte order and in C or Fortran order. What the functions
/// return is always row-major and in the machine's byte order. Element types are booleans, integers
/// of 8 to 64 bits and floats of 16 to 64 bits. Any other type throws DataError; nothing pickled is
/// ever loaded. Damaged files throw DataError::corrupt. Source: numpy.lib.format.
namespace levin::readers {

/// Reads the array of a .npy file.
///
///     const Array x = read_npy("x.npy");
///     const std::span<const float> values = x.values<float>();
Array read_npy(const std::filesystem::path& path);
/// The same from the file's bytes; `name` is what errors call it.
Array parse_npy(Bytes bytes, std::string_view name);

/// An array of a .npz file.
struct NamedArray {
  std::string name = {};
  Array array = {};
};

/// The names of the arrays, in the file's order.
std::vector<std::string> npz_names(const std::filesystem::path& path);
/// Reads one array. Throws DataError::unreadable if the file has no such array; the message lists
/// the names of those it holds.
Array read_npz(const std::filesystem::path& path, std::string_view name);
/// Reads all arrays, in the file's order.
std::vector<NamedArray> read_npz(const std::filesystem::path& path);
/// Does the same with the bytes of a file; `name` is what errors call it.
std::vector<NamedArray> parse_npz(std::span<const std::byte> bytes, std::string_view name);

/// Writes a .npy file atomically, with the same bytes as `numpy.save`. Throws CheckpointError if
/// the file can't be written.
void write_npy(const std::filesystem::path& path, const Array& array);
/// Writes an uncompressed .npz atomically; the same arrays give the same bytes. Throws
/// CheckpointError if the file can't be written.
void write_npz(const std::filesystem::path& path, std::span<const NamedArray> arrays);

}  // namespace levin::readers
