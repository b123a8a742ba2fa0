#include <levin/framework/precision/gradient_scaler.h>

#include <map>

#include <ATen/TensorOperators.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_amp_update_scale.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

GradientScaler::GradientScaler(at::Device device, GradientScalerOptions options)
    : options_(options) {
  const auto numbers = at::TensorOptions().dtype(at::kFloat).device(device);
  scale_ = at::full({}, options_.init_scale, numbers);
  growth_tracker_ = at::zeros({}, numbers.dtype(at::kInt));
  found_inf_ = at::zeros({1}, numbers);
  counted_ = at::zeros({}, numbers.dtype(at::kLong));
}

torch::Tensor GradientScaler::scale(const torch::Tensor& loss) const {
  const bool is_half = c10::elementSize(loss.scalar_type()) < sizeof(float);
  return (is_half ? loss.to(at::kFloat) : loss) * scale_;
}

void GradientScaler::unscale(const std::vector<torch::Tensor>& parameters) {
  const at::NoGradGuard no_grad;
  found_inf_.zero_();
  // The kernel takes tensors of one type.
  std::map<at::ScalarType, std::vector<torch::Tensor>> gradients;
  for (const auto& parameter : parameters) {
    const auto& gradient = parameter.grad();
    if (!gradient.defined()) continue;
    gradients[gradient.scalar_type()].push_back(gradient.is_sparse() ? gradient._values()
                                                                     : gradient);
  }
  const auto inverse = scale_.to(at::kDouble).reciprocal().to(at::kFloat);
  for (const auto& [type, list] : gradients) {
    at::_amp_foreach_non_finite_check_and_unscale_(list, found_inf_, inverse);
  }
}

bool GradientScaler::skips() {
  const bool is_skipped = found_inf_.item<float>() != 0.0F;
  count(is_skipped ? 1 : 0, 1);
  return is_skipped;
}

void GradientScaler::update() {
  const at::NoGradGuard no_grad;
  at::_amp_update_scale_(scale_, growth_tracker_, found_inf_, options_.growth_factor,
                         options_.backoff_factor, options_.growth_interval);
}

void GradientScaler::count_skip() {
  const at::NoGradGuard no_grad;
  counted_.add_(found_inf_.ne(0).squeeze(0));
}

int64_t GradientScaler::take_counted(int64_t steps) {
  const auto skipped = counted_.item<int64_t>();
  if (skipped > 0) counted_.zero_();
  count(skipped, steps);
  return skipped;
}

void GradientScaler::count(int64_t skipped, int64_t steps) {
  skipped_steps_ += skipped;
  skips_in_a_row_ = skipped == steps ? skips_in_a_row_ + skipped : 0;
  if (skips_in_a_row_ < kMostSkipsInARow) return;
  throw ModuleError::contract(
      "backward",
      fmt::format("gave gradients that aren't finite in {} steps in a row, although the loss was "
                  "scaled down to {:.3g} of its value",
                  skips_in_a_row_, current_scale()),
      "they are NaN or infinite whatever the scale is: look for the operation with "
      "detect_anomaly = true, lower the learning rate, or use precision = bf16-mixed, which has "
      "the range of float32");
}

double GradientScaler::current_scale() const { return scale_.item<double>(); }

StateDict GradientScaler::state_dict() const {
  StateDict state;
  state.tensors["scale"] = scale_.to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
  state.values["growth_tracker"] = growth_tracker_.item<int64_t>();
  state.values["skipped_steps"] = skipped_steps_;
  state.values["skips_in_a_row"] = skips_in_a_row_;
  return state;
}

void GradientScaler::load_state_dict(const StateDict& state) {
  const auto saved = state.tensors.find("scale");
  const bool fits = saved != state.tensors.end() && saved->second.numel() == 1 &&
                    state.values.contains("growth_tracker") &&
                    state.values.contains("skipped_steps") &&
                    state.values.contains("skips_in_a_row");
  if (!fits) {
    throw CheckpointError::mismatch("the state of the gradients' scale",
                                    {"it lacks the scale or one of the counts"});
  }
  const at::NoGradGuard no_grad;
  scale_.copy_(saved->second.reshape({}));
  growth_tracker_.fill_(state.values.at("growth_tracker").as_int());
  counted_.zero_();
  skipped_steps_ = state.values.at("skipped_steps").as_int();
  skips_in_a_row_ = state.values.at("skips_in_a_row").as_int();
}

}  // namespace levin
