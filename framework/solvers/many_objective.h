#pragma once

#include <cstdint>
#include <vector>

#include <c10/util/FunctionRef.h>

#include <levin/framework/solvers/linear_loss.h>
#include <levin/framework/solvers/objective.h>
#include <levin/framework/solvers/row_source.h>

namespace levin {

/// Many regressions with one output each, over the same rows: one for each group of rows, column of
/// the target and strength of the L2 penalty. That of group g, column c and strength s has the
/// number (g * columns + c) * strengths + s and minimises
///
///     (1 / S_g) sum_i s_i loss(w . x_i + b, y_ic) + l1_s sum |w| + l2_s sum w^2
///
/// where the sum goes over the rows of the group, whose weights s_i have the sum S_g.
struct ManyLosses {
  /// logistic, for targets 0 and 1, or squared.
  LinearLoss::Kind kind = LinearLoss::Kind::logistic;
  /// [problems, features].
  torch::Tensor weight{};
  /// [problems], or undefined.
  torch::Tensor bias{};
  /// 0: there are no groups. Else batches have "group" [rows], whole numbers below this.
  int64_t groups = 0;
  int64_t columns = 1;
  /// The strengths l2_s, at least one.
  std::vector<double> strengths{0.0};
  /// The strengths l1_s, as many; or none, for 0.
  std::vector<double> l1_strengths{};
  /// Whether `strengths` has scikit-learn's C instead: l2_s = (1 - l1_ratio) / (2 C S_g), and
  /// l1_s = l1_ratio / (C S_g).
  bool are_c = false;
  double l1_ratio = 0.0;

  bool has_l1() const { return are_c ? l1_ratio > 0.0 : !l1_strengths.empty(); }

  int64_t strengths_count() const { return std::ssize(strengths); }
  /// The problems of a group, and of all groups.
  int64_t problems_a_group() const { return columns * strengths_count(); }
  int64_t problems() const { return problems_a_group() * (groups > 0 ? groups : 1); }
};

/// The sum of the objectives of ManyLosses, so that any solver can minimise it that needs nothing
/// but sums over the rows; LockstepNewton goes for each of them by itself. A pass over the rows
/// serves any number of problems, by matrix products in float64. Sparse rows become dense a block
/// at a time.
///
/// Memory beside the parameters: the targets and weights of the rows, blocks of a few MB, and what
/// `newton_directions` says.
class ManyObjective final : public Objective {
 public:
  /// Problems that are looked at together, one in each row; the points [problems, features + 1] end
  /// with the bias, which is 0 if there is none.
  struct Problems {
    torch::Tensor numbers;  // [problems] int64, rising
    torch::Tensor points;
  };
  /// The smooth part of the objective of each, [problems], and its gradients, [problems, features +
  /// 1].
  struct Values {
    torch::Tensor values;
    torch::Tensor gradients;
  };

  /// `parameters`: the loss's weight and, if it has one, its bias, in the order of the flat point.
  /// Keeps a reference to `rows`. Throws ConfigError if the numbers of problems don't fit.
  ManyObjective(RowSource& rows, ManyLosses losses, const std::vector<torch::Tensor>& parameters);

  int64_t size() const override { return size_; }
  torch::Tensor l1() const override { return l1_.defined() ? to_flat(l1_) : l1_; }
  double evaluate(const torch::Tensor& point, const torch::Tensor& gradient) override;
  torch::Tensor hessian_product(const torch::Tensor& vector) override;

  /// The values of some problems, each at its own point: one pass. A collective.
  Values evaluate_each(const Problems& some);
  /// The Newton steps of some problems from their points, [problems, features + 1]: one pass for
  /// each 64 MB of Hessians, whose lower triangles are solved for in float64. A collective. A
  /// direction without curvature gets a little of it. If there are L1 penalties, a step minimises
  /// the quadratic model with the penalty as it is, by coordinate descent.
  torch::Tensor newton_directions(const Problems& some, const torch::Tensor& gradients);

  /// The L1 penalties of some problems, [problems], and the subgradients of least size of their
  /// objectives, whose smooth parts have the gradients `gradients`, [problems, features + 1].
  torch::Tensor penalties(const Problems& some) const;
  torch::Tensor least_subgradients(const Problems& some, const torch::Tensor& gradients) const;

  /// From the flat point to one row for each problem, and back.
  torch::Tensor to_rows(const torch::Tensor& flat) const;
  torch::Tensor to_flat(const torch::Tensor& rows) const;
  const ManyLosses& losses() const { return losses_; }

 private:
  /// What is kept of a batch.
  struct Kept {
    torch::Tensor targets;            // [rows, columns]
    torch::Tensor weights;            // [rows]
    std::vector<int64_t> order;       // the rows' numbers, group by group
    std::vector<int64_t> group_ends;  // [groups]: where those of each group end in `order`
  };
  /// Some rows and the problems that see them.
  struct Block {
    torch::Tensor x;        // [rows, features + 1], with a last column of ones, or zeros
    torch::Tensor targets;  // [rows, columns]
    torch::Tensor weights;  // [rows]
    int64_t first;          // the problems' places among those of the pass
    int64_t count;
  };
  using Use = c10::function_ref<void(const Block& block)>;

  void pass(const torch::Tensor& numbers, int64_t numbers_a_row, Use use);
  void pass_rows(const Rows& rows, Block block, int64_t numbers_a_row, Use use) const;
  Kept& keep(size_t index, const Batch& batch);
  void sort_by_group(const Batch& batch, Kept& kept) const;
  void meet_rows();
  void check_rows(const torch::Tensor& sums) const;
  torch::Tensor targets_of(const Block& block, const torch::Tensor& numbers) const;
  torch::Tensor curvatures_of(const Block& block, const torch::Tensor& outputs) const;
  torch::Tensor hessians_of(const Problems& some);
  void set_strengths();
  void model_steps(const Problems& some, const torch::Tensor& gradients,
                   const torch::Tensor& hessians, const torch::Tensor& steps) const;
  int64_t columns() const { return features_ + 1; }

  RowSource& rows_;
  ManyLosses losses_;
  int64_t features_;
  int64_t size_ = 0;
  int64_t weight_at_ = 0;
  int64_t bias_at_ = -1;  // -1: no bias
  bool has_met_rows_ = false;
  std::vector<Kept> kept_;
  torch::Tensor totals_;     // [problems]: S_g
  torch::Tensor strengths_;  // [problems]: l2_s
  torch::Tensor l1_;         // [problems, features + 1]; undefined: there are no L1 penalties
  torch::Tensor point_;      // [problems, features + 1]: that of the last `evaluate`
};

}  // namespace levin
