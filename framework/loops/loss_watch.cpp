#include <levin/framework/loops/loss_watch.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <levin/framework/core/unsigned_nan.h>

namespace levin {
namespace {

constexpr double kExplodes = 1e3;    // times the first loss
constexpr double kLeastFirst = 0.1;  // so that a loss that begins near 0 may grow

}  // namespace

void LossWatch::look(const torch::Tensor& loss, bool may_wait) {
  if (is_done_ || !loss.defined() || (!may_wait && !loss.is_cpu())) return;
  const bool is_plain = loss.is_cpu() && loss.scalar_type() == at::kFloat;
  const double value = is_plain ? static_cast<double>(*loss.const_data_ptr<float>())  // at once
                                : loss.item().toDouble();
  const bool is_finite = std::isfinite(value);
  if (!first_ && is_finite) first_ = value;
  if (is_finite && value <= kExplodes * std::max(std::abs(*first_), kLeastFirst)) return;
  is_done_ = true;
  const auto& entries = optimizers_.entries();
  const std::string rate =
      entries.empty()
          ? std::string()
          : fmt::format(" (now {:.6g})", entries.front().optimizer->groups()[0].learning_rate);
  run_.warn(fmt::format(
      "the training loss explodes: it is {:.6g} after step {}{}. Lower the learning rate{}, clip "
      "the gradients (gradient_clip_val), or scale the input to values of about 1; "
      "detect_anomaly = true finds the operation that made a NaN",
      unsigned_nan(value), run_.global_step(),
      first_ ? fmt::format(", and was {:.6g} when this fit began", *first_) : std::string(), rate));
}

}  // namespace levin
