#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>

#include <levin/framework/tensor/tensor.h>

namespace levin {

class Centring;
class ColumnParts;
struct LinearProblem;

/// What a Solver minimises, over all training rows of all ranks:
///
///     F(w) = f(w) + sum_j l1_j |w_j|
///
/// where f is smooth and w, [size] float64, are all parameters, flattened and joined. The loss in f
/// is a mean over the rows, and the penalties are those of the module. Every tensor that is passed
/// or returned is on the CPU and float64.
///
///     auto gradient = at::empty({objective.size()}, at::kDouble);
///     const double value = objective.evaluate(point, gradient);
///     auto product = objective.hessian_product(direction);      // at `point`
///
/// Each call that needs the rows is one pass over them, and a collective: every rank calls it with
/// the same numbers and gets the same result, bit for bit. Ranks may also divide the parameters
/// among them (`parts`); every vector is then this rank's part of it, but values are the same.
class Objective {
 public:
  virtual ~Objective() = default;

  /// The number of entries of w.
  virtual int64_t size() const = 0;
  /// How ranks divide the entries of w among them; null if each has all of them.
  virtual ColumnParts* parts() { return nullptr; }
  /// The product of two vectors, and the largest absolute value of a vector's entries, over all
  /// parts. Collectives if there are parts.
  double dot(const torch::Tensor& a, const torch::Tensor& b);
  double largest(const torch::Tensor& vector);
  /// Adds up numbers that were computed from this rank's parts, in place. A collective, too.
  void sum_over_parts(std::span<double> numbers);
  /// The strength of the L1 penalty of each entry, [size]; undefined if no entry has one.
  virtual torch::Tensor l1() const { return {}; }

  /// Returns f at `point` and writes the gradient of f there into `gradient`, [size]. What the
  /// functions below say is about the point of the last call.
  virtual double evaluate(const torch::Tensor& point, const torch::Tensor& gradient) = 0;
  /// F at w = 0, if F is convex and this is known without a pass.
  virtual std::optional<double> value_at_zero() const { return {}; }
  /// Returns the product of f's Hessian and `vector`, [size].
  virtual torch::Tensor hessian_product(const torch::Tensor& vector) = 0;
  /// Returns the diagonal of f's Hessian, [size]; undefined if it isn't known cheaply.
  virtual torch::Tensor curvature_diagonal() { return {}; }
  /// Returns f's Hessian, [size, size], for few parameters.
  torch::Tensor hessian();
  /// Returns the rows and columns of f's Hessian for some of the entries of w, whose numbers are
  /// `entries`, [count] int64: [count, count]. By default it is made of `count` products.
  virtual torch::Tensor hessian_of(const torch::Tensor& entries);
  /// About how long `hessian_of` takes for so many entries, in calls of `evaluate`. Infinity, the
  /// default, if it would take too long or too much memory, or if f isn't known to be convex.
  virtual double hessian_cost(int64_t /*count*/) const {
    return std::numeric_limits<double>::infinity();
  }
  /// Returns an approximation of inverse(Hessian) . vector, [size], that is symmetric, positive
  /// definite, and cheap beside a pass over the rows. By default it divides by the diagonal, or
  /// returns a copy if that isn't known. The first call after `evaluate` may take a few passes.
  virtual torch::Tensor precondition(const torch::Tensor& vector);

  /// Variables that depend on each other less than the entries of w, for methods that know little
  /// of the curvature; null if none are known. The first call takes a pass over the rows.
  virtual const Centring* centring() { return nullptr; }

  /// Removes from `vector`, [size], in place, what has no effect on F when it is added to w, if
  /// that is known: of all minima, solvers then find the one without it.
  virtual void remove_idle(const torch::Tensor& /*vector*/) const {}

  /// Moves `point`, [size], in place, to the one of least squares of all points with the same loss
  /// and no larger penalties, if more than one is known: solvers end there, so that they find the
  /// same of several minima.
  virtual void settle(const torch::Tensor& /*point*/) const {}

  /// How far values at neighbouring points may be off each other by rounding, relative to their
  /// size. Searches don't take smaller differences for progress or the lack of it.
  virtual double noise() const { return 1e-14; }
  /// Makes later calls compute with more digits. Returns false if there are none to be had. The
  /// solver then has to call `evaluate` again.
  virtual bool raise_precision() { return false; }

  /// Returns the rows and the loss themselves, for solvers that look at single rows or single
  /// features. Returns null if that can't be done, and writes to `reason` what stands against it:
  /// "a loss that ...". The first call takes a few passes over the rows, and copies them if their
  /// number times that of the weights is at most `most_products`.
  virtual LinearProblem* linear(std::string& reason, int64_t most_products);
};

/// The subgradient of least size of f(w) + sum_j l1_j |w_j|, by the gradient of f: all tensors of
/// one shape.
torch::Tensor least_subgradient(const torch::Tensor& point, const torch::Tensor& gradient,
                                const torch::Tensor& l1);

}  // namespace levin
