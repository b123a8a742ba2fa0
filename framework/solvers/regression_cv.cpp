#include <levin/framework/solvers/regression_cv.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/quadratic_descent.h>

namespace levin {

RegressionCVObjective::RegressionCVObjective(RowSource& rows, RegressionCVPlan plan,
                                             const std::vector<torch::Tensor>& parameters)
    : FoldObjective(rows, parameters),
      plan_(std::move(plan)),
      features_(plan_.loss.weight.size(1)) {
  constexpr int64_t kMost = 2000;
  if (features_ > kMost) {
    throw ConfigError::conflict(
        fmt::format("cross-validated least squares with {} features", features_),
        fmt::format("it keeps the products of all features with each other, for up to {}; try "
                    "strengths of your own with LinearRegression and coordinate-descent",
                    kMost));
  }
  moments_.emplace(rows_, features_, plan_.loss.bias.defined(), std::max<int64_t>(plan_.folds, 1),
                   plan_.fold_seed);
  set_alphas();
  const double alpha = plan_.chosen[0].item<double>();
  set_all_rows(alpha > 0.0 ? loss_with(alpha, plan_.chosen[1].item<double>())
                           : loss_with(plan_.tried[0][0].item<double>(), plan_.l1_ratios.front()));
}

/// The strengths of Levin's objective, (1 / S) sum s_i (y_i - w . x_i - b)^2 + l1 |w| + l2 w^2.
RegressionCVObjective::Strengths RegressionCVObjective::strengths(double alpha, double l1_ratio,
                                                                  double total) const {
  if (plan_.is_ridge) return {0.0, alpha / total};
  return {2.0 * alpha * l1_ratio, alpha * (1.0 - l1_ratio)};
}

/// The loss of all rows with these strengths.
LinearLoss RegressionCVObjective::loss_with(double alpha, double l1_ratio) const {
  auto loss = plan_.loss;
  const auto found = strengths(alpha, l1_ratio, moments_->outside(-1).weight);
  loss.l1_strength = found.l1;
  loss.l2_strength = found.l2;
  return loss;
}

void RegressionCVObjective::set_alphas() {
  for (size_t r = 0; r < plan_.l1_ratios.size(); ++r) {
    auto alphas = plan_.alphas;
    if (alphas.empty()) {
      const double smooth = moments_->outside(-1).with_target.abs().max().item<double>();
      const double first =
          std::max(smooth / plan_.l1_ratios[r], std::numeric_limits<double>::epsilon());
      alphas = log_spaced(first, first * plan_.eps, plan_.num_alphas);
    }
    plan_.tried[static_cast<int64_t>(r)].copy_(at::tensor(alphas, at::kDouble));
  }
}

double RegressionCVObjective::bias_of(const Moments& moments, const torch::Tensor& weight) const {
  if (!plan_.loss.bias.defined()) return 0.0;
  return moments.target_mean - weight.dot(moments.mean).item<double>();
}

/// The weights for all strengths of an l1_ratio, [alphas, features].
torch::Tensor RegressionCVObjective::path(const Moments& moments, int64_t ratio) const {
  const auto alphas = plan_.tried[ratio];
  const auto largest = moments.with_target.abs().max().item<double>();
  auto w = at::zeros({features_}, at::kDouble);
  auto weights = at::empty({alphas.numel(), features_}, at::kDouble);
  const auto l1_ratio = plan_.l1_ratios[static_cast<size_t>(ratio)];
  torch::Tensor values;
  torch::Tensor vectors;
  if (plan_.is_ridge) std::tie(values, vectors) = at::linalg_eigh(moments.products);
  for (int64_t i = 0; i < alphas.numel(); ++i) {
    const auto [l1, l2] = strengths(alphas[i].item<double>(), l1_ratio, moments.weight);
    if (plan_.is_ridge) {
      w = vectors.mv(vectors.t().mv(moments.with_target) / (values.clamp_min(0.0) + l2));
    } else {
      auto matrix = 2.0 * moments.products;
      matrix.diagonal().add_(2.0 * l2);
      auto slope = matrix.mv(w) - 2.0 * moments.with_target;
      const auto penalty = at::full({features_}, l1, at::kDouble);
      minimise_quadratic(matrix, penalty, w, slope, 1e-13 * largest);
    }
    weights[i].copy_(w);
  }
  return weights;
}

void RegressionCVObjective::score_fold(int64_t fold) {
  if (plan_.folds == 0) return score_rows();
  const auto moments = moments_->outside(fold);
  for (int64_t r = 0; r < plan_.tried.size(0); ++r) {
    const auto weights = path(moments, r);
    for (int64_t i = 0; i < weights.size(0); ++i) {
      const auto w = weights[i];
      plan_.errors[r][i][fold].fill_(moments_->error(fold, w, bias_of(moments, w)));
    }
  }
}

/// Scores ridge by leaving out each row once. Without row i, its error is its error with it,
/// divided by 1 - h_i, where h_i is how much its target counts in its own prediction.
void RegressionCVObjective::score_rows() {
  const auto moments = moments_->outside(-1);
  const auto eigen = at::linalg_eigh(moments.products);
  const auto& values = std::get<0>(eigen);
  const auto& vectors = std::get<1>(eigen);
  const auto l2 = plan_.tried[0] / moments.weight;
  const auto factors = 1.0 / (values.clamp_min(0.0).unsqueeze(1) + l2);  // [features, alphas]
  const auto along = factors * vectors.t().mv(moments.with_target).unsqueeze(1);
  const double own = plan_.loss.bias.defined() ? 1.0 : 0.0;
  auto sums = at::zeros({l2.numel()}, at::kDouble);
  for_regression_rows(rows_, features_, [&](const RegressionRows& block) {
    const auto u = (block.x - moments.mean).mm(vectors);
    const auto errors = (block.y - moments.target_mean).unsqueeze(1) - u.mm(along);
    const auto shares =
        (u.square().mm(factors) + own) * (block.weights / moments.weight).unsqueeze(1);
    sums.add_(block.weights.matmul((errors / (1.0 - shares)).square()));
  });
  rows_.sum(sums);
  plan_.errors[0].copy_((sums / moments.weight).unsqueeze(1));
}

PathPoint RegressionCVObjective::choose_and_refit() {
  const auto means = plan_.errors.mean(2);
  int64_t ratio = 0;
  int64_t alpha = 0;
  for (int64_t r = 0; r < means.size(0); ++r) {
    for (int64_t i = 0; i < means.size(1); ++i) {
      if (!(means[r][i].item<double>() < means[ratio][alpha].item<double>())) continue;
      ratio = r;
      alpha = i;
    }
  }
  const double l1_ratio = plan_.is_ridge ? 0.0 : plan_.l1_ratios[static_cast<size_t>(ratio)];
  plan_.chosen.copy_(at::tensor({plan_.tried[ratio][alpha].item<double>(), l1_ratio}, at::kDouble));
  const auto all = moments_->outside(-1);
  set_all_rows(loss_with(plan_.chosen[0].item<double>(), l1_ratio));
  const auto w = path(all, ratio)[alpha].contiguous();
  return {.weight = w.unsqueeze(0), .bias = at::full({1}, bias_of(all, w), at::kDouble)};
}

}  // namespace levin
