#pragma once

namespace levin {

class Module;

/// Which steps a module has of its own, because its class or a base class below Module overrides
/// them. Module's own steps only throw ModuleError, so a run that needs a step that isn't there can
/// be refused, or do without it, before it begins. Lightning: is_overridden.
struct OwnSteps {
  bool training = false;
  bool validation = false;
  bool test = false;
  /// Whether the module has predict_step or predict.
  bool predict = false;
};

/// Finds out which steps `module` has. It calls none of them, and looks at the class that the
/// object was made as, whatever the type of the reference.
///
///     class Net : public levin::Module { torch::Tensor training_step(...) override; };
///     own_steps(net).training;    // true
///     own_steps(net).validation;  // false
///
/// If it can't tell, it answers true.
OwnSteps own_steps(const Module& module);

}  // namespace levin
