#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/data/rows.h>

namespace levin {

/// Numbers the columns of sparse rows anew, those that occur most often first. Then the weights and
/// gradients of frequent columns share cache lines, and a pass over rows with many columns takes
/// about half of the time. The entries of a row keep their order, so sums have the same bits.
///
///     ColumnRanks ranks(features);
///     ranks.count(rows);                                   // for all rows
///     ranks.rank();
///     const Rows renumbered = ranks.renumbered(rows);
class ColumnRanks {
 public:
  explicit ColumnRanks(int64_t features);

  /// Whether many passes over rows like these are quicker, and a copy of them isn't too large.
  /// `entries`: of all rows.
  static bool pay(const Rows& like, int64_t entries);

  /// Looks at some of the rows.
  void count(const Rows& rows);
  /// To be called once, when the rows have been counted.
  void rank();

  /// A copy of the rows, or of their indices alone if these are whole, with the new numbers, which
  /// don't ascend within a row.
  Rows renumbered(const Rows& rows) const;
  /// numbers: [outputs, features] float64. The result has the number of column `columns()[r]` at
  /// place r.
  torch::Tensor sorted(const torch::Tensor& numbers) const;
  /// [features]: the column of each rank.
  const int32_t* columns() const { return columns_.data(); }

 private:
  std::vector<uint16_t> counts_;
  std::vector<int32_t> columns_;
  std::vector<int32_t> ranks_;  // [features]: the rank of each column
};

}  // namespace levin
