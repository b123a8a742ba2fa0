#pragma once

#include <cstdint>
#include <memory>

#include <levin/framework/data/rows.h>

namespace levin {

/// The products of rows x_i, [features] each, with a matrix and with the gradients of outputs: the
/// two halves of a pass of LinearObjective. Rows may be dense numbers of any type, or bytes that
/// stand for numbers. Sums over rows are kept in float64.
///
///     products.set_matrix(weight, bias);
///     products.outputs(rows, z);                            // z_i = weight . x_i + bias
///     products.add_gradients(rows, r, weight_gradient, bias_gradient);
///
/// Rows are to be passed in blocks that fit into the cache (`block_rows`), so that the second call
/// finds there what the first one has read. Each thread needs an object of its own.
class RowProducts {
 public:
  virtual ~RowProducts() = default;

  /// Sets the matrix and bias of `outputs`. weight: [outputs, features], bias: [outputs] or
  /// undefined; both float64.
  virtual void set_matrix(const torch::Tensor& weight, const torch::Tensor& bias) = 0;
  /// Writes the outputs to `out`, [rows, outputs].
  virtual void outputs(const Rows& rows, double* out) = 0;
  /// Adds gradient^T . x to `weight_gradient`, [outputs, features], and the sums of the gradient's
  /// columns to `bias_gradient`, [outputs], or to nothing if that is null. gradient: [rows,
  /// outputs].
  virtual void add_gradients(const Rows& rows, const double* gradient, double* weight_gradient,
                             double* bias_gradient) = 0;

  /// The number of rows that lie in the cache together.
  static int64_t block_rows(int64_t row_bytes);
};

/// Makes an object for rows of `features` numbers and `outputs` outputs. If `precise`, products are
/// computed in float64; else in float32, by kernels that read rows in place if they can.
std::unique_ptr<RowProducts> make_row_products(int64_t features, int64_t outputs, bool precise);

}  // namespace levin
