#include <levin/models/r2_score.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

namespace levin {

void R2Score::add(const torch::Tensor& prediction, const torch::Tensor& target) {
  const at::NoGradGuard no_grad;
  const int64_t rows = target.size(0);
  if (rows == 0) return;
  const auto y = target.to(at::kDouble);
  const auto mean = y.mean(0);
  const auto deviations = (y - mean).square().sum(0);
  const auto errors = (y - prediction.to(at::kDouble)).square().sum(0);
  if (count_ == 0) {
    mean_ = mean;
    deviations_ = deviations;
    errors_ = errors;
    count_ = rows;
    return;
  }
  const auto before = static_cast<double>(count_);
  const auto added = static_cast<double>(rows);
  const auto apart = mean - mean_;
  mean_ = mean_ + apart * (added / (before + added));
  deviations_ = deviations_ + deviations + apart.square() * (before * added / (before + added));
  errors_ = errors_ + errors;
  count_ += rows;
}

double R2Score::value(Run& run, int64_t outputs) const {
  const at::NoGradGuard no_grad;
  const auto options = at::TensorOptions(at::kDouble);
  const bool has_rows = count_ > 0;
  const auto own = [&](const torch::Tensor& sum) {
    return has_rows ? sum.cpu() : at::zeros({outputs}, options);
  };
  const auto rows = at::full({1}, static_cast<double>(count_), options);
  const auto own_mean = own(mean_);
  const auto totals = run.reduce(at::cat({rows, own_mean * rows}));
  const auto mean = totals.narrow(0, 1, outputs) / totals[0];
  const auto own_deviations = own(deviations_) + (own_mean - mean).square() * rows;
  const auto sums = run.reduce(at::cat({own_deviations, own(errors_)}));
  const auto deviations = sums.narrow(0, 0, outputs);
  const auto errors = sums.narrow(0, outputs, outputs);
  const auto constant = errors.eq(0).to(at::kDouble);
  return at::where(deviations.gt(0), 1.0 - errors / deviations, constant).mean().item<double>();
}

}  // namespace levin
