#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/framework/core/type_name.h>
#include <levin/framework/tensor/state_dict.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

struct ParameterRule;

/// Computes the loss and its gradients, and returns the loss. An undefined tensor says that there
/// are no gradients: the optimizer then leaves the step out.
using Closure = std::function<torch::Tensor()>;

/// Parameters that share a learning rate and a weight decay. An optimizer takes a list of groups
/// instead of a list of parameters; what a group leaves out comes from the optimizer's options:
///
///     levin::Adam({{.parameters = weights}, {.parameters = biases, .weight_decay = 0.0}},
///                 {.learning_rate = 1e-3, .weight_decay = 1e-4})
///
/// `group_parameters` (parameter_groups.h) makes groups by names or by a predicate.
struct ParameterGroup {
  /// Stands for the value in the optimizer's options.
  static constexpr double kFromOptions = std::numeric_limits<double>::quiet_NaN();

  std::vector<torch::Tensor> parameters{};
  /// A name for each parameter, by which its state is saved: "0", "1" ... until `set_names` is
  /// called.
  std::vector<std::string> names{};
  /// The rate of the next step, which schedulers change.
  double learning_rate = kFromOptions;
  /// The configured rate, which schedulers start from; by default `learning_rate`.
  double base_learning_rate = kFromOptions;
  double weight_decay = kFromOptions;
};

/// The part of a parameter that this rank's optimizer changes, if ranks share the work.
struct ParameterSlice {
  /// Entries [begin, begin + n) of the flattened parameter, [n]. It shares the parameter's memory
  /// and has a gradient of its own. Undefined if other ranks change the whole parameter.
  torch::Tensor tensor{};
  int64_t begin = 0;
};

/// Changes parameters by their gradients. Its state is kept as named tensors, so that any strategy
/// can save, move or shard it.
///
///     levin::SGD optimizer(model.parameters(), {.learning_rate = 0.1, .momentum = 0.9});
///     optimizer.step([&] {
///       optimizer.zero_grad();
///       auto loss = torch::mse_loss(model.forward(x), y);
///       loss.backward();
///       return loss;
///     });
///
/// To write an optimizer whose parameters don't influence each other, subclass
/// PerParameterOptimizer.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Makes one step: calls the closure, at least once, then changes the parameters. Returns the
  /// loss. Without a closure it takes the gradients as they are and returns an undefined tensor.
  virtual torch::Tensor step(const Closure& closure = {}) = 0;
  /// Whether a step may call its closure several times (LBFGS).
  virtual bool reevaluates_closure() const { return false; }
  /// Whether a step can be captured in a CUDA graph now: all of it happens on the device, which
  /// also holds the learning rate and the number of steps, and all state exists already.
  virtual bool is_capturable() const { return false; }
  /// Writes what a captured step reads on the device (the learning rates) there, if it has changed.
  /// Returns false if something else has changed that the captured step can't know, such as a
  /// weight decay, so that it has to be captured anew.
  virtual bool update_captured() { return true; }
  /// Brings the parameters up to date if steps leave parts of their changes for later, as online
  /// learners do. The loops call it before the parameters are read: before a validation, before a
  /// checkpoint is saved, and at the end of each epoch and of the fit. It changes nothing in what
  /// later steps do.
  virtual void complete_parameters() {}
  /// The class's name, "Adam" or "SGD", by default without its namespaces. A checkpoint records it.
  virtual std::string name() const { return unqualified_name(typeid(*this)); }

  /// Makes every later step change one slice of each parameter (`slices` lists them group after
  /// group) by the slice's own gradient, and call `after_step` at its end. The saved state is then
  /// that of the slices; its value `slices` says which part of which tensor each one is, as
  /// `{shape, begin, end}`. The state that is loaded is still the whole one. Throws ConfigError for
  /// an optimizer that changes an entry by more than the entry's own gradient.
  virtual void shard(std::vector<ParameterSlice> slices, std::function<void()> after_step);
  /// The tensors whose gradients a step takes: the parameters or, if sharded, the slices.
  std::vector<torch::Tensor> stepped() const;

  /// Makes all gradients undefined, those of slices too, unless `keep_gradients` was called.
  void zero_grad();
  /// Says that the module itself begins new gradients, by writing them over those of the step
  /// before: `zero_grad` leaves them as they are, and steps may remember where they are.
  void keep_gradients() { keeps_gradients_ = true; }
  /// Whether `divide` can be called: parameters may have rates and decays of their own, and nothing
  /// depends on the groups yet. By default false.
  virtual bool is_divisible() const { return false; }
  /// Divides the one group into several by the parameters' names (`set_names`): first the
  /// parameters that no rule matches, then those of each rule. To be called before the first step
  /// and before a state is loaded. Throws ConfigError unless `is_divisible`, if there are several
  /// groups already, and what `group_parameters` throws.
  void divide(const std::vector<ParameterRule>& rules);
  std::vector<ParameterGroup>& groups() { return groups_; }
  const std::vector<ParameterGroup>& groups() const { return groups_; }
  /// Sets the learning rate of a group, also where it is kept on a device, without waiting for the
  /// device.
  virtual void set_learning_rate(double learning_rate, size_t group = 0);
  /// Gives the parameters the names that the module has for them; states are then saved under
  /// these. A parameter that isn't in the list keeps its name.
  void set_names(const NamedTensors& named_parameters);

  /// The state as tensors `<parameter>.<state>`, and the values `name` and `groups` (their learning
  /// rates).
  virtual StateDict state_dict() const = 0;
  /// Copies a state into this optimizer. Throws CheckpointError, before it changes anything, if the
  /// state is another optimizer's or belongs to other parameters.
  virtual void load_state_dict(const StateDict& state) = 0;

  /// Makes each step divide the gradients, in place, by this one-element tensor. If it is
  /// undefined, gradients aren't divided.
  void set_grad_scale(torch::Tensor scale) { grad_scale_ = std::move(scale); }
  /// Makes a step change nothing if this one-element tensor isn't 0 at that time. If it is
  /// undefined, every step changes the parameters.
  void set_found_inf(torch::Tensor found_inf) { found_inf_ = std::move(found_inf); }

 protected:
  /// Groups without a learning rate or weight decay of their own get the given ones. A parameter
  /// that a group has several times, such as that of a layer which was registered twice, counts
  /// once. Throws ConfigError if a rate or decay is negative, there are no parameters, or a
  /// parameter is in two groups, isn't a leaf or isn't of a floating-point type.
  Optimizer(std::vector<ParameterGroup> groups, double learning_rate, double weight_decay);
  Optimizer(Optimizer&&) noexcept = default;
  Optimizer& operator=(Optimizer&&) noexcept = default;

  /// Calls the closure, if there is one, with autograd on. Returns false if the step is to be left
  /// out.
  static bool evaluate(const Closure& closure, torch::Tensor& loss);
  /// The value of found_inf; waits for the device it is on.
  bool found_inf_on_host() const;
  /// The names of all parameters, group after group.
  std::vector<std::string> all_names() const;
  /// The part of the state that belongs to groups: the class's name and the learning rates.
  Value groups_value() const;
  /// Adds to `problems` what doesn't fit if `state` is to be loaded here.
  void check_groups(const StateDict& state, std::vector<std::string>& problems) const;
  /// Sets the learning rates that `groups_value` saved.
  void load_groups(const StateDict& state);

  std::vector<ParameterGroup> groups_;
  // One for each parameter, group after group; empty if not sharded.
  std::vector<ParameterSlice> slices_;
  std::function<void()> after_step_;
  torch::Tensor grad_scale_;
  torch::Tensor found_inf_;
  bool keeps_gradients_ = false;
};

/// Returns `parameters` without those that were in the list already, in the same order.
std::vector<torch::Tensor> each_parameter_once(std::vector<torch::Tensor> parameters);

/// The one group that a plain list of parameters stands for.
std::vector<ParameterGroup> single_group(std::vector<torch::Tensor> parameters);

}  // namespace levin
