// The part of LinearObjective that is about second derivatives.
#include <algorithm>
#include <limits>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/solvers/linear_objective.h>
#include <levin/framework/solvers/row_losses.h>

namespace levin {
namespace {

/// The most features for which matrices of [features, features] are made.
constexpr int64_t kMostForMatrices = 2000;

double* curvature_data(const torch::Tensor& tensor) { return tensor.mutable_data_ptr<double>(); }

torch::Tensor double_zeros(at::IntArrayRef sizes) { return at::zeros(sizes, at::kDouble); }

}  // namespace

torch::Tensor LinearObjective::curvature_diagonal() {
  if (diagonal_.defined()) return diagonal_;
  pass([&](const Block& block) {
    PassPart& part = block.part;
    const int64_t count = block.rows.size();
    levin::curvature_diagonal(
        loss_.kind, curvature_data(block.kept.curvature) + block.first * outputs_,
        curvature_data(block.kept.weights) + block.first, count, outputs_, part.gradient.data());
    part.products->add_square_gradients(block.rows, part.gradient.data(), part.sums());
  });
  diagonal_ = joined(end_pass().slice(0, 2)).div_(total_weight_);
  diagonal_.narrow(0, weight_at_, outputs_ * features_).add_(2.0 * loss_.l2_strength);
  return diagonal_;
}

/// A block's rows as numbers of a type [rows, features], and a column of ones if there is a bias.
torch::Tensor LinearObjective::rows_with_one(const Rows& rows, at::ScalarType type) const {
  const auto x = as_matrix(rows, features_, type);
  return has_bias() ? at::cat({x, at::ones({rows.size(), 1}, type)}, 1) : x;
}

/// The numbers, in the order of outputs and then columns, of entries of the point. The column after
/// the features is the bias's.
torch::Tensor LinearObjective::places_of(const torch::Tensor& entries) const {
  const int64_t columns = features_ + (has_bias() ? 1 : 0);
  const auto numbers = at::arange(outputs_ * columns, at::kLong).view({outputs_, columns});
  auto order = at::empty({size_}, at::kLong);
  order.narrow(0, weight_at_, outputs_ * features_)
      .copy_(numbers.narrow(1, 0, features_).flatten());
  if (has_bias()) order.narrow(0, bias_at_, outputs_).copy_(numbers.select(1, features_));
  return order.index_select(0, entries);
}

torch::Tensor LinearObjective::hessian_of(const torch::Tensor& entries) {
  const int64_t columns = features_ + (has_bias() ? 1 : 0);
  const int64_t count = entries.numel();
  const auto [places, order] = places_of(entries).sort();
  std::vector<int64_t> first;             // where the entries of each output begin
  std::vector<torch::Tensor> columns_of;  // and their columns
  for (int64_t k = 0; k <= outputs_; ++k)
    first.push_back(places.lt(k * columns).sum().item<int64_t>());
  const auto part = [&](const torch::Tensor& tensor, int64_t dim, int64_t output) {
    const auto k = static_cast<size_t>(output);
    return tensor.slice(dim, first[k], first[k + 1]);
  };
  for (int64_t k = 0; k < outputs_; ++k) columns_of.push_back(part(places, 0, k) - k * columns);
  const auto chosen = [&](const torch::Tensor& x, int64_t output) {
    const auto& own = columns_of[static_cast<size_t>(output)];
    return own.numel() == columns ? x : x.index_select(1, own);
  };
  const bool is_coupled = loss_.kind == LinearLoss::Kind::softmax;
  auto sums = double_zeros({count, count});
  auto unit = double_zeros({outputs_});
  pass(
      [&](const Block& block) {
        const int64_t rows = block.rows.size();
        const auto x = rows_with_one(block.rows, at::kDouble);
        std::vector<torch::Tensor> x_of;
        for (int64_t k = 0; k < outputs_; ++k) x_of.push_back(chosen(x, k));
        const auto factors = at::empty({rows, outputs_}, at::kDouble);
        for (int64_t k = 0; k < outputs_; ++k) {
          unit.zero_();
          curvature_data(unit)[k] = 1.0;
          factors.copy_(unit);
          curvature_product(loss_.kind,
                            curvature_data(block.kept.curvature) + block.first * outputs_,
                            curvature_data(block.kept.weights) + block.first, rows, outputs_,
                            curvature_data(factors));
          for (int64_t l = is_coupled ? 0 : k; l <= k; ++l) {
            const auto scaled = x_of[static_cast<size_t>(l)] * factors.narrow(1, l, 1);
            part(part(sums, 0, k), 1, l).addmm_(x_of[static_cast<size_t>(k)].t(), scaled);
          }
        }
      },
      1);
  auto flat = sums.flatten();
  rows_.sum(flat);
  auto hessian = flat.view({count, count}).div_(total_weight_);
  for (int64_t k = 0; k < outputs_; ++k) {
    for (int64_t l = k + 1; l < outputs_; ++l) {
      part(part(hessian, 0, k), 1, l).copy_(part(part(hessian, 0, l), 1, k).t());
    }
  }
  // From the order of the outputs and columns to that of `entries`.
  if (!at::equal(order, at::arange(count, at::kLong))) {
    const auto back = order.argsort();
    hessian = hessian.index_select(0, back).index_select(1, back);
  }
  const auto has_penalty =
      entries.ge(weight_at_).logical_and(entries.lt(weight_at_ + outputs_ * features_));
  hessian.diagonal().add_(has_penalty.to(at::kDouble), 2.0 * loss_.l2_strength);
  return hessian;
}

/// By the number of multiplications, of which a matrix product makes about four times as many in a
/// second as a pass in float64, and half as many as one in float32. Rows become dense ones, and the
/// matrix and its factor have to fit the memory.
double LinearObjective::hessian_cost(int64_t count) const {
  constexpr int64_t kMost = 10'000;
  if (features_ > kMostForMatrices || count > kMost) return std::numeric_limits<double>::infinity();
  const double quicker = precise_ ? 4.0 : 0.5;
  const auto entries = static_cast<double>(count);
  const bool is_coupled = loss_.kind == LinearLoss::Kind::softmax;
  const double products =
      is_coupled ? entries * entries : entries * entries / static_cast<double>(outputs_);
  return products / (quicker * 2.0 * static_cast<double>(outputs_ * features_));
}

/// The mean of x x^T over some of the rows, with a one behind each row if there is a bias; float32
/// unless the data ask for more. `precise_` mustn't matter, because a fit that goes on from a
/// checkpoint needs the same matrix.
torch::Tensor LinearObjective::mean_outer_product() {
  const int64_t columns = features_ + (has_bias() ? 1 : 0);
  constexpr double kRowsAColumn = 16.0;
  const double enough = kRowsAColumn * static_cast<double>(columns);
  const auto every = std::max<int64_t>(1, static_cast<int64_t>(own_rows_ / enough));
  auto sums = double_zeros({columns * columns + 1});
  const auto product = sums.narrow(0, 0, columns * columns).view({columns, columns});
  int64_t number = 0;
  pass(
      [&](const Block& block) {
        if (number++ % every != 0) return;
        const auto x = rows_with_one(block.rows, is_exact_ ? at::kDouble : at::kFloat);
        product.add_(x.t().mm(x));
        curvature_data(sums)[columns * columns] += static_cast<double>(block.rows.size());
      },
      1);
  rows_.sum(sums);
  const auto mean = sums.narrow(0, 0, columns * columns) / curvature_data(sums)[columns * columns];
  return mean.view({columns, columns}).to(is_exact_ ? at::kDouble : at::kFloat);
}

/// The mean over some of the rows of the loss's second derivative with respect to the outputs.
torch::Tensor LinearObjective::mean_curvature() {
  constexpr double kEnough = 8192.0;
  const auto every = std::max<int64_t>(1, static_cast<int64_t>(own_rows_ / kEnough));
  auto sums = double_zeros({outputs_ * outputs_ + 1});  // the last one of weights
  const auto matrix = sums.narrow(0, 0, outputs_ * outputs_).view({outputs_, outputs_});
  for (const auto& kept : kept_) {
    const auto weights = kept.weights.slice(0, 0, {}, every);
    add_curvature(loss_.kind, kept.curvature.slice(0, 0, {}, every), weights, matrix);
    sums[-1] += weights.sum();
  }
  rows_.sum(sums);
  const double total = curvature_data(sums)[outputs_ * outputs_];
  return total > 0.0 ? matrix.div(total) : at::eye(outputs_, at::kDouble);
}

torch::Tensor LinearObjective::precondition(const torch::Tensor& vector) {
  if (features_ > kMostForMatrices) return Objective::precondition(vector);
  if (!row_basis_) row_basis_.emplace(mean_outer_product());
  if (!kronecker_) {
    kronecker_.emplace(Eigenbasis(mean_curvature()), *row_basis_, 2.0 * loss_.l2_strength);
  }
  const auto weight =
      vector.narrow(0, weight_at_, outputs_ * features_).view({outputs_, features_});
  const auto matrix = kronecker_->times(
      has_bias() ? at::cat({weight, vector.narrow(0, bias_at_, outputs_).unsqueeze(1)}, 1)
                 : weight);
  auto result = matrix.narrow(1, 0, features_).flatten();
  if (has_bias()) result = joined(at::cat({result, matrix.select(1, features_)}));
  remove_idle(result);
  return result;
}

}  // namespace levin
