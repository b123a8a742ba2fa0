#include <levin/tuning/batched/stacked_losses.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <ATen/Dispatch.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/gt.h>
#include <ATen/ops/sigmoid.h>
#include <c10/core/GradMode.h>

namespace levin {
namespace {

std::vector<double> to_list(const torch::Tensor& numbers) {
  const auto on_host = numbers.to(at::kDouble).contiguous();
  const double* const first = on_host.const_data_ptr<double>();
  return {first, first + on_host.numel()};
}

/// Subtracts from the outputs of each row the largest of them. `outputs`: [models, classes, rows].
template <class Number>
void subtract_largest(Number* outputs, int64_t models, int64_t classes, int64_t rows) {
  std::vector<Number> largest(static_cast<size_t>(rows));
  for (int64_t k = 0; k < models; ++k, outputs += classes * rows) {
    std::copy_n(outputs, rows, largest.begin());
    for (int64_t c = 1; c < classes; ++c) {
      const Number* const own = outputs + c * rows;
      for (size_t row = 0; row < largest.size(); ++row) {
        largest[row] = own[row] > largest[row] ? own[row] : largest[row];
      }
    }
    for (int64_t c = 0; c < classes; ++c) {
      Number* const own = outputs + c * rows;
      for (size_t row = 0; row < largest.size(); ++row) own[row] -= largest[row];
    }
  }
}

/// The mean cross-entropy of one model: `outputs` are its outputs less the largest of their row,
/// and `powers` their exponentials, [classes, rows] each. With `with_gradient`, the powers become
/// the gradient.
template <class Number>
double softmax_loss_of_model(const Number* outputs, Number* powers, const int64_t* labels,
                             int64_t classes, int64_t rows, bool with_gradient,
                             std::vector<Number>& sums) {
  sums.assign(static_cast<size_t>(rows), Number(0));
  for (int64_t c = 0; c < classes; ++c) {
    const Number* const own = powers + c * rows;
    for (size_t row = 0; row < sums.size(); ++row) sums[row] += own[row];
  }
  double loss = 0.0;
  for (size_t row = 0; row < sums.size(); ++row) {
    const auto place = labels[row] * rows + static_cast<int64_t>(row);
    loss += std::log(static_cast<double>(sums[row])) - static_cast<double>(outputs[place]);
  }
  const double mean = 1.0 / static_cast<double>(rows);
  if (!with_gradient) return loss * mean;
  const auto factor = static_cast<Number>(mean);
  for (Number& sum : sums) sum = factor / sum;
  for (int64_t c = 0; c < classes; ++c) {
    Number* const own = powers + c * rows;
    for (size_t row = 0; row < sums.size(); ++row) own[row] *= sums[row];
  }
  for (int64_t row = 0; row < rows; ++row) powers[labels[row] * rows + row] -= factor;
  return loss * mean;
}

std::vector<double> softmax_part(const torch::Tensor& outputs, const torch::Tensor& targets,
                                 torch::Tensor* gradient) {
  const auto less_largest = outputs.clone(at::MemoryFormat::Contiguous);
  const int64_t models = outputs.size(0);
  const int64_t classes = outputs.size(1);
  const int64_t rows = outputs.size(2);
  const auto labels = targets.contiguous();
  std::vector<double> losses;
  AT_DISPATCH_FLOATING_TYPES(outputs.scalar_type(), "stacked_losses", [&] {
    auto* numbers = less_largest.mutable_data_ptr<scalar_t>();
    subtract_largest(numbers, models, classes, rows);
    const auto powers = less_largest.exp();
    auto* own_powers = powers.template mutable_data_ptr<scalar_t>();
    std::vector<scalar_t> sums;
    for (int64_t k = 0; k < models; ++k) {
      losses.push_back(softmax_loss_of_model(numbers, own_powers, labels.const_data_ptr<int64_t>(),
                                             classes, rows, gradient != nullptr, sums));
      numbers += classes * rows;
      own_powers += classes * rows;
    }
    if (gradient != nullptr) *gradient = powers;
  });
  return losses;
}

std::vector<double> logistic_part(const torch::Tensor& outputs, const torch::Tensor& targets,
                                  torch::Tensor* gradient) {
  const auto values = targets.to(outputs.scalar_type()).view({1, 1, -1}).expand_as(outputs);
  const auto losses =
      at::binary_cross_entropy_with_logits(outputs, values, {}, {}, at::Reduction::None);
  if (gradient != nullptr) {
    *gradient = at::sigmoid(outputs).sub_(values).mul_(1.0 / static_cast<double>(outputs.size(2)));
  }
  return to_list(losses.mean({1, 2}));
}

std::vector<double> squared_part(const torch::Tensor& outputs, const torch::Tensor& targets,
                                 torch::Tensor* gradient) {
  const auto errors = outputs - targets.to(outputs.scalar_type()).t();
  const auto losses = errors.square().mean({1, 2});
  if (gradient != nullptr) {
    const auto numbers = static_cast<double>(outputs.size(1) * outputs.size(2));
    *gradient = errors.mul(2.0 / numbers);
  }
  return to_list(losses);
}

/// How many rows of one model, `outputs` [classes, rows], have their largest output at their label;
/// of equal outputs the first counts.
template <class Number>
int64_t count_hits(const Number* outputs, const int64_t* labels, int64_t classes, int64_t rows,
                   std::vector<Number>& largest, std::vector<int64_t>& places) {
  largest.assign(outputs, outputs + rows);
  places.assign(static_cast<size_t>(rows), 0);
  for (int64_t c = 1; c < classes; ++c) {
    const Number* const own = outputs + c * rows;
    for (size_t row = 0; row < largest.size(); ++row) {
      const bool is_larger = own[row] > largest[row];
      largest[row] = is_larger ? own[row] : largest[row];
      places[row] = is_larger ? c : places[row];
    }
  }
  int64_t hits = 0;
  for (size_t row = 0; row < places.size(); ++row) hits += places[row] == labels[row] ? 1 : 0;
  return hits;
}

}  // namespace

std::vector<double> stacked_losses(StackedLoss loss, const torch::Tensor& outputs,
                                   const torch::Tensor& targets, torch::Tensor* gradient) {
  const at::NoGradGuard no_grad;
  if (loss == StackedLoss::softmax) return softmax_part(outputs, targets, gradient);
  if (loss == StackedLoss::logistic) return logistic_part(outputs, targets, gradient);
  return squared_part(outputs, targets, gradient);
}

std::vector<double> stacked_accuracies(StackedLoss loss, const torch::Tensor& outputs,
                                       const torch::Tensor& targets) {
  const at::NoGradGuard no_grad;
  const auto labels = targets.contiguous();
  const auto rows = static_cast<double>(labels.numel());
  std::vector<double> shares;
  if (loss == StackedLoss::logistic) {
    const auto classes = outputs.squeeze(1).gt(0).to(at::kLong);
    return to_list(classes.eq(labels).to(at::kDouble).mean({1}));
  }
  const auto plain = outputs.contiguous();
  AT_DISPATCH_FLOATING_TYPES(plain.scalar_type(), "stacked_accuracies", [&] {
    std::vector<scalar_t> largest;
    std::vector<int64_t> places;
    const auto* own = plain.const_data_ptr<scalar_t>();
    for (int64_t k = 0; k < plain.size(0); ++k, own += plain.size(1) * plain.size(2)) {
      shares.push_back(
          static_cast<double>(count_hits(own, labels.const_data_ptr<int64_t>(), plain.size(1),
                                         plain.size(2), largest, places)) /
          rows);
    }
  });
  return shares;
}

}  // namespace levin
