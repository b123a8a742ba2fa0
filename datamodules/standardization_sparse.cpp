#include <levin/datamodules/standardization.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <utility>

#include <levin/framework/core/error.h>
#include <levin/framework/tensor/buffer.h>

// How sparse rows are standardised: divided by the deviations of their columns.

namespace levin {
namespace {

/// Divides `values` by the deviations of their columns; returns whether all results are finite.
bool divide(const int32_t* indices, const double* deviation, int64_t entries, const float* values,
            float* to) {
  bool finite = true;
  for (int64_t i = 0; i < entries; ++i) {
    const double value = values == nullptr ? 1.0 : static_cast<double>(values[i]);
    to[i] = static_cast<float>(value / deviation[indices[i]]);
    finite &= std::isfinite(to[i]);
  }
  return finite;
}

void require_finite_quotients(bool finite, std::string_view name) {
  if (finite) return;
  throw DataError(
      fmt::format("{}: a value divided by the deviation of its column is above what a float32 can "
                  "hold; leave the column out, or set standardize = false",
                  name));
}

}  // namespace

void ColumnDeviations::add(const int32_t* indices, const float* values, int64_t entries) {
  for (int64_t i = 0; i < entries; ++i) {
    Column& column = columns_[static_cast<size_t>(indices[i])];
    const double value = values == nullptr ? 1.0 : static_cast<double>(values[i]);
    column.count += 1.0;
    const double distance = value - column.mean;
    column.mean += distance / column.count;
    column.squares += distance * (value - column.mean);
  }
}

void ColumnDeviations::add(const readers::SparseRows& rows) {
  add(rows.indices.data(), rows.values.empty() ? nullptr : rows.values.data(), rows.entries());
  add_rows(rows.rows());
}

Standardization ColumnDeviations::find() const {
  auto deviation = at::ones({static_cast<int64_t>(columns_.size())}, at::kDouble);
  auto* to = deviation.mutable_data_ptr<double>();
  const auto rows = static_cast<double>(rows_);
  constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
  for (size_t i = 0; i < columns_.size(); ++i) {
    const auto& [count, mean, squares] = columns_[i];
    if (count == 0.0) continue;
    // The zeros are a second group, with the mean 0.
    const double variance = (squares + mean * mean * count * (rows - count) / rows) / rows;
    const double rounding = std::pow(mean * count * kEpsilon, 2) + variance * rows * kEpsilon;
    if (variance > rounding) to[i] = std::sqrt(variance);
  }
  return {{}, deviation};
}

Standardization Standardization::of(const Rows& x, const std::vector<int64_t>& rows) {
  const auto view = x.sparse_view();
  if (!view) return of(x.tensor(), rows);
  ColumnDeviations found(view->row_size);
  for (const int64_t number : rows) {
    const int64_t row = view->numbers == nullptr ? number : view->numbers[number];
    const int64_t begin = view->offsets[row];
    found.add(view->indices + begin, view->values == nullptr ? nullptr : view->values + begin,
              view->offsets[row + 1] - begin);
  }
  found.add_rows(static_cast<int64_t>(rows.size()));
  return found.find();
}

Rows Standardization::apply(const Rows& x, std::string_view name) const {
  if (!x.is_sparse()) return apply(x.tensor(), name);
  if (mean.defined()) {
    throw ConfigError::conflict(
        fmt::format("{} is sparse, but the model was trained on dense rows that were standardised, "
                    "of which the mean was subtracted",
                    name),
        "give the rows as a dense array");
  }
  require_columns(x.row_shape().front(), name);
  const auto rows = x.together(/*pinned=*/false);
  const auto own = deviation.contiguous();
  const int64_t entries = rows.indices().size(0);
  auto values = empty_in_huge_pages({entries}, at::kFloat);
  const bool finite =
      divide(rows.indices().const_data_ptr<int32_t>(), own.const_data_ptr<double>(), entries,
             rows.values().defined() ? rows.values().const_data_ptr<float>() : nullptr,
             values.mutable_data_ptr<float>());
  require_finite_quotients(finite, name);
  auto result =
      Rows::sparse(rows.source(), rows.indices(), std::move(values), rows.row_shape().front());
  result.seal();
  return result;
}

void Standardization::apply(readers::SparseRows& rows) const {
  if (rows.values.empty()) rows.values.append_copies(rows.indices.size(), 1.0F);
  const bool finite = divide(rows.indices.data(), deviation.const_data_ptr<double>(),
                             rows.entries(), rows.values.data(), rows.values.data());
  require_finite_quotients(finite, "the rows");
}

void Standardization::require_columns(int64_t columns, std::string_view name) const {
  if (!mean.defined() && deviation.dim() == 1 && deviation.size(0) == columns) return;
  throw DataError::bad_value(
      "the number of columns", std::to_string(columns), std::string(name),
      fmt::format("the training rows, by which features are standardised, {} {} columns",
                  mean.defined() ? "were dense, with" : "had", deviation.numel()));
}

}  // namespace levin
