#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <levin/framework/core/ranks.h>
#include <levin/framework/solvers/column_parts.h>
#include <levin/framework/solvers/linear_loss.h>
#include <levin/framework/solvers/objective.h>
#include <levin/framework/solvers/own_columns.h>
#include <levin/framework/solvers/row_losses.h>
#include <levin/framework/solvers/row_products.h>
#include <levin/framework/solvers/row_source.h>

namespace levin {

/// The objective of a LinearLoss whose features are divided among the ranks of a run, for many more
/// features than rows. A rank has its columns of all rows, of the weight, and of every vector that
/// a solver keeps, so that memory and time fall with the number of ranks. What the ranks add up in
/// a pass are the outputs of the rows,
///
///     Z = sum_r X_r W_r^T + bias          [rows, outputs]
///
/// from which each rank computes all losses itself, and the gradient of its own entries. The
/// vectors that are passed and returned are parts (`parts`); rank 0's has the bias, too.
///
/// The rows are read once, in the first pass, and each rank has to get all of them. Products are
/// computed as in LinearObjective. The result is that of LinearObjective, apart from rounding.
class ColumnObjective final : public Objective {
 public:
  /// `parameters` are those that the flattened point is made of, in that order: see
  /// LinearObjective::fits. Keeps references to `rows`, all rows on every rank, of which no sums
  /// over ranks are asked, and to `ranks`. Throws ConfigError if there are fewer features than
  /// ranks.
  ColumnObjective(RowSource& rows, LinearLoss loss, const std::vector<torch::Tensor>& parameters,
                  Ranks& ranks);
  ~ColumnObjective() override;

  int64_t size() const override { return own_.size(); }
  ColumnParts* parts() override { return &parts_; }
  torch::Tensor l1() const override { return l1_; }
  double evaluate(const torch::Tensor& point, const torch::Tensor& gradient) override;
  std::optional<double> value_at_zero() const override { return loss_at_zero(loss_); }
  torch::Tensor hessian_product(const torch::Tensor& vector) override;
  torch::Tensor curvature_diagonal() override;
  /// Always throws ConfigError: no rank has the products of all pairs of features.
  torch::Tensor hessian_of(const torch::Tensor& entries) override;
  void remove_idle(const torch::Tensor& vector) const override;
  double noise() const override { return precise_ ? 1e-14 : 1e-9; }
  bool raise_precision() override;

 private:
  struct Share;
  struct Block {
    Rows rows;
    int64_t first;
    int64_t count;
    Share& share;
  };

  void meet_rows();
  void check_classes() const;
  void make_shares();
  template <class Work>
  void pass(Work work);
  void find_outputs(const torch::Tensor& vector);
  torch::Tensor take_sums();
  void add_penalty(const torch::Tensor& vector, const torch::Tensor& result) const;
  const double* weights_of(const Block& block) const;
  double* outputs_of(const Block& block) const;
  double* curvature_of(const Block& block) const;

  RowSource& source_;
  LinearLoss loss_;
  int64_t outputs_;
  ColumnParts parts_;
  ColumnParts::Layout own_;
  torch::Tensor l1_;
  torch::Tensor output_weights_;       // of one_vs_rest; else undefined
  std::optional<OwnColumns> columns_;  // nothing before the first pass
  double total_weight_ = 0.0;
  bool precise_ = false;
  torch::Tensor z_;          // [rows, outputs]: outputs, or their products with a vector
  torch::Tensor curvature_;  // [rows, outputs]: see row_losses
  torch::Tensor diagonal_;
  std::vector<std::unique_ptr<Share>> shares_;
};

}  // namespace levin
