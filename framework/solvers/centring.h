#pragma once

#include <cstdint>

#include <levin/framework/solvers/linear_loss.h>
#include <levin/framework/solvers/row_source.h>

namespace levin {

/// A change of the variables of a linear model, W and b, after which no rows have to be changed for
/// their features to have the mean 0:
///
///     b' = b + W . means,        W' = W
///
/// so that b' is the output for the mean row. The weights and their penalties are what they were,
/// but b' depends on them far less than b, and methods without a matrix of second derivatives take
/// far fewer steps. Any `means` are right; those of the rows are best.
class Centring {
 public:
  /// For flat points whose weight, [outputs, features], begins at `weight_at` and whose bias,
  /// [outputs], at `bias_at`. means: [features] float64.
  Centring(torch::Tensor means, int64_t outputs, int64_t weight_at, int64_t bias_at);

  /// The same point in the new variables, and the way back. Both return copies.
  torch::Tensor apply(const torch::Tensor& point) const;
  torch::Tensor undo(const torch::Tensor& point) const;
  /// The gradient with respect to the new variables, by the one with respect to the old ones.
  torch::Tensor gradient(const torch::Tensor& gradient) const;

 private:
  torch::Tensor weight_of(const torch::Tensor& flat) const;
  torch::Tensor bias_of(const torch::Tensor& flat) const;

  torch::Tensor means_;
  int64_t outputs_;
  int64_t weight_at_;
  int64_t bias_at_;
};

/// The mean of all rows, [features] float64, weighted as in the loss. Sums are computed in float64
/// if `precise`. A pass over the rows, and a collective.
torch::Tensor mean_row(RowSource& rows, const LinearLoss& loss, bool precise);

}  // namespace levin
