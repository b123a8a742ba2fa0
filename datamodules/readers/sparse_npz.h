#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <levin/datamodules/readers/sparse_rows.h>

namespace levin::readers {

/// Which arrays of a .npz file hold the targets of sparse rows, and how its rows are taken.
struct SparseNpzOptions {
  /// The number of columns; 0 takes the file's shape, or the highest index in a file without one.
  int64_t num_features = 0;
  /// The array of targets [rows], of any type of numbers; if it is empty, "y" is read if the file
  /// has it.
  std::string targets = {};
  /// Whether the indices of a row may be in any order and may be repeated. They are then sorted,
  /// and values of the same index are added, as by scipy's sum_duplicates. Else such rows are
  /// refused.
  bool sort_indices = false;
};

/// Reads the matrix that `scipy.sparse.save_npz` wrote in the format "csr", compressed or not. Its
/// indices may be int32 or int64, its data any numbers or booleans; data that are all 1 take no
/// memory, and neither do they in the file if the array "data" is left out. An array "y" of the
/// same file holds the targets; without one, the rows have none.
///
///     const SparseRows rows = read_sparse_npz("train.npz");
///
/// Throws DataError, with the file and the array, for another format such as "csc", for arrays that
/// don't fit each other, for an index that is negative or beyond the columns, for numbers that
/// aren't finite or that a float32 can't hold, and for indices that don't rise.
SparseRows read_sparse_npz(const std::filesystem::path& path, const SparseNpzOptions& options = {});

}  // namespace levin::readers
