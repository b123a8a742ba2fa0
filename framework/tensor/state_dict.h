#pragma once

#include <map>
#include <string>
#include <string_view>

#include <levin/framework/core/value.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// The state of an object: named tensors plus a tree of plain values.
///
/// Every stateful object has `StateDict state_dict() const` and
/// `void load_state_dict(const StateDict&)`. The tensors are references, not copies: to keep a
/// state while training goes on, clone it.
///
///     StateDict state;
///     state.add("model", model.state_dict());        // tensors "model.linear.weight", ...
///     model.load_state_dict(state.child("model"));
struct StateDict {
  std::map<std::string, torch::Tensor, std::less<>> tensors;
  Value values = Value::Object{};

  /// Puts `child` under `name`: its tensors as `name.*`, its values as the member `name`.
  void add(std::string_view name, StateDict child);
  /// What was put under `name`; empty if nothing was.
  StateDict child(std::string_view name) const;
  /// Whether anything was put under `name`.
  bool has_child(std::string_view name) const;
  /// Whether it has neither tensors nor values.
  bool empty() const;
  /// The tensor of that name, which lives as long as this StateDict holds it. Throws
  /// CheckpointError if there is none.
  const torch::Tensor& tensor(std::string_view name) const;
  /// Returns a deep copy on the CPU. It doesn't change if the object trains on. Waits for the
  /// devices that the tensors are on.
  StateDict clone() const;
};

}  // namespace levin
