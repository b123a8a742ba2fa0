#pragma once

#include <levin/framework/tensor/tensor.h>

namespace levin {

/// The eigenvalues and eigenvectors of a symmetric matrix, whose eigenvalues below 0 count as 0.
struct Eigenbasis {
  /// Decomposes `matrix`, [n, n] float64 or float32, with its precision.
  explicit Eigenbasis(const torch::Tensor& matrix);
  torch::Tensor values;   // [n] float64
  torch::Tensor vectors;  // [n, n] of the matrix's type, one in each column
};

/// The inverse of the matrix kron(left, right) + shift * identity, for symmetric positive
/// semidefinite matrices, applied by two products instead of one of size n * m. The shift is raised
/// if the matrix would be singular to working precision.
///
/// With the mean curvature of a loss on the left and the rows' mean outer product on the right, it
/// is close to the inverse Hessian of a linear model: features that are correlated, which make
/// conjugate gradients slow, are all in the right factor. Kronecker-factored curvature: Martens and
/// Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate Curvature", 2015.
class KroneckerInverse {
 public:
  /// `left`: [n, n] float64, `right`: [m, m]; products with the right one have its precision.
  KroneckerInverse(const Eigenbasis& left, const Eigenbasis& right, double shift);
  /// Returns the product with `matrix`, [n, m] float64, that is with its n * m numbers as one
  /// vector.
  torch::Tensor times(const torch::Tensor& matrix) const;

 private:
  torch::Tensor left_;
  torch::Tensor right_;
  torch::Tensor denominators_;
};

}  // namespace levin
