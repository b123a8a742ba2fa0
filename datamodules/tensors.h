#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/array.h>
#include <levin/datamodules/readers/target_type.h>
#include <levin/framework/data/dataset.h>
#include <levin/framework/data/rows.h>
#include <levin/framework/tensor/tensor.h>

/// What data modules need to turn the contents of files into tensors that can be trained on, with
/// every value checked. For authors of data modules; users of arrays and files take
/// ArrayDataModule.
///
///     FileArrays read = read_arrays({.x = "train.csv", .target_column = "species"});
///     torch::Tensor x = checked_features(read.x, "float32", "x");
///     const auto type = readers::TargetType::automatic;
///     torch::Tensor y = checked_targets(read.y, type, /*num_classes=*/0, "float32", "y");
///
/// `read_arrays` is in file_arrays.h.
namespace levin {

/// Makes a tensor of the array's shape that owns its memory. It takes over the array's bytes
/// without a copy, except for uint16, uint32 and uint64, for which LibTorch has few operations and
/// which become int64. Throws DataError for a uint64 above 2^63 - 1; `name` is what the error calls
/// the array.
torch::Tensor to_tensor(readers::Array array, std::string_view name = "the array");

/// Whether none of the texts `from` is a name of a class in `to`, so that `renumber_classes` takes
/// them for numbers of classes.
bool are_class_numbers(const std::vector<std::string>& from, const std::vector<std::string>& to);

/// Renumbers classes that were read from a file by the names that training knows them by. `y`
/// [rows] int64 holds indices into the texts `from`; the result holds the indices of the same texts
/// in `to`. If `are_class_numbers`, whole numbers from 0 stand for themselves. If `from` is empty,
/// `y` is returned as it is. Throws DataError for a text that isn't among `to`; `name` is what the
/// error calls `y`.
torch::Tensor renumber_classes(const torch::Tensor& y, const std::vector<std::string>& from,
                               const std::vector<std::string>& to, std::string_view name);

/// Returns `x` contiguous and of the floating-point type "float32" or "float64", or "as_is" for the
/// type it has; it shares the memory of `x` if nothing had to be converted. Throws DataError if `x`
/// is undefined or has no elements and, naming row and column, for NaN, infinities and a double
/// that float32 can't hold; ConfigError for another `dtype`. `name` is what errors call `x`.
torch::Tensor checked_features(const torch::Tensor& x, std::string_view dtype,
                               std::string_view name);

/// The same for rows that may be sparse: sparse rows, and sparse CSR and COO tensors, become sparse
/// rows of float32 numbers on the CPU, sealed. Throws DataError, naming row and entry, if their
/// entries aren't as `require_valid_entries` demands, and for other sparse layouts; ConfigError for
/// a `dtype` that sparse rows can't have.
Rows checked_rows(const Rows& x, std::string_view dtype, std::string_view name);

/// A data set of inputs without targets, for prediction.
std::shared_ptr<const Dataset> inputs_alone(const Rows& x);
/// The same with the groups of the rows as "group", [rows], if they are defined.
std::shared_ptr<const Dataset> inputs_of(const Rows& x, const torch::Tensor& group);

/// Returns targets in the form that losses take: classes as [rows] int64, values in their own shape
/// with the type `dtype` (see checked_features). `type` automatic takes integers and booleans for
/// classes, and any targets if `num_classes` is above 0. Classes [rows, 1] lose their second
/// dimension. Throws DataError if there are no targets or, naming the row, for NaN, infinities, a
/// value that float32 can't hold, and a class that is below 0, not below `num_classes` (0 sets no
/// limit), not a whole number up to 2^53 or more than one number; ConfigError for values with
/// another `dtype`.
torch::Tensor checked_targets(const torch::Tensor& y, readers::TargetType type, int64_t num_classes,
                              std::string_view dtype, std::string_view name);

}  // namespace levin
