// The part of ManyObjective that steps of Newton's method need.
#include <algorithm>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/solvers/many_objective.h>
#include <levin/framework/solvers/quadratic_descent.h>

namespace levin {
namespace {

/// Writes the products of the columns of x, [rows, columns], with those that don't come before
/// them: column after column of the lower triangle of x x^T.
torch::Tensor column_products(const torch::Tensor& x) {
  const int64_t columns = x.size(1);
  auto products = at::empty({x.size(0), columns * (columns + 1) / 2}, at::kDouble);
  int64_t at = 0;
  for (int64_t j = 0; j < columns; ++j) {
    auto to = products.narrow(1, at, columns - j);
    at::mul_out(to, x.narrow(1, j, columns - j), x.narrow(1, j, 1));
    at += columns - j;
  }
  return products;
}

/// The places of the numbers above in a matrix [columns, columns].
torch::Tensor triangle_places(int64_t columns) {
  std::vector<int64_t> places;
  for (int64_t j = 0; j < columns; ++j) {
    for (int64_t i = j; i < columns; ++i) places.push_back(i * columns + j);
  }
  return at::tensor(places, at::kLong);
}

}  // namespace

torch::Tensor ManyObjective::penalties(const Problems& some) const {
  if (!l1_.defined()) return at::zeros({some.numbers.numel()}, at::kDouble);
  return (l1_.index_select(0, some.numbers) * some.points.abs()).sum(1);
}

torch::Tensor ManyObjective::least_subgradients(const Problems& some,
                                                const torch::Tensor& gradients) const {
  if (!l1_.defined()) return gradients;
  return least_subgradient(some.points, gradients, l1_.index_select(0, some.numbers));
}

/// The Hessians, [problems, columns, columns], of which only the lower triangles are set.
torch::Tensor ManyObjective::hessians_of(const Problems& some) {
  const int64_t count = some.numbers.numel();
  const int64_t entries = columns() * (columns() + 1) / 2;
  // For few problems or many columns, the products of columns don't pay.
  constexpr int64_t kFewProblems = 8;
  constexpr int64_t kManyColumns = 300;
  const bool pays = columns() < kManyColumns;
  auto sums = at::zeros({count, entries}, at::kDouble);
  const auto places = triangle_places(columns());
  pass(some.numbers, pays ? entries : columns(), [&](const Block& block) {
    const auto points = some.points.narrow(0, block.first, block.count);
    const auto h = curvatures_of(block, block.x.mm(points.t()));
    const auto sum = sums.narrow(0, block.first, block.count);
    if (pays && block.count >= kFewProblems) {
      sum.addmm_(h.t(), column_products(block.x));
      return;
    }
    for (int64_t k = 0; k < block.count; ++k) {
      const auto product = (block.x * h.narrow(1, k, 1)).t().mm(block.x);
      sum[k].add_(product.view({-1}).index_select(0, places));
    }
  });
  rows_.sum(sums);
  sums.div_(totals_.index_select(0, some.numbers).unsqueeze(1));
  auto hessians = at::zeros({count, columns() * columns()}, at::kDouble);
  hessians.index_copy_(1, places, sums);
  hessians = hessians.view({count, columns(), columns()});
  const auto l2 = strengths_.index_select(0, some.numbers);
  hessians.diagonal(0, 1, 2).narrow(1, 0, features_).add_((2.0 * l2).unsqueeze(1));
  if (bias_at_ < 0) hessians.select(1, features_).select(1, features_).fill_(1.0);
  return hessians;
}

/// Writes to `steps` those to the minima of the quadratic models, with the L1 penalties, nearly.
void ManyObjective::model_steps(const Problems& some, const torch::Tensor& gradients,
                                const torch::Tensor& hessians, const torch::Tensor& steps) const {
  const auto violations = least_subgradients(some, gradients).abs().amax(1);
  for (int64_t k = 0; k < some.numbers.numel(); ++k) {
    const auto lower = hessians[k].tril();
    const auto matrix = (lower + lower.tril(-1).t()).contiguous();
    const auto l1 = l1_[some.numbers[k].item<int64_t>()].contiguous();
    auto point = some.points[k].clone();
    auto slope = gradients[k].clone();
    const double violation = violations[k].item<double>();
    // Far from the minimum, an exact step of the model is of little use; near it, it is.
    minimise_quadratic(matrix, l1, point, slope, 1e-3 * violation * std::min(1.0, violation));
    steps[k].copy_(point - some.points[k]);
  }
}

torch::Tensor ManyObjective::newton_directions(const Problems& some,
                                               const torch::Tensor& gradients) {
  constexpr int64_t kNumbers = 1 << 23;
  const int64_t step = std::max<int64_t>(1, kNumbers / (columns() * columns()));
  auto directions = at::empty_like(gradients);
  for (int64_t first = 0; first < some.numbers.numel(); first += step) {
    const int64_t count = std::min(step, some.numbers.numel() - first);
    auto hessians = hessians_of(
        {some.numbers.narrow(0, first, count).contiguous(), some.points.narrow(0, first, count)});
    if (l1_.defined()) {
      model_steps({some.numbers.narrow(0, first, count), some.points.narrow(0, first, count)},
                  gradients.narrow(0, first, count), hessians, directions.narrow(0, first, count));
      continue;
    }
    const auto right = gradients.narrow(0, first, count).neg().unsqueeze(2);
    const auto diagonal = hessians.diagonal(0, 1, 2);
    const auto scale = diagonal + 1e-6 * diagonal.mean(1, /*keepdim=*/true);
    double shifted = 0.0;
    for (const double shift : {1e-9, 1e-8, 1e-7, 1e-5, 1e-3, 1.0}) {
      diagonal.add_(scale, shift - shifted);  // one that needs more gives it to its neighbours
      shifted = shift;
      const auto [factors, info] = at::linalg_cholesky_ex(hessians);
      if (info.ne(0).any().item<bool>() && shift < 1.0) continue;
      directions.narrow(0, first, count).copy_(at::cholesky_solve(right, factors).squeeze(2));
      break;
    }
  }
  return directions;
}

}  // namespace levin
