#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include <c10/util/FunctionRef.h>

#include <levin/framework/solvers/centring.h>
#include <levin/framework/solvers/kronecker.h>
#include <levin/framework/solvers/linear_loss.h>
#include <levin/framework/solvers/linear_problem.h>
#include <levin/framework/solvers/objective.h>
#include <levin/framework/solvers/pass_parts.h>
#include <levin/framework/solvers/row_losses.h>
#include <levin/framework/solvers/row_products.h>
#include <levin/framework/solvers/row_source.h>

namespace levin {

/// The objective of a LinearLoss over the rows of a RowSource, in closed form: no graph is
/// recorded. For each row, memory is kept for its target, its weight and its outputs, 8 bytes each,
/// so that a Hessian product needs no exponentials.
///
/// Products of rows are computed in float64 if the rows are float64 or few; else in float32, whose
/// sums over rows are float64, until `raise_precision`. The work is shared by the run's threads, in
/// parts that depend on its size alone: the results have the same bits for any number of threads.
/// Of sparse rows in memory with many columns, copies are kept whose columns have other numbers (4
/// bytes for each entry, up to 1 GiB, see ColumnRanks).
class LinearObjective final : public Objective {
 public:
  /// `parameters` are those that the flattened point is made of, in that order: the loss's weight
  /// and, if it has one, its bias. Keeps a reference to `rows`.
  LinearObjective(RowSource& rows, LinearLoss loss, const std::vector<torch::Tensor>& parameters);
  ~LinearObjective() override;

  /// Whether `parameters` are those of the loss, and no others.
  static bool fits(const LinearLoss& loss, const std::vector<torch::Tensor>& parameters);

  int64_t size() const override { return size_; }
  torch::Tensor l1() const override { return l1_; }
  double evaluate(const torch::Tensor& point, const torch::Tensor& gradient) override;
  std::optional<double> value_at_zero() const override { return loss_at_zero(loss_); }
  torch::Tensor hessian_product(const torch::Tensor& vector) override;
  torch::Tensor curvature_diagonal() override;
  torch::Tensor hessian_of(const torch::Tensor& entries) override;
  double hessian_cost(int64_t count) const override;
  /// For up to 2,000 features: by the Kronecker product of the rows' mean outer product, from some
  /// of the rows, and the mean curvature of the loss. For more: by the diagonal.
  torch::Tensor precondition(const torch::Tensor& vector) override;
  /// Subtracts the mean of each feature, if there is a bias.
  const Centring* centring() override {
    if (!has_bias()) return nullptr;
    if (!centring_) {
      // As for the preconditioner, `precise_` mustn't matter.
      centring_.emplace(mean_row(rows_, loss_, is_exact_), outputs_, weight_at_, bias_at_);
    }
    return &*centring_;
  }
  /// Adding the same number to all outputs of a softmax changes no loss. So the biases of all
  /// outputs get the mean 0, and so do the weights of each feature, if there is no penalty.
  void remove_idle(const torch::Tensor& vector) const override;
  /// With an L1 penalty alone, the same goes for the weights of a feature of which as many are
  /// above 0 as below: as long as none changes its sign, their absolute values have the same sum.
  void settle(const torch::Tensor& point) const override;
  double noise() const override { return precise_ ? 1e-14 : 1e-9; }
  bool raise_precision() override;
  LinearProblem* linear(std::string& reason, int64_t most_products) override;

 private:
  /// What is kept of a batch.
  struct Kept {
    int64_t first_row = 0;      // of the batch, among this rank's rows
    Rows rows{};                // those of the batch, with the ranks of columns; or undefined
    torch::Tensor targets{};    // [rows], or [rows, outputs]
    torch::Tensor weights{};    // [rows]
    torch::Tensor curvature{};  // [rows, outputs]
  };
  struct Block {
    Rows rows;
    int64_t first;
    const Kept& kept;
    PassPart& part;
  };

  void pass(c10::function_ref<void(const Block& block)> work,
            int64_t most_parts = std::numeric_limits<int64_t>::max());
  Kept& keep(size_t index, const Batch& batch);
  void meet_rows();
  void rank_columns();
  void begin_pass(const torch::Tensor& point);
  torch::Tensor end_pass();
  torch::Tensor joined(const torch::Tensor& weight_and_bias) const;
  torch::Tensor mean_outer_product();
  torch::Tensor mean_curvature();
  torch::Tensor places_of(const torch::Tensor& entries) const;
  torch::Tensor rows_with_one(const Rows& rows, at::ScalarType type) const;
  void add_penalty(const torch::Tensor& vector, const torch::Tensor& result) const;
  bool has_bias() const { return bias_at_ >= 0; }

  RowSource& rows_;
  LinearLoss loss_;
  int64_t outputs_;
  int64_t features_;
  int64_t size_ = 0;
  int64_t weight_at_ = 0;
  int64_t bias_at_ = -1;  // -1: no bias
  torch::Tensor l1_;
  torch::Tensor output_weights_;  // of one_vs_rest; else undefined
  double total_weight_ = 0.0;     // S, over all ranks
  double own_rows_ = 0.0;
  int64_t own_entries_ = 0;  // of sparse rows
  bool precise_ = false;
  bool has_met_rows_ = false;
  Rows like_;              // one row, or none if this rank has none
  bool is_exact_ = false;  // precise from the start, because of the data
  std::vector<Kept> kept_;
  PassParts parts_;
  // The preconditioner: the rows' part is made once, the rest after each `evaluate`.
  std::optional<Eigenbasis> row_basis_;
  std::optional<KroneckerInverse> kronecker_;
  torch::Tensor diagonal_;
  std::optional<Centring> centring_;
  std::unique_ptr<LinearProblem> problem_;
};

}  // namespace levin
