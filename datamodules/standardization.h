#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <levin/framework/tensor/state_dict.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// The mean and the deviation of each feature of the training rows, by which all rows are
/// standardised: (x - mean) / deviation. scikit-learn: StandardScaler.
///
///     const auto found = Standardization::of(x, training_rows);
///     const auto standardized = found.apply(x);
struct Standardization {
  /// In the shape of a row, float64.
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
  bool operator==(const Standardization& other) const;

  /// Puts both into a fitted state as "standardize.mean" and "standardize.deviation".
  void save(StateDict& state) const;
  /// Returns what `save` put there; nothing if there is nothing.
  static std::optional<Standardization> load(const StateDict& state);
};

/// Throws ConfigError if the data of the model with that fitted state weren't standardised, but the
/// option `standardize` of a data module is set: it would give the model features of another
/// meaning.
void require_standardized(const std::optional<Standardization>& taken, bool standardize);

}  // namespace levin
