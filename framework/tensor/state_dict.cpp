#include <levin/framework/tensor/state_dict.h>

#include <ATen/Functions.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

void StateDict::add(std::string_view name, StateDict child) {
  for (auto& [key, tensor] : child.tensors) {
    tensors.insert_or_assign(fmt::format("{}.{}", name, key), std::move(tensor));
  }
  values[name] = std::move(child.values);
}

StateDict StateDict::child(std::string_view name) const {
  StateDict result;
  const std::string prefix = fmt::format("{}.", name);
  for (auto it = tensors.lower_bound(prefix); it != tensors.end() && it->first.starts_with(prefix);
       ++it) {
    result.tensors.emplace(it->first.substr(prefix.size()), it->second);
  }
  if (values.contains(name)) result.values = values.at(name);
  return result;
}

bool StateDict::has_child(std::string_view name) const {
  const std::string prefix = fmt::format("{}.", name);
  const auto first = tensors.lower_bound(prefix);
  return values.contains(name) || (first != tensors.end() && first->first.starts_with(prefix));
}

bool StateDict::empty() const { return tensors.empty() && values == Value(Value::Object{}); }

const torch::Tensor& StateDict::tensor(std::string_view name) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) {
    throw CheckpointError(fmt::format("a saved state has no tensor '{}'", name));
  }
  return found->second;
}

StateDict StateDict::clone() const {
  StateDict result;
  result.values = values;
  for (const auto& [name, tensor] : tensors) {
    auto copy = tensor.detach();
    result.tensors.emplace(name, copy.is_cpu() ? copy.clone() : copy.cpu());
  }
  return result;
}

}  // namespace levin
