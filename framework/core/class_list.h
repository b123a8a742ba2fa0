#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/framework/core/options.h>

namespace levin {

/// A class's name without what qualifies it: "MLP" of "levin.MLP", "levin::MLP" and "MLP".
std::string_view short_class_name(std::string_view class_path);

/// An object that has still to be made: the settings of its class, at their defaults until they are
/// changed through `fields`, and the function that makes the object from them.
template <class Base, class... Args>
struct Draft {
  /// Owns the options struct that `fields` point into.
  std::shared_ptr<void> options{};
  Fields fields{};
  /// Makes an object from the settings as they are when it is called. Throws what the constructor
  /// throws.
  std::function<std::unique_ptr<Base>(Args...)> make{};
};

/// The classes that a configuration can choose from, by name and in the order in which they were
/// added. `Args` are what an object is made from besides its settings: an optimizer's parameters.
///
///     OptimizerList optimizers = shipped_optimizers();
///     optimizers.add<Lion>("Lion", "follows the sign of its momentum");
///     auto lion = optimizers.make("Lion", Value::Object{{"learning_rate", 1e-4}}, parameters);
template <class Base, class... Args>
class ClassList {
 public:
  struct Entry {
    std::string name;
    /// One line for `levin list` and `levin help`.
    std::string help;
    std::function<Draft<Base, Args...>()> draft;

    /// Makes an object with some settings changed: `init_args` is an object Value, or null for the
    /// defaults. Throws ConfigError, with the class's name, for a setting that the class doesn't
    /// have (naming the nearest one it has), a value of another type, and a value it refuses.
    std::unique_ptr<Base> make(const Value& init_args, Args... args) const {
      const auto chosen = draft();
      if (!init_args.is_null()) from_value(chosen.fields, init_args, name);
      try {
        return chosen.make(std::forward<Args>(args)...);
      } catch (const ConfigError& error) {
        throw ConfigError(name + ": " + error.what());
      }
    }
  };

  /// Adds a class T, or replaces the class that had the name. T needs three things:
  ///   - `using Options = TOptions;`, an options struct with a default for every field;
  ///   - `Fields describe(TOptions&)` in the same namespace (see options.h);
  ///   - a constructor from (Args..., Options) or (Options, Args...), or from Options alone if it
  ///     has no use for the arguments.
  template <std::derived_from<Base> T>
  void add(std::string name, std::string help = {}) {
    Entry entry{std::move(name), std::move(help), &draft_of<T>};
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

  /// The class of that name, which may be qualified (`levin.MLP`, `torch.optim.Adam`); null if
  /// there is none.
  const Entry* find(std::string_view class_path) const {
    const Entry* found = nullptr;
    for (const auto& each : entries_) {
      if (each.name == class_path) return &each;
      if (each.name == short_class_name(class_path)) found = &each;
    }
    return found;
  }
  /// The same. Throws ConfigError if there is none, naming the nearest; `kind` is what the message
  /// calls the class ("optimizer").
  const Entry& at(std::string_view class_path, std::string_view kind = "class") const {
    if (const Entry* found = find(class_path)) return *found;
    throw ConfigError::unknown_name(kind, class_path, names());
  }
  /// Makes an object of the class of that name; see `Entry::make`. Throws ConfigError also for a
  /// name that isn't in the list.
  std::unique_ptr<Base> make(std::string_view class_path, const Value& init_args,
                             Args... args) const {
    return at(class_path).make(init_args, std::forward<Args>(args)...);
  }

 private:
  template <class T>
  static Draft<Base, Args...> draft_of() {
    using Options = typename T::Options;
    auto options = std::make_shared<Options>();
    Draft<Base, Args...> draft;
    draft.fields = describe(*options);
    draft.make = [options](Args... args) -> std::unique_ptr<Base> {
      if constexpr (std::constructible_from<T, Args..., Options&>) {
        return std::make_unique<T>(std::forward<Args>(args)..., *options);
      } else if constexpr (std::constructible_from<T, Options&, Args...>) {
        return std::make_unique<T>(*options, std::forward<Args>(args)...);
      } else {
        return std::make_unique<T>(*options);
      }
    };
    draft.options = std::move(options);
    return draft;
  }

  std::vector<Entry> entries_;
};

}  // namespace levin
