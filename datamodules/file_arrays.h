#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <levin/datamodules/readers/csv_header.h>
#include <levin/framework/tensor/tensor.h>

/// How data modules read whole files of arrays. For authors of data modules; users of files take
/// ArrayDataModule.
///
///     FileArrays train = read_arrays({.x = "train.csv", .target_column = "species"});
///     FileArrays test = read_arrays({.x = "test.csv", .like = train.layout});
namespace levin {

/// The features and targets that `read_arrays` found.
struct FileArrays {
  /// The features [rows, ...]; of a CSV file float64 [rows, columns].
  torch::Tensor x;
  /// The targets [rows, ...]. Undefined if the files have none.
  torch::Tensor y;
  /// If the targets were texts in a CSV file: the texts in the order of their bytes, which `y`
  /// numbers from 0. Else empty.
  std::vector<std::string> class_names{};
  /// The columns of the file of features if it is a CSV file: FileNames::like of files that belong
  /// to this one.
  std::optional<readers::CsvLayout> layout{};
  /// What was decided about the files in case of doubt: sentences for the user.
  std::vector<std::string> notes{};
};

/// Says which files to read, and which part of each holds the features and the targets.
struct FileNames {
  /// The file of the features: .npy, .npz, .csv or .tsv. The ending decides, in upper or lower
  /// case.
  std::string x{};
  /// The file of the targets, of the same kinds; a CSV file of targets has one column. If empty,
  /// the targets are in the file `x`: a .npz holds them as the array `y_name`, a CSV file as the
  /// column `target_column`, and a .npy has none.
  std::string y{};
  /// The target column of a CSV file that holds both: its name, its number from 0, or from -1 for
  /// the last column backwards, or "none".
  std::string target_column = "-1";
  /// Whether the first lines of the CSV files name the columns.
  readers::CsvHeader header = readers::CsvHeader::detect;
  /// The columns of the file `x` that belongs to this one, such as that of the training data. If
  /// both have names, the columns of this one are taken by their names, in the order of that one.
  std::optional<readers::CsvLayout> like{};
  /// Leaves out columns that aren't in `like`, instead of refusing them.
  bool ignore_extra_columns = false;
  /// What the arrays of a .npz file are called. If a file has no such array, the one with "_train"
  /// behind the name is taken. If it lacks that one, too, the only array of a file is taken, but
  /// not as targets from the file `x`, which then has none.
  std::string x_name = "x";
  std::string y_name = "y";
  /// Whether a .npz file that has no arrays of these names may call them "x" and "y".
  bool may_be_plain = false;
  /// Whether the file `x` may lack the target column of `like`.
  bool target_optional = false;
  /// Leaves the targets of the file `x` out without looking at them, so that they may be missing or
  /// of any kind.
  bool skip_target = false;
  /// Takes the targets of a CSV file for texts even if they look like numbers.
  bool text_targets = false;
};

/// Reads the files whole, into memory. The targets of a CSV file become int64 if all of them are
/// whole numbers up to 2^53, else float64. If it can't be told from a first line whether it is a
/// header, the numbers of rows of `x` and `y`, which must be the same, decide.
///
/// Throws DataError for a file that is missing, damaged or of another kind, for a .npz without the
/// array, for columns that aren't those of `like`, and if it can't be told whether a file has a
/// header. NaN and infinities in arrays are left to `checked_features` and `checked_targets`.
FileArrays read_arrays(const FileNames& names);

}  // namespace levin
