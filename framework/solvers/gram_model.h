#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace levin {

/// A quadratic function of p entries v with penalties, given by the matrix H of its second
/// derivatives, and its minimisation by cyclic coordinate descent:
///
///     1/2 (v - start)^T H (v - start) + slope^T v + sum_j (l1_j |v_j| + l2_j v_j^2)
///
/// A sweep over all entries costs p^2, whatever the number of rows that H was made of. Once sweeps
/// no longer change signs, conjugate gradients solve for the entries that aren't 0 all at once, up
/// to the first one that would change its sign.
class GramModel {
 public:
  struct Entry {
    double start = 0.0;
    double slope = 0.0;  // at the start, without the penalties
    double l1 = 0.0;
    double l2 = 0.0;
  };
  /// `matrix`: H, [p, p], symmetric and positive semidefinite. Throws nothing.
  GramModel(std::vector<double> matrix, std::vector<Entry> entries);

  /// Makes at most `most_sweeps` sweeps; ends when no entry of the least subgradient was above
  /// `tolerance` in one of them.
  void minimise(double tolerance, int64_t most_sweeps);
  /// The entries of the point that was reached, [p].
  const std::vector<double>& point() const { return now_; }

 private:
  const double* row(size_t j) const { return matrix_.data() + j * entries_.size(); }
  double slope(size_t j) const { return slopes_[j] + 2.0 * entries_[j].l2 * now_[j]; }
  double update(size_t j);
  double sweep();
  void solve(double tolerance);
  void multiply(const std::vector<size_t>& free, const std::vector<double>& direction,
                std::vector<double>& product) const;
  void take(const std::vector<size_t>& free, const std::vector<double>& step);
  void move(size_t j, double to);

  std::vector<double> matrix_;
  std::vector<Entry> entries_;
  std::vector<double> now_;
  std::vector<double> slopes_;  // of the function without the penalties, at the point
  int64_t sign_changes_ = 0;    // of entries with an L1 penalty, in the last sweep
};

}  // namespace levin
