#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/array.h>
#include <levin/datamodules/readers/target_type.h>
#include <levin/framework/tensor/tensor.h>

/// From what files hold to tensors that can be trained on, with every value checked.
namespace levin {

/// The same numbers as a tensor that owns them; unsigned integers of 16 to 64 bits become int64.
/// Throws DataError for one above 2^63 - 1.
torch::Tensor to_tensor(readers::Array array);

/// Features and targets out of files.
struct FileArrays {
  torch::Tensor x;
  /// Undefined where the files have none.
  torch::Tensor y;
  /// The texts behind y's numbers where the file had texts, by the alphabet.
  std::vector<std::string> class_names;
};

/// Which files and which parts of them.
struct FileNames {
  /// A .npy, .npz or .csv file.
  std::string x{};
  /// The same for targets; "": in `x` itself, as array `y_name` or as the target column.
  std::string y{};
  /// Of a CSV file of both: a name, a number (from -1 for the last backwards), or "none".
  std::string target_column = "-1";
  /// What the arrays of a .npz file are called.
  std::string x_name = "x";
  std::string y_name = "y";
};

/// Reads them. A CSV file's target column becomes int64 where all its numbers are whole.
/// Throws DataError for files that are missing, damaged or of another kind.
FileArrays read_arrays(const FileNames& names);

/// `y`, numbered by `from`, numbered by `to` instead. Throws DataError for a class not among `to`.
torch::Tensor renumber_classes(const torch::Tensor& y, const std::vector<std::string>& from,
                               const std::vector<std::string>& to, std::string_view name);

/// `x` in floating-point type "float32" or "float64", or "as_is". Throws ConfigError for another
/// word, and DataError for no rows or, naming the place, for NaN and infinities.
torch::Tensor checked_features(const torch::Tensor& x, std::string_view dtype,
                               std::string_view name);

/// Classes as [rows] int64, values in `dtype` (see checked_features). `num_classes` 0: any number.
/// Throws DataError, naming the row, for a class below 0, not below num_classes, or not whole.
torch::Tensor checked_targets(const torch::Tensor& y, readers::TargetType type, int64_t num_classes,
                              std::string_view dtype, std::string_view name);

}  // namespace levin
