#pragma once

#include <map>
#include <string>
#include <string_view>

#include <levin/framework/core/value.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// The state of anything that has one: named tensors plus a tree of plain values.
///
/// Every stateful object has `StateDict state_dict() const` and
/// `void load_state_dict(const StateDict&)`. Tensors are references, not copies: whoever keeps a
/// state while training goes on clones it.
struct StateDict {
  std::map<std::string, torch::Tensor, std::less<>> tensors;
  Value values = Value::Object{};

  /// Puts `child` under `name`: its tensors as `name.*`, its values as the member `name`.
  void add(std::string_view name, StateDict child);
  /// What was put under `name`; empty where nothing was.
  StateDict child(std::string_view name) const;
  /// Whether anything was put under `name`.
  bool has_child(std::string_view name) const;
  /// The tensor of that name. Throws CheckpointError where there is none.
  const torch::Tensor& tensor(std::string_view name) const;
  /// A deep copy on the CPU, safe to keep.
  StateDict clone() const;
};

}  // namespace levin
