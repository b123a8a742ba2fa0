#include <levin/framework/compression/gradient_memory.h>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/error.h>

namespace levin {

constexpr std::string_view kMemoryPrefix = "memory.";

torch::Tensor tensor_for(const GradientLayout& layout, size_t number, const StateDict& state,
                         std::string_view prefix, at::IntArrayRef sizes) {
  const auto found = state.tensors.find(std::string(prefix) + layout.names[number]);
  if (found == state.tensors.end()) return {};
  if (found->second.sizes() != sizes) {
    throw CheckpointError::mismatch(
        "the state of gradient_compression",
        {fmt::format("{} is [{}] there, and [{}] here", found->first,
                     fmt::join(found->second.sizes(), ", "), fmt::join(sizes, ", "))});
  }
  return found->second.to(layout.device, layout.type);
}

torch::Tensor GradientMemory::add_to(const torch::Tensor& own) const {
  return rest_.defined() ? own + rest_ : own;
}

void GradientMemory::keep(torch::Tensor rest) {
  if (enabled_) rest_ = std::move(rest);
}

StateDict GradientMemory::state_dict() const {
  StateDict state;
  if (!rest_.defined()) return state;
  layout_.for_each(rest_, [&](size_t number, const torch::Tensor& part) {
    state.tensors[std::string(kMemoryPrefix) + layout_.names[number]] = part;
  });
  return state;
}

void GradientMemory::load_state_dict(const StateDict& state) {
  rest_ = torch::Tensor();
  if (!enabled_) return;
  auto rest = at::zeros({layout_.size()}, at::TensorOptions(layout_.device).dtype(layout_.type));
  bool has_any = false;
  layout_.for_each(rest, [&](size_t number, const torch::Tensor& part) {
    const auto saved = tensor_for(layout_, number, state, kMemoryPrefix, part.sizes());
    if (!saved.defined()) return;
    part.copy_(saved);
    has_any = true;
  });
  if (has_any) rest_ = std::move(rest);
}

bool GradientMemory::has(std::string_view name) { return name.starts_with(kMemoryPrefix); }

}  // namespace levin
