#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <levin/framework/solvers/linear_problem.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// The quadratic model of a LinearProblem's loss around a point, with its penalties as they are,
/// and its minimisation by cyclic coordinate descent:
///
///     CoordinateModel model(problem, point, nullptr);
///     model.minimise(tol, most_sweeps);
///     if (model.objective_at(1.0) < model.objective()) point = model.point_at(1.0);
///
/// The model has the whole curvature of the loss, also that between the outputs of a softmax. It is
/// the loss itself if that is squared. Entries of the weight that are 0 at the point, and whose
/// gradient there doesn't move them, are left out: the next model takes in those that should have
/// moved. If the other entries depend on each other so much that sweeps alone would take long,
/// conjugate gradients solve for all of them at once, up to the first one that would change its
/// sign, once sweeps no longer change signs.
///
/// If the features are sparse, and the outputs don't depend on each other as those of a softmax do,
/// each output's entries are minimised over by ColumnDescent instead, which needs fewer sweeps.
///
/// If ranks share the rows, the matrix of the model's second derivatives is added up over them, and
/// each rank minimises by it (minimise_quadratic), with the same result. The matrix is over at most
/// 2,048 entries of the weight: if more should move, those with the largest subgradients do, and
/// the next models take in the others.
class CoordinateModel {
 public:
  /// Keeps a reference to `problem`. `slopes`: the loss's derivatives at the point
  /// (`LinearProblem::loss_slopes`), if the objective was evaluated there last, so that the problem
  /// has the rows' outputs, too; null: a pass over the features finds both. A collective, as are
  /// `minimise` and `objective_at`.
  CoordinateModel(LinearProblem& problem, const LinearProblem::Point& point,
                  const LinearProblem::Point* slopes);

  /// Makes at most `most_sweeps` sweeps, as many as the model is worth: an exact minimum of it is
  /// of little use far from that of the objective. Ends at the latest when no entry of the model's
  /// least subgradient was above 0.3 * `tol` in one of them.
  void minimise(double tol, int64_t most_sweeps);

  /// The objective and the largest entry of the least subgradient at the point.
  double objective() const { return objective_; }
  double violation() const { return violation_; }
  /// How much the model says that the objective changes along the whole step, to first order in the
  /// loss and exactly in the L1 penalty; below 0 unless the point is the minimum.
  double promised() const;
  /// The objective at the point + step * (the minimum that was found - the point).
  double objective_at(double step) const;
  /// That point.
  LinearProblem::Point point_at(double step) const;

 private:
  struct Coordinate {
    int64_t feature;  // the last one: the bias
    int64_t output;
  };
  Entries column(int64_t feature) const;
  void set_outputs(bool are_known);
  void set_loss();
  void set_slopes(const LinearProblem::Point* slopes);
  void set_working();
  double objective_of(const std::vector<double>& outputs, const std::vector<double>& point,
                      std::vector<double>* residual, std::vector<double>* share) const;
  double slope(const Entries& x, int64_t output, const std::vector<double>& all_changes,
               const std::vector<double>& mean_change) const;
  double update(const Coordinate& at);
  double sweep(const std::vector<Coordinate>& coordinates);
  void solve(const std::vector<Coordinate>& free, double tolerance);
  void multiply(const std::vector<Coordinate>& free, const std::vector<double>& direction,
                std::vector<double>& outputs, std::vector<double>& mean,
                std::vector<double>& product) const;
  void take(const std::vector<Coordinate>& free, const std::vector<double>& step,
            const std::vector<double>& outputs, const std::vector<double>& mean);
  double gradient(const Coordinate& at) const;
  bool is_shared() const { return problem_.ranks() > 1; }
  bool is_by_columns() const { return features_.is_sparse() && !is_coupled() && !is_shared(); }
  bool is_exact() const { return problem_.kind == LinearLoss::Kind::squared; }
  void minimise_by_columns(double tol, int64_t most_sweeps);
  void minimise_by_columns_of(int64_t output, double tol, int64_t most_sweeps);
  void minimise_by_sweeps(double tolerance, int64_t most_sweeps);
  void minimise_by_matrix(double tolerance, int64_t most_sweeps);
  void limit_working();
  torch::Tensor matrix() const;
  torch::Tensor dense_matrix() const;
  torch::Tensor sparse_matrix() const;
  double second_factor(int64_t row, int64_t output, int64_t other) const;
  bool is_bias(int64_t feature) const { return feature == problem_.features; }
  double l1_of(const Coordinate& at) const { return is_bias(at.feature) ? 0.0 : problem_.l1; }
  double l2_of(const Coordinate& at) const { return is_bias(at.feature) ? 0.0 : problem_.l2; }
  double violation_at_start(const Coordinate& at) const;
  bool is_coupled() const { return problem_.kind == LinearLoss::Kind::softmax; }
  double* of_output(std::vector<double>& numbers, int64_t output) const {
    return numbers.data() + output * rows_;
  }
  const double* of_output(const std::vector<double>& numbers, int64_t output) const {
    return numbers.data() + output * rows_;
  }
  size_t index(const Coordinate& at) const {
    return static_cast<size_t>(at.output * columns_ + at.feature);
  }

  LinearProblem& problem_;
  const EntryLists& features_;
  int64_t rows_;
  int64_t columns_;  // the features, and one for the bias
  std::vector<Coordinate> all_;
  std::vector<Coordinate> working_;  // those that the model is minimised over
  int64_t sign_changes_ = 0;         // of entries with an L1 penalty, in the last sweep
  std::vector<double> ones_;         // [rows]: the column of the bias

  // At the start, [outputs, rows] each.
  std::vector<double> outputs_;
  std::vector<double> residual_;   // the loss's gradient with respect to the outputs
  std::vector<double> share_;      // what row_losses says of the curvature: the probabilities
  std::vector<double> curvature_;  // row weight * probability, of the softmax
  // What the step so far changes: the outputs, [outputs, rows], and, of the softmax, their mean by
  // the probabilities, [rows].
  std::vector<double> change_;
  std::vector<double> mean_change_;
  double objective_ = 0.0;  // at the start
  double violation_ = 0.0;
  // [outputs, columns] each.
  std::vector<double> start_;
  std::vector<double> now_;
  std::vector<double> first_;   // the loss's derivative at the start
  std::vector<double> second_;  // and its second derivative
};

}  // namespace levin
