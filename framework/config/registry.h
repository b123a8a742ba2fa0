#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/config/link.h>
#include <levin/framework/core/class_list.h>
#include <levin/framework/data/datamodule.h>
#include <levin/framework/data/transform.h>
#include <levin/framework/loggers/logger.h>
#include <levin/framework/metrics/metric_list.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/hook_set.h>
#include <levin/framework/run/module.h>
#include <levin/framework/solvers/optimizer_list.h>

namespace levin {

/// The callbacks that a configuration can name. Besides the classes, the list remembers which of
/// the hooks inside a step each class overrides, so that the loops call no others.
class CallbackList : public ClassList<Callback> {
 public:
  /// Adds the class C, or replaces the class that had the name; see ClassList::add for what C
  /// needs. `help` is one line for `levin list`.
  template <std::derived_from<Callback> C>
  void add(std::string name, std::string help = {}) {
    hooks_.insert_or_assign(name, overridden_hooks<C>());
    ClassList::add<C>(std::move(name), std::move(help));
  }
  /// Returns the hooks inside a step that the class of that entry overrides.
  HookSet hooks(const Entry& entry) const {
    const auto found = hooks_.find(entry.name);
    return found == hooks_.end() ? HookSet::all() : found->second;
  }

 private:
  std::map<std::string, HookSet> hooks_;
};

/// The modules that a configuration can name. A module that is made from this list knows its name
/// in it and its settings (Module::set_registered), so that checkpoints can say how to make it
/// again. It is made from its settings and from the optimizers that they may name.
class ModelList : public ClassList<Module, const OptimizerList&> {
 public:
  /// Adds the class C, or replaces the class that had the name; see ClassList::add for what C
  /// needs. `help` is one line for `levin list`.
  template <std::derived_from<Module> C>
  void add(std::string name, std::string help = {}) {
    auto draft = [name] { return registered(name, draft_of<C>()); };
    put({std::move(name), std::move(help), std::move(draft)});
  }

 private:
  using ModelDraft = Draft<Module, const OptimizerList&>;
  /// Makes the modules of `draft` know `name` and their settings.
  static ModelDraft registered(std::string name, ModelDraft draft);
};

/// The data modules that a configuration can name.
class DataModuleList : public ClassList<DataModule> {
 public:
  /// Adds the class C, whose objects wrap a data module of another class: the one that their option
  /// `data`, a list of one name with settings, names. C is made from its options and that data
  /// module. It can wrap the classes that the list has when this is called, so call it again, with
  /// the same name, after adding classes of your own.
  ///
  ///     registry.datamodules.add<MyData>("MyData", "what it holds");
  ///     registry.datamodules.add_wrapper<levin::KFoldDataModule>("KFoldDataModule", "folds");
  template <std::derived_from<DataModule> C>
  void add_wrapper(std::string name, std::string help = {}) {
    auto draft = [known = ClassList<DataModule>(*this)] {
      auto options = std::make_shared<typename C::Options>();
      Draft<DataModule> made;
      made.fields = describe(*options);
      made.make = [options, known]() -> std::unique_ptr<DataModule> {
        require_one(options->data);
        const auto& [inner, settings] = options->data.front();
        return std::make_unique<C>(*options, known.make(inner, settings));
      };
      made.options = std::move(options);
      return made;
    };
    put({std::move(name), std::move(help), std::move(draft)});
  }

 private:
  /// Throws ConfigError unless the list names one data module.
  static void require_one(const std::vector<NamedSettings>& data);
};

/// A callback that every run has, unless the setting `trainer.<option>` is false or the
/// configuration lists a callback of the same class. A configuration that does both is refused.
/// Without a class, it is a switch of something else that every run has.
struct DefaultCallback {
  /// The name of the switch among the Trainer's settings, such as "enable_progress_bar".
  std::string option;
  /// The class's name in `Registry::callbacks`.
  std::string class_name;
  /// What `--help` and `--print-config` say about the switch.
  std::string help;
};

/// Adds classes to a list that all registries share.
template <class Base, ClassList<Base>& (*shared_list)()>
struct SharedClasses {
  /// Adds the class T; see ClassList::add.
  template <std::derived_from<Base> T>
  void add(std::string name, std::string help = {}) const {
    shared_list().template add<T>(std::move(name), std::move(help));
  }
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
  /// The classes of `model`. A model is made from its settings and from `optimizers`. A model whose
  /// settings name an optimizer takes that list as its constructor's second parameter, as
  /// Classifier does.
  ModelList models;
  /// The classes of `data`.
  DataModuleList datamodules;
  /// The classes of `trainer.callbacks`.
  CallbackList callbacks;
  /// The classes of `trainer.logger`.
  ClassList<Logger> loggers;
  /// The classes of `optimizer` and `lr_scheduler`.
  OptimizerList optimizers = shipped_optimizers();
  SchedulerList schedulers = shipped_schedulers();
  /// Metrics and transforms of your own, which the settings `metrics` of models and `transforms` of
  /// data modules can then name beside the shipped ones. Unlike the other lists, these two belong
  /// to the process and are shared by all registries, because models and data modules look names up
  /// that have been made without a registry, too. Add to them before the first is made.
  SharedClasses<Metric, added_metrics> metrics;
  SharedClasses<Transform, added_transforms> transforms;
  /// The callbacks of a run whose configuration says nothing about them.
  std::vector<DefaultCallback> default_callbacks;
  /// The names, in `loggers`, of the loggers that a run has with `trainer.logger: true`, which is
  /// the default.
  std::vector<std::string> default_loggers;
  /// Links between settings that every configuration has.
  std::vector<Link> links;
  /// The libraries that classes came from (cli/plugin.h), as absolute paths. Configurations that
  /// are written name them.
  std::vector<std::string> plugins;

  /// Gives the value of a setting to another one, which configurations then can't set. Lightning:
  /// `parser.link_arguments`. Use it for settings that always go together; a configuration has
  /// `links` of its own. It counts for configurations that have both parts, with classes that have
  /// these settings.
  ///
  ///     registry.link_arguments("data.batch_size", "model.batch_size");
  void link_arguments(std::string source, std::string target) {
    links.push_back({std::move(target), {std::move(source)}});
  }
  /// Gives a setting what `compute` makes of the values of others. Lightning: `compute_fn`.
  ///
  ///     registry.link_arguments({"trainer.max_epochs", "data.rows"}, "lr_scheduler.T_max",
  ///                             [](const std::vector<levin::Value>& values) {
  ///                               return levin::Value(values[0].as_int() * values[1].as_int());
  ///                             });
  void link_arguments(std::vector<std::string> sources, std::string target,
                      std::function<Value(const std::vector<Value>&)> compute) {
    links.push_back({std::move(target), std::move(sources), std::move(compute)});
  }
};

}  // namespace levin
