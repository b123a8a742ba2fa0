#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/core/class_list.h>
#include <levin/framework/data/datamodule.h>
#include <levin/framework/loggers/logger.h>
#include <levin/framework/optimizers/optimizer_list.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/hook_set.h>
#include <levin/framework/run/module.h>

namespace levin {

/// Callbacks by name. It also remembers which of the hooks inside a step each class overrides, so
/// that the loops call no others.
class CallbackList : public ClassList<Callback> {
 public:
  /// As ClassList::add.
  template <std::derived_from<Callback> C>
  void add(std::string name, std::string help = {}) {
    hooks_.insert_or_assign(name, overridden_hooks<C>());
    ClassList::add<C>(std::move(name), std::move(help));
  }
  /// The hooks inside a step that the class of that entry overrides.
  HookSet hooks(const Entry& entry) const {
    const auto found = hooks_.find(entry.name);
    return found == hooks_.end() ? HookSet::all() : found->second;
  }

 private:
  std::map<std::string, HookSet> hooks_;
};

/// A callback that every run has, unless `trainer.<option>` is false or the configuration lists a
/// callback of the same class.
struct DefaultCallback {
  /// "enable_progress_bar": the switch's name among the Trainer's settings.
  std::string option;
  /// Its name in `Registry::callbacks`.
  std::string class_name;
  /// What `--help` and `--print-config` say of the switch.
  std::string help;
};

/// The classes that a configuration can name. A program of your own starts with the shipped ones
/// and adds to them:
///
///     int main(int argc, char** argv) {
///       auto registry = levin::shipped_classes();
///       registry.models.add<MyModel>("MyModel", "what it does");
///       registry.optimizers.add<Lion>("Lion", "follows the sign of its momentum");
///       return levin::run_command_line(argc, argv, registry);
///     }
///
/// Afterwards `model: MyModel`, `optimizer: {class_path: Lion}` and the model option
/// `optimizer: Lion` all work, and `list` and `help` show both classes. See ClassList::add for what
/// a class needs.
struct Registry {
  /// A model is made from its settings and from `optimizers`. A model whose settings name an
  /// optimizer takes that list as its constructor's second parameter, as Classifier does.
  ClassList<Module, const OptimizerList&> models;
  ClassList<DataModule> datamodules;
  CallbackList callbacks;
  ClassList<Logger> loggers;
  OptimizerList optimizers = shipped_optimizers();
  SchedulerList schedulers = shipped_schedulers();
  std::vector<DefaultCallback> default_callbacks;
  /// The names, in `loggers`, of what `trainer.logger: true` adds.
  std::vector<std::string> default_loggers;
};

}  // namespace levin
