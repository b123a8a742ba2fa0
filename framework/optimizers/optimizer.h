#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/framework/tensor/state_dict.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Computes the loss and its gradients and returns the loss; an undefined tensor means there is no
/// gradient and the step is left out.
using Closure = std::function<torch::Tensor()>;

/// Parameters that share their settings. Given to an optimizer, only `parameters` is needed:
///
///     levin::Adam({{.parameters = weights}, {.parameters = biases, .weight_decay = 0.0}}, {...})
struct ParameterGroup {
  /// "As the optimizer's options say".
  static constexpr double kFromOptions = std::numeric_limits<double>::quiet_NaN();

  std::vector<torch::Tensor> parameters{};
  /// One a parameter; names its state. "0", "1", ... until `set_names` is called.
  std::vector<std::string> names{};
  /// In force now: what a scheduler changes.
  double learning_rate = kFromOptions;
  /// As configured: what a scheduler multiplies. Not given: `learning_rate`.
  double base_learning_rate = kFromOptions;
  double weight_decay = kFromOptions;
};

/// The part of a parameter that is stepped on here, where ranks share the work.
struct ParameterSlice {
  /// Entries [begin, begin + n) of the flattened parameter, sharing its memory, [n]; it has a
  /// gradient of its own. Undefined: the parameter is others'.
  torch::Tensor tensor{};
  int64_t begin = 0;
};

/// Changes parameters by their gradients. State is kept as named tensors, so that any strategy can
/// save, move or shard it.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// One step: calls the closure (at least once), then changes the parameters. Returns the loss.
  /// Without a closure the gradients are taken as they are, and the result is undefined.
  virtual torch::Tensor step(const Closure& closure = {}) = 0;
  /// Whether a step may call its closure several times (LBFGS).
  virtual bool reevaluates_closure() const { return false; }
  /// "Adam", "SGD" ...: the class's name.
  virtual std::string name() const = 0;

  /// From now on steps on one slice of each parameter (group after group), by the slices'
  /// gradients, and calls `after_step` at the end of each step. State is then that of the slices;
  /// values `slices` says of which tensor each is what part, `{shape, begin, end}`. Loading takes
  /// the whole state. Throws ConfigError where more than an entry's own gradient decides on its
  /// change.
  virtual void shard(std::vector<ParameterSlice> slices, std::function<void()> after_step);
  /// What a step goes by the gradients of: the parameters, or the slices that are stepped on here.
  std::vector<torch::Tensor> stepped() const;

  /// Drops all gradients, those of slices too.
  void zero_grad();
  std::vector<ParameterGroup>& groups() { return groups_; }
  const std::vector<ParameterGroup>& groups() const { return groups_; }
  /// Sets the learning rate of one group, on its device too. No host synchronisation.
  virtual void set_learning_rate(double learning_rate, size_t group = 0);
  /// Names the parameters' state after the module's `named_parameters()`; matched by identity.
  void set_names(const NamedTensors& named_parameters);

  /// Tensors `<parameter>.<state>`; values `name` and `groups` (their learning rates).
  virtual StateDict state_dict() const = 0;
  /// Copies a state. Throws CheckpointError, before anything is changed, where it is of another
  /// optimizer or other parameters.
  virtual void load_state_dict(const StateDict& state) = 0;

  /// Gradients are divided, in place, by this one-element tensor within the step; undefined: by 1.
  void set_grad_scale(torch::Tensor scale) { grad_scale_ = std::move(scale); }
  /// Where this one-element tensor isn't 0 the step changes nothing; undefined: never.
  void set_found_inf(torch::Tensor found_inf) { found_inf_ = std::move(found_inf); }

 protected:
  /// Groups without a rate or weight decay of their own get the given ones. Throws ConfigError for
  /// a negative one, no parameters, one given twice, or one that can't be learnt.
  Optimizer(std::vector<ParameterGroup> groups, double learning_rate, double weight_decay);
  Optimizer(Optimizer&&) noexcept = default;
  Optimizer& operator=(Optimizer&&) noexcept = default;

  /// Calls the closure, if any, with gradients recorded; false where there is nothing to step on.
  static bool evaluate(const Closure& closure, torch::Tensor& loss);
  /// Reads found_inf. Waits for the device where that isn't the CPU.
  bool found_inf_on_host() const;
  /// Names of all parameters, group after group.
  std::vector<std::string> all_names() const;
  /// What state_dict has in `values`, and back; `problems` gets what doesn't fit.
  Value groups_value() const;
  void check_groups(const StateDict& state, std::vector<std::string>& problems) const;
  void load_groups(const StateDict& state);

  std::vector<ParameterGroup> groups_;
  std::vector<ParameterSlice> slices_;  // one a parameter, group after group; none: not sharded
  std::function<void()> after_step_;
  torch::Tensor grad_scale_;
  torch::Tensor found_inf_;
};

/// The one group that a plain list of parameters stands for.
std::vector<ParameterGroup> single_group(std::vector<torch::Tensor> parameters);

}  // namespace levin
