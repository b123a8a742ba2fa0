#pragma once

#include <string>

#include <levin/framework/run/hooks.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// Something that watches a run and asks things of it: see Hooks for when each hook fires.
/// Lightning: Callback.
class Callback : public Hooks {
 public:
  /// When its turn comes among the others: those that watch metrics after the module, those that
  /// save after all.
  enum class Order { normal, monitor, checkpoint };
  virtual Order order() const { return Order::normal; }

  /// Names its state in checkpoints; two callbacks of one class need two keys.
  virtual std::string state_key() const = 0;
  virtual StateDict state_dict() const { return {}; }
  virtual void load_state_dict(const StateDict& /*state*/) {}
};

}  // namespace levin
