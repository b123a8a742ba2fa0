#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <levin/framework/solvers/entry_lists.h>
#include <levin/framework/solvers/linear_loss.h>
#include <levin/framework/solvers/row_source.h>

namespace levin {

/// A LinearLoss and the rows that it is about, in memory, for solvers that look at single rows or
/// at single features. Each rank has its own rows:
///
///     F(W, b) = sum_i weights_i loss(W x_i + b, targets_i) + l1 * sum |W| + l2 * sum W^2
///
/// where i goes over the rows of all ranks.
///
/// The features are float64 copies, dense or sparse, whichever is quicker. If the features are
/// dense and there is a bias, each feature's mean is subtracted, which changes only what the bias
/// is, and makes solvers converge much faster; `from_flat` and `to_flat` convert points.
struct LinearProblem {
  /// The problem of that loss without its rows and places, which are to be set. The weights are
  /// those of rows and classes, of any sum. Keeps a reference to `source`. A collective.
  LinearProblem(const LinearLoss& loss, RowSource& source, torch::Tensor row_targets,
                const torch::Tensor& row_weights);

  LinearLoss::Kind kind = LinearLoss::Kind::softmax;
  int64_t features = 0;
  int64_t outputs = 0;
  double l1 = 0.0;
  double l2 = 0.0;
  /// [rows] classes, or [rows * outputs] values if the loss is squared.
  torch::Tensor targets{};
  /// [rows]: with the class weights, and of sum 1 over all ranks.
  torch::Tensor weights{};
  /// What the weights are multiplied by for each output: see RowOutputs. Undefined: by 1.
  torch::Tensor output_weights{};
  /// [rows * outputs], one row after the other: the rows' outputs where the objective was evaluated
  /// last. Undefined if it wasn't evaluated since the rows were copied.
  torch::Tensor last_outputs{};
  /// Where the weight and the bias begin in the flat point; -1: there is no bias.
  int64_t weight_at = 0;
  int64_t bias_at = -1;
  /// Of how many weights coordinate descent may add up the second derivatives over the ranks: their
  /// matrix is sent to each other rank.
  int64_t most_shared = 2048;

  /// A list for each row, or one for each feature, made when first asked for.
  const EntryLists& by_row();
  const EntryLists& by_feature();
  /// Sets the features, a list for each row. Everything above has to be set before. A collective.
  void set_rows(EntryLists lists);
  /// The rows of this rank, which may have none, and of all ranks.
  int64_t rows() const { return weights.size(0); }
  int64_t all_rows() const { return all_rows_; }
  int64_t ranks() const { return source_.ranks(); }
  int64_t rank() const { return source_.rank(); }
  /// Adds up `values` over all ranks in place. A collective.
  void sum(std::vector<double>& values) const;
  /// Whether the target of a row is 1 for an output, if the loss is logistic or one_vs_rest.
  bool is_one(int64_t row, int64_t output) const;
  /// The weight of a row for an output.
  double weight_of(int64_t row, int64_t output) const;
  const double* output_weights_data() const {
    return output_weights.defined() ? output_weights.const_data_ptr<double>() : nullptr;
  }

  bool has_bias() const { return bias_at >= 0; }
  /// W is [outputs, features] and b [outputs], 0 if there is no bias.
  struct Point {
    torch::Tensor weight;
    torch::Tensor bias;
  };
  /// The point for these features of a flat point, in memory of its own, and the way back.
  Point from_flat(const torch::Tensor& flat) const;
  torch::Tensor to_flat(const Point& point) const;
  /// The derivatives of the sum of the losses, without the penalties, with respect to the entries
  /// of `from_flat(flat)`. `gradient`: of the objective's smooth part at `flat`.
  Point loss_slopes(const torch::Tensor& flat, const torch::Tensor& gradient) const;

 private:
  RowSource& source_;
  int64_t all_rows_ = 0;
  torch::Tensor means_;  // [features]: what was subtracted; undefined: nothing
  std::optional<EntryLists> by_row_;
  std::optional<EntryLists> by_feature_;
};

/// The features of this rank's rows, in float64, a list for each row: sparse if so few of them,
/// over all ranks, differ from 0 that this is quicker. Rows that are sparse already are copied as
/// they are. Three passes, and a collective.
EntryLists read_row_entries(RowSource& rows, int64_t features);

}  // namespace levin
