#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <levin/framework/solvers/entry_lists.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Minimises a quadratic model of the loss of one output over sparse columns, with its penalties as
/// they are, by cyclic coordinate descent:
///
///     sum_j slope_j d_j + bias_slope * e + 1/2 sum_i curvature_i (sum_j x_ij d_j + e)^2
///         + sum_j (l1 |value_j + d_j| + l2 (value_j + d_j)^2)
///
/// over the changes d of the entries of the weight and, if there is a bias, its change e.
///
/// Two things make it quick where coordinate descent alone needs thousands of sweeps: columns whose
/// mean isn't 0, which all sparse columns are, and those that add up to a constant, as the values
/// of a category do. First, the bias has its best value at each step of each entry, which costs
/// nothing more, since it follows from two sums. Second, every few sweeps are extrapolated
/// (Anderson's acceleration), and the model is minimised exactly along the direction that this
/// yields, on past all points where entries change their signs.
///
/// Bertrand and Massias, "Anderson acceleration of coordinate descent", 2021.
class ColumnDescent {
 public:
  struct Limits {
    /// Sweeps end after one in which no entry of the subgradient of least size was larger,
    double tolerance = 0.0;
    /// or which made the model smaller by at most this share of what all sweeps did so far,
    double share = 0.0;
    /// or after which all sweeps together made the model smaller by this much,
    double enough = 0.0;
    /// or after that many of them.
    int64_t most_sweeps = 1;
  };

  /// A list of `columns` for each feature. `curvature`: [rows], the loss's second derivatives with
  /// respect to the rows' outputs. Keeps a reference to `columns`.
  ColumnDescent(const EntryLists& columns, const double* curvature, double l1, double l2);
  /// Adds an entry of the weight, with its value, and the loss's derivative with respect to it.
  void add(int64_t column, double value, double slope);
  /// Adds a bias, which isn't penalised. `slope`: the loss's derivative with respect to it.
  void add_bias(double slope);

  void minimise(const Limits& limits);

  /// The value of the entry that was added at that place, and what has changed of the bias and of a
  /// row's output.
  double value(size_t place) const { return values_[place]; }
  double bias_change() const { return bias_change_; }
  double change(int64_t row) const { return rows_[row].change; }
  int64_t sweeps() const { return sweeps_; }

 private:
  /// What an entry's step needs of a row, side by side because rows are picked at random.
  struct Row {
    double curvature;
    double change;
  };
  struct Swept {
    double worst = 0.0;     // the largest entry of the subgradient of least size
    double decrease = 0.0;  // of the model
  };
  /// Where sweeps have ended.
  struct Point {
    std::vector<double> values;
    std::vector<double> changes;
    double bias_change = 0.0;
  };
  /// A direction: the changes of the entries, of the rows' outputs and of the bias. The sizes of
  /// the shares that points have in it add up to `shares`.
  struct Direction {
    std::vector<double> values;
    std::vector<double> outputs;
    double bias = 0.0;
    double shares = 0.0;
  };

  Swept sweep();
  template <bool kOnes>
  void visit(size_t place, Swept& swept);
  template <bool kOnes>
  double slope_of(size_t place, const Entries& x);
  void set_bias(double change);
  double center();
  void remember();
  void extrapolate();
  std::vector<double> coefficients() const;
  double move_along(const Direction& direction);

  const EntryLists& columns_;
  int64_t count_;  // of rows
  double l1_;
  double l2_;
  torch::Tensor memory_;  // of the rows
  Row* rows_;
  double total_ = 0.0;  // the sum of the curvature
  std::optional<double> bias_slope_;
  double bias_change_ = 0.0;
  // In a sweep, the model's derivative with respect to the bias, which is made up for by `offset_`.
  double bias_rest_ = 0.0;
  double offset_ = 0.0;
  int64_t sweeps_ = 0;
  double decrease_ = 0.0;
  // Of each entry.
  std::vector<int64_t> places_;  // its column
  std::vector<double> values_;
  std::vector<double> slopes_;
  std::vector<double> second_;     // sum_i curvature_i x_ij^2, known after the first sweep
  std::vector<double> with_bias_;  // sum_i curvature_i x_ij
  std::vector<Point> recent_;      // the ends of the last sweeps, the newest last
};

}  // namespace levin
