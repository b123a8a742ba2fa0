#include <levin/framework/solvers/fold_moments.h>

#include <algorithm>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/row_products.h>

namespace levin {

void shuffle_folds(std::vector<int64_t>& folds, std::mt19937_64& generator) {
  for (size_t i = folds.size(); i > 1; --i) std::swap(folds[i - 1], folds[generator() % i]);
}

torch::Tensor row_folds(int64_t count, int64_t folds, std::optional<int64_t> seed) {
  if (folds > count) {
    throw ConfigError::conflict(fmt::format("{} folds of {} training rows", folds, count),
                                "each fold needs a row; use fewer folds");
  }
  std::vector<int64_t> fold_of;
  for (int64_t f = 0; f < folds; ++f) {
    const int64_t own = count / folds + (f < count % folds ? 1 : 0);
    fold_of.insert(fold_of.end(), static_cast<size_t>(own), f);
  }
  if (seed) {
    std::mt19937_64 generator(static_cast<uint64_t>(*seed));
    shuffle_folds(fold_of, generator);
  }
  return at::tensor(fold_of, at::kLong);
}

void for_regression_rows(RowSource& rows, int64_t features,
                         c10::function_ref<void(const RegressionRows& block)> use) {
  const int64_t step = std::clamp<int64_t>((1 << 20) / (features + 2), 16, 4096);
  int64_t first = 0;
  rows.pass([&](const Batch& batch) {
    const auto targets = batch.target();
    if (targets.numel() != batch.rows()) {
      throw DataError::bad_value(
          "the number of targets of a row",
          fmt::format("{}", targets.numel() / std::max<int64_t>(batch.rows(), 1)), "target",
          "the strengths are chosen for one target; train a model for each");
    }
    const auto y = targets.to(at::kCPU, at::kDouble).flatten();
    const auto weights = batch.has("weight") ? batch.weight().to(at::kCPU, at::kDouble).flatten()
                                             : at::ones({batch.rows()}, at::kDouble);
    for (int64_t at = 0; at < batch.rows(); at += step) {
      const int64_t count = std::min(step, batch.rows() - at);
      use({as_matrix(batch.input_rows().narrow(at, count), features, at::kDouble),
           y.narrow(0, at, count), weights.narrow(0, at, count), first + at});
    }
    first += batch.rows();
  });
}

FoldMoments::FoldMoments(RowSource& rows, int64_t features, bool has_bias, int64_t folds,
                         std::optional<int64_t> seed)
    : features_(features), has_bias_(has_bias) {
  int64_t count = 0;
  auto sums = at::zeros({features + 3}, at::kDouble);  // of x, y, weights, and rows
  for_regression_rows(rows, features, [&](const RegressionRows& block) {
    count += block.y.numel();
    sums.narrow(0, 0, features).add_(block.weights.matmul(block.x));
    sums[features] += block.weights.dot(block.y);
    sums[features + 1] += block.weights.sum();
    sums[features + 2] += static_cast<double>(block.y.numel());
  });
  rows.sum(sums);
  const double total = sums[features + 1].item<double>();
  const auto means = sums.narrow(0, 0, features + 1) / total;
  shift_ = has_bias && total > 0.0 ? means : at::zeros_like(means);
  const auto fold_of = row_folds(sums[features + 2].to(at::kLong).item<int64_t>(), folds, seed)
                           .index_select(0, rows.row_numbers(count));
  const int64_t width = features + 2;
  sums_ = at::zeros({folds, width, width}, at::kDouble);
  for_regression_rows(rows, features, [&](const RegressionRows& block) {
    const auto all = at::cat(
        {block.x - shift_.narrow(0, 0, features), at::ones({block.y.numel(), 1}, at::kDouble),
         (block.y - shift_[features]).unsqueeze(1)},
        1);
    const auto fold = fold_of.narrow(0, block.first, block.y.numel());
    for (int64_t f = fold.min().item<int64_t>(); f <= fold.max().item<int64_t>(); ++f) {
      const auto own = fold.eq(f).nonzero().squeeze(1);
      if (own.numel() == 0) continue;
      const auto z = all.index_select(0, own);
      sums_[f].addmm_(z.t(), z * block.weights.index_select(0, own).unsqueeze(1));
    }
  });
  rows.sum(sums_);
}

Moments FoldMoments::outside(int64_t fold) const {
  auto sums = sums_.sum(0);
  if (fold >= 0) sums.sub_(sums_[fold]);
  const int64_t d = features_;
  Moments moments;
  moments.weight = sums[d][d].item<double>();
  if (!(moments.weight > 0.0)) {
    throw DataError(
        "the training rows outside of a fold have no weight above 0; give more rows a weight, or "
        "use fewer folds");
  }
  sums.div_(moments.weight);
  const auto mean = sums[d].narrow(0, 0, d);
  const double target = sums[d][d + 1].item<double>();
  moments.products = sums.narrow(0, 0, d).narrow(1, 0, d).contiguous();
  moments.with_target = sums.narrow(0, 0, d).select(1, d + 1).contiguous();
  moments.mean = at::zeros({d}, at::kDouble);
  if (!has_bias_) return moments;
  moments.products.sub_(at::outer(mean, mean));
  moments.with_target.sub_(mean * target);
  moments.mean = mean + shift_.narrow(0, 0, d);
  moments.target_mean = target + shift_[d].item<double>();
  return moments;
}

double FoldMoments::error(int64_t fold, const torch::Tensor& weight, double bias) const {
  const int64_t d = features_;
  const double total = sums_[fold][d][d].item<double>();
  if (!(total > 0.0)) {
    throw DataError(fmt::format(
        "the rows of fold {} have no weight above 0, so that it can't be scored; use fewer folds, "
        "or deal them out at random (fold_seed)",
        fold));
  }
  const auto x_shift = shift_.narrow(0, 0, d);
  const double offset = bias + weight.dot(x_shift).item<double>() - shift_[d].item<double>();
  const auto v = at::cat({weight.neg(), at::tensor({-offset, 1.0}, at::kDouble)});
  return v.dot(sums_[fold].mv(v)).item<double>() / total;
}

}  // namespace levin
