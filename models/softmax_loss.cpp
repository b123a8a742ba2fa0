#include <levin/models/softmax_loss.h>

#include <algorithm>
#include <utility>

#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>

#include <levin/framework/kernels/cpu/kernels.h>
#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/precision/precision.h>
#include <levin/framework/tensor/device_graph.h>
#include <levin/framework/tensor/twice_differentiable.h>
#include <levin/framework/threads/shared_work.h>
#include <levin/models/linear_products.h>

namespace levin {
namespace {

// A pass is cut into parts for several threads. Smaller ones, in floating-point operations, take
// longer to hand over than to compute, and each part has gradients of its own.
constexpr int64_t kLeastPart = 8'000'000;
constexpr int64_t kMostParts = 8;

std::vector<torch::Tensor> parameters_of(const torch::Tensor& weight, const torch::Tensor& bias) {
  std::vector<torch::Tensor> parameters{weight};
  if (bias.defined()) parameters.push_back(bias);
  return parameters;
}

}  // namespace

bool SoftmaxLoss::can_learn(const torch::Tensor& weight, const torch::Tensor& bias) {
  if (!ReadyGradients::can_take(weight)) return false;
  if (bias.defined() && !ReadyGradients::can_take(bias)) return false;
  if (weight.is_cpu()) return reads_in_place(weight);
  return kernels::cuda::are_built() && weight.size(0) <= kernels::cuda::kMostClasses;
}

std::optional<kernels::RowView> SoftmaxLoss::view(const Rows& rows, const torch::Tensor& weight,
                                                  const torch::Tensor& bias) {
  if (!at::GradMode::is_enabled() || TwiceDifferentiable::is_wanted()) return std::nullopt;
  if (is_autocast(weight.device()) || !can_learn(weight, bias)) return std::nullopt;
  if (weight.is_cpu()) return view_for(weight, rows);
  const auto view = rows.device_view();
  const bool fits = view && view->count > 0 && view->row_size == weight.size(1) &&
                    rows.source().device() == weight.device();
  return fits ? view : std::nullopt;
}

torch::Tensor SoftmaxLoss::on_device(const kernels::RowView& rows, const torch::Tensor& labels,
                                     const torch::Tensor& weight, const torch::Tensor& bias) {
  const auto& gradients = ready_.begin(parameters_of(weight, bias));
  const c10::DeviceGuard on_device(weight.device());
  const auto options = weight.options().requires_grad(false);
  const auto contiguous_labels = labels.contiguous();
  auto loss = at::empty({}, options);
  kernels::cuda::SoftmaxRegression pass;
  pass.rows = rows;
  pass.labels = contiguous_labels.const_data_ptr<int64_t>();
  pass.weight = weight.const_data_ptr<float>();
  pass.bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr;
  pass.classes = weight.size(0);
  pass.weight_gradient = gradients[0].mutable_data_ptr<float>();
  pass.bias_gradient = bias.defined() ? gradients[1].mutable_data_ptr<float>() : nullptr;
  pass.loss = loss.mutable_data_ptr<float>();
  const auto scratch = at::empty({kernels::cuda::scratch_size(pass)}, options);
  pass.scratch = scratch.mutable_data_ptr<float>();
  kernels::cuda::softmax_regression(pass, current_stream(weight.device()));
  return ready_.make_loss(std::move(loss));
}

torch::Tensor SoftmaxLoss::operator()(const kernels::RowView& rows, const torch::Tensor& labels,
                                      const torch::Tensor& weight, const torch::Tensor& bias) {
  if (!weight.is_cpu()) return on_device(rows, labels, weight, bias);
  const auto& gradients = ready_.begin(parameters_of(weight, bias));
  const int64_t count = rows.count;
  const auto contiguous_labels = labels.contiguous();
  kernels::SoftmaxRegression pass;
  pass.rows = rows;
  pass.labels = contiguous_labels.const_data_ptr<int64_t>();
  pass.weight = weight.const_data_ptr<float>();
  pass.bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr;
  pass.classes = weight.size(0);
  pass.multiplier = static_cast<float>(1.0 / static_cast<double>(count));

  const int64_t room = kernels::scratch_size(pass.classes, rows.row_size);
  const int64_t flops = 4 * count * weight.numel();
  const int64_t parts = std::clamp<int64_t>(flops / kLeastPart, 1, std::min(kMostParts, count));
  const int64_t parameters = weight.numel() + pass.classes;
  float* const scratch = at_least(scratch_, parts * room + (parts - 1) * parameters);
  float* const sums = scratch + parts * room;  // the gradients of all parts but the first
  float* weight_gradient = gradients[0].mutable_data_ptr<float>();
  float* bias_gradient = bias.defined() ? gradients[1].mutable_data_ptr<float>() : nullptr;
  std::vector<double> losses(static_cast<size_t>(parts));
  const auto run_part = [&](int64_t part) {
    auto own = pass;
    const int64_t begin = count * part / parts;
    own.rows = rows.narrow(begin, count * (part + 1) / parts - begin);
    own.labels += begin;
    own.scratch = scratch + part * room;
    float* sum = part == 0 ? nullptr : sums + (part - 1) * parameters;
    own.weight_gradient = part == 0 ? weight_gradient : sum;
    own.bias_gradient = !bias.defined() ? nullptr
                        : part == 0     ? bias_gradient
                                        : sum + weight.numel();
    std::fill_n(own.weight_gradient, weight.numel(), 0.0F);
    if (bias.defined()) std::fill_n(own.bias_gradient, own.classes, 0.0F);
    losses[static_cast<size_t>(part)] = kernels::best().softmax_regression(own);
  };
  share_out(parts, run_part);
  // The parts are added in their order, whichever thread was first, so the bits are reproducible.
  double total = losses[0];
  for (int64_t part = 1; part < parts; ++part) {
    const float* sum = sums + (part - 1) * parameters;
    kernels::best().add(sum, weight.numel(), weight_gradient);
    if (bias.defined()) kernels::best().add(sum + weight.numel(), pass.classes, bias_gradient);
    total += losses[static_cast<size_t>(part)];
  }
  return ready_.make_loss(total / static_cast<double>(count));
}

}  // namespace levin
