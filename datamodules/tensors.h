#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/array.h>
#include <levin/datamodules/readers/target_type.h>
#include <levin/framework/tensor/tensor.h>

/// What data modules need to turn the contents of files into tensors that can be trained on, with
/// every value checked. For authors of data modules; users of arrays and files take
/// ArrayDataModule.
///
///     FileArrays read = read_arrays({.x = "train.csv", .target_column = "species"});
///     torch::Tensor x = checked_features(read.x, "float32", "x");
///     const auto type = readers::TargetType::automatic;
///     torch::Tensor y = checked_targets(read.y, type, /*num_classes=*/0, "float32", "y");
namespace levin {

/// Makes a tensor of the array's shape that owns its memory. It takes over the array's bytes
/// without a copy, except for uint16, uint32 and uint64, for which LibTorch has few operations and
/// which become int64. Throws DataError for a uint64 above 2^63 - 1.
torch::Tensor to_tensor(readers::Array array);

/// The features and targets that `read_arrays` found.
struct FileArrays {
  /// The features [rows, ...]; of a CSV file float64 [rows, columns].
  torch::Tensor x;
  /// The targets [rows, ...]. Undefined if the files have none.
  torch::Tensor y;
  /// If the targets were texts in a CSV file: the texts in the order of their bytes, which `y`
  /// numbers from 0. Else empty.
  std::vector<std::string> class_names;
};

/// Says which files to read, and which part of each holds the features and the targets.
struct FileNames {
  /// The file of the features: .npy, .npz or .csv. The ending decides, in upper or lower case.
  std::string x{};
  /// The file of the targets, of the same kinds; a CSV file of targets has one column. If empty,
  /// the targets are in the file `x`: a .npz holds them as the array `y_name`, a CSV file as the
  /// column `target_column`, and a .npy has none.
  std::string y{};
  /// The target column of a CSV file that holds both: its name, its number from 0, or from -1 for
  /// the last column backwards, or "none".
  std::string target_column = "-1";
  /// What the arrays of a .npz file are called. If a file has no such array, the one with "_train"
  /// behind the name is taken. If it hasn't that one either, the only array of a file is taken, but
  /// not as targets from the file `x`, which then has none.
  std::string x_name = "x";
  std::string y_name = "y";
};

/// Reads the files whole, into memory. The targets of a CSV file become int64 if all of them are
/// whole numbers up to 2^53, else float64. Throws DataError for a file that is missing, damaged or
/// of another kind, and for a .npz without the array; NaN and infinities in arrays are left to the
/// functions below.
FileArrays read_arrays(const FileNames& names);

/// Renumbers the classes of a second file by those of the first. `y` [rows] int64 holds indices
/// into `from`; the result holds the indices of the same texts in `to`. If `from` is empty, `y` is
/// returned as it is. Throws DataError for a text that isn't among `to`; `name` is what the error
/// calls `y`.
torch::Tensor renumber_classes(const torch::Tensor& y, const std::vector<std::string>& from,
                               const std::vector<std::string>& to, std::string_view name);

/// Returns `x` contiguous and of the floating-point type "float32" or "float64", or "as_is" for the
/// type it has; it shares the memory of `x` if nothing had to be converted. Throws DataError if `x`
/// is undefined or has no elements and, naming row and column, for NaN, infinities and a double
/// that float32 can't hold; ConfigError for another `dtype`. `name` is what errors call `x`.
torch::Tensor checked_features(const torch::Tensor& x, std::string_view dtype,
                               std::string_view name);

/// Returns targets in the form that losses take: classes as [rows] int64, values in their own shape
/// with the type `dtype` (see checked_features). `type` automatic takes integers and booleans for
/// classes, and any targets if `num_classes` is above 0. Classes [rows, 1] lose their second
/// dimension. Throws DataError if there are no targets or, naming the row, for NaN, infinities, and
/// a class that is below 0, not below `num_classes` (0 sets no limit), not a whole number or more
/// than one number; ConfigError for values with another `dtype`.
torch::Tensor checked_targets(const torch::Tensor& y, readers::TargetType type, int64_t num_classes,
                              std::string_view dtype, std::string_view name);

}  // namespace levin
