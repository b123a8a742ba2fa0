#pragma once

#include <cstdint>

#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Minimises a quadratic function with L1 penalties over few variables, whose matrix is in memory:
///
///     1/2 w^T H w - c^T w + sum_j l1_j |w_j|
///
/// from `w` on, in place, by cyclic coordinate descent, of which a sweep costs size^2. If the
/// variables depend on each other so much that sweeps would take long, those that aren't 0 are
/// solved for at once, by a Cholesky factor or, if there is none, by conjugate gradients, up to the
/// first that would change its sign or, if they are many, with all of those at 0. An L2 penalty is
/// part of H. All float64 and contiguous.
///
/// `matrix`: H, [size, size], symmetric, without negative eigenvalues. `slope`: [size], H w - c,
/// which is kept up to date. `l1`: [size]. Ends when no entry of the subgradient of least size is
/// above `tolerance`, or after `most_sweeps`. Returns the largest entry in the last sweep.
double minimise_quadratic(const torch::Tensor& matrix, const torch::Tensor& l1, torch::Tensor& w,
                          torch::Tensor& slope, double tolerance, int64_t most_sweeps = 1000);

}  // namespace levin
