#include <levin/framework/metrics/metric.h>

#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/StringUtil.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

Metric::~Metric() {
  if (place_ != nullptr) *place_ = nullptr;
}

Metric::Metric(Metric&& other) noexcept
    : parts_(std::move(other.parts_)),
      others_(std::move(other.others_)),
      place_(std::move(other.place_)),
      logged_by_(other.logged_by_),
      keeps_batches_(other.keeps_batches_) {
  if (place_ != nullptr) *place_ = this;
}

std::shared_ptr<Metric*> Metric::place() {
  if (place_ == nullptr) place_ = std::make_shared<Metric*>(this);
  return place_;
}

void Metric::update(const torch::Tensor& predictions, const torch::Tensor& targets,
                    const torch::Tensor& weights) {
  const at::NoGradGuard no_grad;
  if (predictions.dim() == 0 || targets.dim() == 0 || predictions.size(0) != targets.size(0)) {
    throw DataError::bad_value(
        "the shape", c10::str(predictions.sizes()), fmt::format("{}, predictions", name()),
        fmt::format("the targets are {}; give one row of predictions for each target",
                    c10::str(targets.sizes())));
  }
  if (targets.size(0) == 0) return;
  const auto row_weights = row_weights_of(weights, targets.size(0), name());
  add_batch([&] { add(predictions.detach(), targets.detach(), row_weights); });
}

double Metric::value() const {
  const auto values = compute();
  if (values.size() > 1) {
    throw ModuleError::contract(fmt::format("{}: value()", name()),
                                fmt::format("the metric is {} numbers", values.size()),
                                "call compute(), which returns all of them");
  }
  const bool is_missing = values.empty() || !values.front().missing.empty();
  return is_missing ? std::numeric_limits<double>::quiet_NaN() : values.front().value;
}

void Metric::reset() {
  const at::NoGradGuard no_grad;
  for (auto& part : parts_) {
    if (part.sum.defined()) part.sum.zero_();
    part.rows.clear();
  }
  others_.clear();
}

std::vector<Metric::Part> Metric::empty_parts() const {
  std::vector<Part> empty;
  for (const auto& part : parts_) empty.push_back({part.name, part.is_rows, {}, {}});
  return empty;
}

void Metric::begin_batch() {
  if (keeps_batches_) others_ = std::exchange(parts_, empty_parts());
}

void Metric::end_batch() {
  if (!keeps_batches_) return;
  std::swap(parts_, others_);
  for (size_t i = 0; i < parts_.size(); ++i) {
    auto& part = parts_[i];
    const auto& added = others_[i];
    if (added.sum.defined()) {
      sum(i, added.sum.sizes(), added.sum.scalar_type(), added.sum.device()).add_(added.sum);
    }
    part.rows.insert(part.rows.end(), added.rows.begin(), added.rows.end());
  }
}

std::vector<MetricValue> Metric::compute_batch() {
  if (others_.empty()) return {};
  std::swap(parts_, others_);
  auto values = compute();
  std::swap(parts_, others_);
  return values;
}

StateDict Metric::state_dict() const {
  StateDict state;
  for (const auto& part : parts_) {
    if (part.sum.defined()) state.tensors[part.name] = part.sum;
    if (!part.rows.empty()) state.tensors[part.name] = at::cat(part.rows);
  }
  return state;
}

void Metric::load_state_dict(const StateDict& state) {
  reset();
  merge(state);
}

void Metric::merge(const StateDict& state) {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < parts_.size(); ++i) {
    auto& part = parts_[i];
    const auto found = state.tensors.find(part.name);
    if (found == state.tensors.end()) continue;
    const torch::Tensor& added = found->second;
    if (part.is_rows) {
      part.rows.push_back(part.rows.empty() ? added : added.to(part.rows.front().device()));
      continue;
    }
    const auto device = part.sum.defined() ? part.sum.device() : added.device();
    sum(i, added.sizes(), added.scalar_type(), device).add_(added.to(device));
  }
}

std::vector<MetricValue> Metric::compute_of(const std::vector<StateDict>& states) {
  auto own = std::exchange(parts_, empty_parts());
  try {
    for (const auto& state : states) merge(state);
    auto values = compute();
    parts_ = std::move(own);
    return values;
  } catch (...) {
    parts_ = std::move(own);
    throw;
  }
}

bool Metric::is_capturable() const {
  for (const auto& part : parts_) {
    if (part.is_rows) return false;
  }
  return true;
}

const torch::Tensor& Metric::sum(size_t part, at::IntArrayRef sizes, at::ScalarType type,
                                 at::Device device) {
  torch::Tensor& sum = parts_[part].sum;
  // A test is in inference mode, whose tensors can't be changed outside of it, as `reset` does.
  std::optional<c10::InferenceMode> normal_mode;
  if (c10::InferenceMode::is_enabled()) normal_mode.emplace(false);
  if (!sum.defined()) {
    sum = at::zeros(sizes, at::TensorOptions(type).device(device));
  } else if (sum.sizes() != sizes) {
    throw DataError::bad_value(
        "the shape of the state", c10::str(sizes), name(),
        fmt::format("for the rows so far it is {}; give all rows as many classes or outputs, or "
                    "reset() the metric before rows that have others",
                    c10::str(sum.sizes())));
  } else if (sum.device() != device) {
    sum = sum.to(device);
  }
  return sum;
}

torch::Tensor Metric::sum(size_t part) const {
  const auto& sum = parts_[part].sum;
  return sum.defined() ? sum.cpu() : sum;
}

torch::Tensor Metric::rows(size_t part) const {
  const auto& rows = parts_[part].rows;
  return rows.empty() ? torch::Tensor() : at::cat(rows).cpu();
}

torch::Tensor row_weights_of(const torch::Tensor& weights, int64_t rows, const std::string& who) {
  if (!weights.defined()) return {};
  const bool is_column = weights.dim() == 2 && weights.size(1) == 1;
  if ((weights.dim() != 1 && !is_column) || weights.size(0) != rows) {
    throw DataError::bad_value("the shape", c10::str(weights.sizes()),
                               fmt::format("{}, weights", who),
                               fmt::format("weights must be [{}], one for each row", rows));
  }
  return weights.detach().reshape({-1}).to(at::kDouble);
}

}  // namespace levin
