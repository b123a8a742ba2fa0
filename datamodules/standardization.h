#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/sparse_rows.h>
#include <levin/framework/data/rows.h>
#include <levin/framework/tensor/state_dict.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// The mean and the deviation of each feature of the training rows, by which all rows are
/// standardised: (x - mean) / deviation. scikit-learn: StandardScaler.
///
///     const auto found = Standardization::of(x, training_rows);
///     const auto standardized = found.apply(x);
///
/// Sparse rows are only divided, because rows without zeros would take the memory of dense ones:
/// x / deviation. A linear model with an unpenalised bias has the same optimum either way. The
/// zeros count for the deviation. scikit-learn: StandardScaler(with_mean=False).
struct Standardization {
  /// In the shape of a row, float64. Undefined if it isn't subtracted.
  torch::Tensor mean{};
  /// That of the population: the root of the mean squared distance from the mean. 1 for a feature
  /// whose values are all the same, up to rounding.
  torch::Tensor deviation{};

  /// Finds both from the rows of `x` [rows, ...] with the numbers `rows`, of which there must be at
  /// least one, in float64 and in parts, so that little memory is needed.
  static Standardization of(const torch::Tensor& x, const std::vector<int64_t>& rows);
  /// Returns the standardised rows of `x` in new memory, computed in float64; in the type of `x`,
  /// or in float32 if those are integers. Throws DataError if a row has another shape. `name` is
  /// what the error calls `x`.
  torch::Tensor apply(const torch::Tensor& x, std::string_view name = "x") const;
  /// The same of rows that may be sparse.
  static Standardization of(const Rows& x, const std::vector<int64_t>& rows);
  Rows apply(const Rows& x, std::string_view name) const;
  /// Divides the values of sparse rows in place. Throws DataError for a value that a float32 can't
  /// hold.
  void apply(readers::SparseRows& rows) const;
  /// Throws DataError unless these are the statistics of rows of `columns` numbers.
  void require_columns(int64_t columns, std::string_view name) const;
  bool operator==(const Standardization& other) const;

  /// Puts both into a fitted state as "standardize.mean" and "standardize.deviation".
  void save(StateDict& state) const;
  /// Returns what `save` put there; nothing if there is nothing.
  static std::optional<Standardization> load(const StateDict& state);
};

/// Finds the deviation of each column of sparse rows in one pass over them (Welford 1962), zeros
/// included.
class ColumnDeviations {
 public:
  explicit ColumnDeviations(int64_t columns) : columns_(static_cast<size_t>(columns)) {}
  /// Adds the entries of rows; `values` is null if all are 1.
  void add(const int32_t* indices, const float* values, int64_t entries);
  /// Adds rows, whose entries `add` gets.
  void add_rows(int64_t rows) { rows_ += rows; }
  void add(const readers::SparseRows& rows);
  Standardization find() const;

 private:
  /// Of the entries of a column.
  struct Column {
    double count = 0.0;
    double mean = 0.0;
    double squares = 0.0;  // of the distances from the mean, added up
  };
  std::vector<Column> columns_;
  int64_t rows_ = 0;
};

/// Throws ConfigError if the data of the model with that fitted state weren't standardised, but the
/// option `standardize` of a data module is set: it would give the model features of another
/// meaning.
void require_standardized(const std::optional<Standardization>& taken, bool standardize);

}  // namespace levin
