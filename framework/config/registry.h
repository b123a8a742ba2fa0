#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/framework/config/node.h>
#include <levin/framework/core/options.h>
#include <levin/framework/data/datamodule.h>
#include <levin/framework/loggers/logger.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/hook_set.h>
#include <levin/framework/run/module.h>

namespace levin {

/// The settings of a class, at their defaults until changed through `fields`, and how to make an
/// object from them (and from what its constructor takes before them).
template <class Base, class... Args>
struct Draft {
  std::shared_ptr<void> options{};
  Fields fields{};
  std::function<std::unique_ptr<Base>(Args...)> make{};
  /// Of a callback: the hooks inside a step that it overrides.
  HookSet hooks{};
};

/// Classes by name, in the order they were added.
template <class Base, class... Args>
class ClassList {
 public:
  struct Entry {
    std::string name;
    std::string help;
    std::function<Draft<Base, Args...>()> draft;
  };

  /// Adds a class with `using Options = ...`, a constructor from (Args..., Options), and
  /// `Fields describe(Options&)` beside it. A name that is there already is replaced.
  template <class T>
  void add(std::string name, std::string help = {}) {
    add(Entry{std::move(name), std::move(help), &draft_of<T>});
  }
  void add(Entry entry) {
    for (auto& each : entries_) {
      if (each.name == entry.name) {
        each = std::move(entry);
        return;
      }
    }
    entries_.push_back(std::move(entry));
  }

  const std::vector<Entry>& entries() const { return entries_; }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& each : entries_) names.push_back(each.name);
    return names;
  }
  /// The class of that name, as it is or without what qualifies it (`levin.MLP`, `levin::MLP`);
  /// null where there is none.
  const Entry* find(std::string_view class_path) const {
    const Entry* found = nullptr;
    for (const auto& each : entries_) {
      if (each.name == class_path) return &each;
      if (each.name == short_class_name(class_path)) found = &each;
    }
    return found;
  }

 private:
  template <class T>
  static Draft<Base, Args...> draft_of() {
    auto options = std::make_shared<typename T::Options>();
    Draft<Base, Args...> draft;
    draft.fields = describe(*options);
    draft.make = [options](Args... args) {
      return std::make_unique<T>(std::move(args)..., *options);
    };
    if constexpr (std::derived_from<T, Hooks>) draft.hooks = overridden_hooks<T>();
    draft.options = std::move(options);
    return draft;
  }

  std::vector<Entry> entries_;
};

/// A callback every run has unless `trainer.<option>` is false or the user lists one of its class.
struct DefaultCallback {
  std::string option;
  std::string class_name;
  std::string help;
};

/// The classes that a configuration can name. A program of one's own adds to the shipped ones:
///
///     int main(int argc, char** argv) {
///       auto registry = levin::shipped_classes();
///       registry.models.add<MyModel>("MyModel", "what it does");
///       return levin::run_command_line(argc, argv, registry);
///     }
struct Registry {
  ClassList<Module> models;
  ClassList<DataModule> datamodules;
  ClassList<Callback> callbacks;
  ClassList<Logger> loggers;
  /// Made of the parameters and the options.
  ClassList<Optimizer, std::vector<torch::Tensor>> optimizers;
  ClassList<Scheduler> schedulers;
  std::vector<DefaultCallback> default_callbacks;
  /// What `trainer.logger: true` means.
  std::vector<std::string> default_loggers;
};

}  // namespace levin
