#pragma once

#include <cstdint>

#include <levin/framework/data/rows.h>
#include <levin/framework/solvers/row_source.h>

namespace levin {

/// The training rows as a rank keeps them if ranks divide the features: all rows, but of each row
/// some columns alone.
struct OwnColumns {
  /// [rows, columns]: sparse if the training rows are, and else dense, of their type.
  Rows rows{};
  /// [rows] classes, or [rows, outputs] values if the loss is squared; float64.
  torch::Tensor targets{};
  /// [rows] float64: those of the batches, or 1.
  torch::Tensor weights{};
};

/// Reads `count` columns from `first` on of all rows, in one pass. The entries are copied, so that
/// the training rows needn't be kept. Throws DataError if there are no rows, or rows of another
/// number of features than `features`.
OwnColumns read_columns(RowSource& rows, int64_t features, int64_t first, int64_t count);

}  // namespace levin
