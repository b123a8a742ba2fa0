#pragma once

#include <cstdint>
#include <string>

#include <c10/util/FunctionRef.h>

#include <levin/framework/data/batch.h>

namespace levin {

/// All training rows of this rank, which solvers go over again and again, each time in the same
/// order.
class RowSource {
 public:
  virtual ~RowSource() = default;

  /// Calls `use` for one batch after another, until all rows were passed. Batches have "target",
  /// and "weight" if rows have weights. Throws what the data throw.
  virtual void pass(c10::function_ref<void(const Batch& batch)> use) = 0;
  /// Adds up `values`, float64 on the CPU, over all ranks in place. A collective.
  virtual void sum(torch::Tensor& values) = 0;
  /// The ranks that share the rows, and the number of this one.
  virtual int64_t ranks() const { return 1; }
  virtual int64_t rank() const { return 0; }
  /// The numbers that this rank's rows have among the rows of all ranks, [rows] int64, in the order
  /// of `pass`: which rows come first doesn't depend on how many ranks there are. In one process,
  /// they are 0, 1, 2 ... `rows` is how many rows the last pass had.
  virtual torch::Tensor row_numbers(int64_t rows) const;
  /// Why this rank can't keep copies of its training rows and use them instead of further passes:
  /// "training rows that are ...". Empty if it can: the rows are in memory already, and the same in
  /// each pass. All ranks give the same answer.
  virtual std::string reason_against_copies() const { return {}; }
};

}  // namespace levin
