#pragma once

#include <cstdint>
#include <memory>

#include <levin/framework/data/rows.h>

namespace levin {

/// The products of rows x_i, [features] each, with a matrix and with the gradients of outputs: the
/// two halves of a pass of LinearObjective. Rows may be dense numbers of any type, bytes that stand
/// for numbers, or sparse. Sums over rows are kept in float64.
///
///     products.set_matrix(weight, bias);
///     products.outputs(rows, z);                            // z_i = weight . x_i + bias
///     products.add_gradients(rows, r, sums);
///     products.finish(sums);                                // at the end of a pass
///
/// Rows are to be passed in blocks that fit into the cache (`block_rows`), so that the second call
/// finds there what the first one has read. Each thread needs an object of its own.
class RowProducts {
 public:
  /// Where gradients are added up: those of the matrix, [outputs, features], and of the bias,
  /// [outputs].
  struct Sums {
    double* weight;
    double* bias;
  };

  virtual ~RowProducts() = default;

  /// Sets the matrix and bias of `outputs`. weight: [outputs, features], bias: [outputs] or
  /// undefined; both float64.
  virtual void set_matrix(const torch::Tensor& weight, const torch::Tensor& bias) = 0;
  /// The same with the matrix and bias of `other`, which must have been made for the same rows and
  /// precision. They are shared until either is set anew.
  virtual void share_matrix(const RowProducts& other) = 0;
  /// Writes the outputs to `out`, [rows, outputs].
  virtual void outputs(const Rows& rows, double* out) = 0;
  /// Adds gradient^T . x and the sums of the gradient's columns to `sums`, or keeps them for
  /// `finish`. gradient: [rows, outputs].
  virtual void add_gradients(const Rows& rows, const double* gradient, const Sums& sums) = 0;
  /// The same with the squares of the rows' numbers.
  virtual void add_square_gradients(const Rows& rows, const double* gradient, const Sums& sums) = 0;
  /// Adds what the last pass has kept.
  virtual void finish(const Sums& /*sums*/) {}

  /// The number of rows that lie in the cache together.
  static int64_t block_rows(const Rows& rows);
  /// The multiplications of a product of the rows and a matrix of that many outputs.
  static int64_t multiplications(const Rows& rows, int64_t outputs);
  /// The number of parts that a pass is cut into, which follows from its size alone: it has so many
  /// multiplications, and each part has a gradient of so many numbers.
  static int64_t num_parts(int64_t multiplications, int64_t numbers);
};

/// Makes an object for rows like these, and for `outputs` outputs. If `precise`, products are
/// computed in float64; else in float32, by kernels that read rows in place if they can.
std::unique_ptr<RowProducts> make_row_products(const Rows& rows, int64_t outputs, bool precise);

/// The rows as a dense tensor, [rows, features].
torch::Tensor as_matrix(const Rows& rows, int64_t features, at::ScalarType type = at::kDouble);

}  // namespace levin
