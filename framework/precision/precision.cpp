#include <levin/framework/precision/precision.h>

#include <variant>
#include <vector>

#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/nn/module.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

struct Format {
  const char* name;
  const char* short_name;  // Lightning's; empty if there is none
  at::ScalarType compute_type;
  bool is_mixed;
};

constexpr Format kFormats[] = {
    {"32-true", "32", at::kFloat, false},        {"64-true", "64", at::kDouble, false},
    {"bf16-true", "", at::kBFloat16, false},     {"16-true", "", at::kHalf, false},
    {"bf16-mixed", "bf16", at::kBFloat16, true}, {"16-mixed", "16", at::kHalf, true},
};

const Format& find_format(const CountOrName& value) {
  const auto* const count = std::get_if<int64_t>(&value.value);
  const auto name = count != nullptr ? std::to_string(*count) : std::get<std::string>(value.value);
  for (const auto& format : kFormats) {
    if (name == format.name || (!name.empty() && name == format.short_name)) return format;
  }
  std::vector<std::string> names;
  for (const auto& format : kFormats) names.emplace_back(format.name);
  throw ConfigError::unknown_name("precision", name, names);
}

}  // namespace

AutocastScope::AutocastScope(at::ScalarType type, at::DeviceType device)
    : is_active_(true),
      device_(device),
      was_enabled_(at::autocast::is_autocast_enabled(device)),
      type_before_(at::autocast::get_autocast_dtype(device)) {
  // LibTorch would take the copies of weights of another type for those of this one.
  if (was_enabled_ && type_before_ != type) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device, true);
  at::autocast::set_autocast_dtype(device, type);
  at::autocast::increment_nesting();
}

void AutocastScope::end() noexcept {
  at::autocast::decrement_nesting();
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, was_enabled_);
  at::autocast::set_autocast_dtype(device_, type_before_);
}

AutocastPause::AutocastPause(at::DeviceType device)
    : device_(device), was_enabled_(at::autocast::is_autocast_enabled(device)) {
  if (!was_enabled_) return;
  at::autocast::clear_cache();  // it has copies of weights, which may change now
  at::autocast::set_autocast_enabled(device_, false);
}

AutocastPause::~AutocastPause() {
  if (was_enabled_) at::autocast::set_autocast_enabled(device_, true);
}

bool is_autocast(const at::Device& device) {
  return at::autocast::is_autocast_enabled(device.type());
}

Precision::Precision(const CountOrName& name) {
  const Format& format = find_format(name);
  name_ = format.name;
  compute_type_ = format.compute_type;
  is_mixed_ = format.is_mixed;
  converts_batches_ = is_mixed_ || compute_type_ != at::kFloat;
}

void Precision::convert(torch::nn::Module& module) const {
  if (!module_type()) return;
  const at::NoGradGuard no_grad;
  const auto take = [this](torch::Tensor tensor) {
    if (!tensor.defined() || !tensor.is_floating_point()) return;
    if (tensor.scalar_type() == compute_type_) return;
    tensor.mutable_grad().reset();
    tensor.set_data(tensor.detach().to(compute_type_));
  };
  for (const auto& parameter : module.parameters()) take(parameter);
  for (const auto& buffer : module.buffers()) take(buffer);
}

bool Precision::convert_entries(Batch& batch) const {
  const at::ScalarType type = is_mixed_ ? at::kFloat : compute_type_;
  bool has_converted = false;
  for (auto& [name, rows] : batch.entries()) {
    if (!rows.is_defined()) continue;
    if (rows.is_sparse()) {
      if (is_mixed_ || !has_halves()) continue;
      throw ConfigError::conflict(
          fmt::format("precision = {} with the sparse rows '{}' of a batch", name_, name),
          "sparse rows are multiplied in float32 or float64: set precision to 32-true, 64-true, "
          "16-mixed or bf16-mixed");
    }
    if (!at::isFloatingType(rows.dtype()) || rows.dtype() == type) continue;
    rows = Rows(rows.tensor().to(type));
    has_converted = true;
  }
  return has_converted;
}

}  // namespace levin
