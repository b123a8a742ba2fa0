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

/// Returns a class's name without what qualifies it: "MLP" for "levin.MLP", "levin::MLP" and "MLP".
std::string_view short_class_name(std::string_view class_path);

/// An object that has still to be made: the settings of its class, at their defaults until they are
/// changed through `fields`, and the function that makes the object from them. Use it if settings
/// come from several places, or to show them; `ClassList::make` does it all in one call.
///
///     auto draft = optimizers.at("Lion").draft();
///     from_value(draft.fields, Value::Object{{"learning_rate", 1e-4}}, "Lion");
///     std::unique_ptr<levin::Optimizer> lion = draft.make(parameters);
template <class Base, class... Args>
struct Draft {
  /// Owns the options struct that `fields` point into: keep it as long as `fields`.
  std::shared_ptr<void> options{};
  /// The settings, in the order of the options struct.
  Fields fields{};
  /// Makes an object from the settings as they are when it is called. May be called more than once,
  /// also when the draft is gone; the caller owns the object. Throws what the constructor throws.
  std::function<std::unique_ptr<Base>(Args...)> make{};
};

/// The classes that a configuration can choose from, by name and in the order in which they were
/// added. All are derived from `Base`. `Args` are what an object is made from besides its settings:
/// for an optimizer, the parameters that it trains.
///
///     OptimizerList optimizers = shipped_optimizers();
///     optimizers.add<Lion>("Lion", "follows the sign of its momentum");
///     auto lion = optimizers.make("Lion", Value::Object{{"learning_rate", 1e-4}}, parameters);
///
/// A list is an ordinary value: copies are independent, and there is no global list to register
/// with. Registry (framework/config/registry.h) holds the lists of the command line. Functions that
/// are const may be called from several threads at once.
template <class Base, class... Args>
class ClassList {
 public:
  /// One class of the list.
  struct Entry {
    /// The name by which configurations choose the class.
    std::string name;
    /// One line for `levin list` and `levin help`; may be empty.
    std::string help;
    /// Returns the settings at their defaults, to be changed before the object is made.
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

  ClassList() = default;
  /// `kind` is the word that errors use for a class of the list, such as "optimizer".
  explicit ClassList(std::string kind) : kind_(std::move(kind)) {}

  /// Adds a class T, or replaces the class that had the name, in its place. `help` says in one line
  /// what the class is for. A class without settings needs a constructor from Args, or from
  /// nothing. A class with settings needs three things, which are checked when the call is
  /// compiled:
  ///   - `using Options = TOptions;`, an options struct with a default for every field;
  ///   - `Fields describe(TOptions&)` in the same namespace (see options.h);
  ///   - a constructor from (Args..., Options) or (Options, Args...), or from Options alone if it
  ///     has no use for the arguments.
  ///
  ///     struct LionOptions {
  ///       double learning_rate = 1e-4;
  ///     };
  ///     levin::Fields describe(LionOptions& o) {
  ///       return levin::fields_of<LionOptions>({
  ///           {"learning_rate", &o.learning_rate, "step size"},
  ///       });
  ///     }
  ///     class Lion : public levin::Optimizer {
  ///      public:
  ///       using Options = LionOptions;
  ///       Lion(std::vector<torch::Tensor> parameters, LionOptions options);
  ///     };
  template <std::derived_from<Base> T>
  void add(std::string name, std::string help = {}) {
    put({std::move(name), std::move(help), &draft_of<T>});
  }

  /// All classes, in the order in which they were added.
  const std::vector<Entry>& entries() const { return entries_; }
  /// Their names, in the same order.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& each : entries_) names.push_back(each.name);
    return names;
  }

  /// Returns the class of that name, which may be qualified (`levin.MLP`, `torch.optim.Adam`), or
  /// null if there is none. A class whose name is the whole text is preferred to one whose name is
  /// the text's last part. The pointer is valid until the next call of `add`.
  const Entry* find(std::string_view class_path) const {
    const Entry* found = nullptr;
    for (const auto& each : entries_) {
      if (each.name == class_path) return &each;
      if (each.name == short_class_name(class_path)) found = &each;
    }
    return found;
  }
  /// The same as `find`, but throws ConfigError if there is no such class. The message proposes the
  /// nearest name, or lists all.
  const Entry& at(std::string_view class_path) const {
    if (const Entry* found = find(class_path)) return *found;
    throw ConfigError::unknown_name(kind_, class_path, names());
  }
  /// Makes an object of the class of that name, with the settings `init_args`; the caller owns it.
  /// Throws ConfigError if the name isn't in the list, and what `Entry::make` throws.
  std::unique_ptr<Base> make(std::string_view class_path, const Value& init_args,
                             Args... args) const {
    return at(class_path).make(init_args, std::forward<Args>(args)...);
  }

 protected:
  // For lists that add something to the objects they make, such as ModelList.

  /// Adds an entry, or replaces the one that had the name, in its place.
  void put(Entry entry) {
    for (auto& each : entries_) {
      if (each.name == entry.name) {
        each = std::move(entry);
        return;
      }
    }
    entries_.push_back(std::move(entry));
  }

  // Makes the draft of class T. `make` shares the options with the draft, so that it sees what is
  // changed through `fields` later.
  template <class T>
  static Draft<Base, Args...> draft_of() {
    if constexpr (MadeFromOptions<T, Args...>) {
      return draft_with_settings<T>();
    } else {
      static_assert(std::constructible_from<T, Args...> || std::constructible_from<T>,
                    "the class must be made from T::Options, from the list's arguments, or from "
                    "nothing; see ClassList::add");
      Draft<Base, Args...> draft;
      draft.make = [](Args... args) -> std::unique_ptr<Base> {
        if constexpr (std::constructible_from<T, Args...>) {
          return std::make_unique<T>(std::forward<Args>(args)...);
        } else {
          return std::make_unique<T>();
        }
      };
      return draft;
    }
  }

 private:
  template <class T>
  static Draft<Base, Args...> draft_with_settings() {
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

  std::string kind_ = "class";
  std::vector<Entry> entries_;
};

}  // namespace levin
