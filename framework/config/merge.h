#pragma once

#include <string>

#include <levin/framework/config/node.h>

namespace levin {

/// Brings a whole configuration into one shape, in place. A class may be written in several ways:
/// `MLP`, `{class_path: MLP, hidden_sizes: [32]}` or with its settings under `init_args`;
/// afterwards each is an object {class_path, init_args}. trainer.callbacks becomes a list, and
/// trainer.logger may stay true or false.
void normalise(ConfigNode& root);

/// Puts `over` over `base`; both are normalised. Objects are merged member by member, and anything
/// else is replaced as a whole. If a class is replaced by another, the settings stay, and the new
/// class takes those that it has.
void merge(ConfigNode& base, ConfigNode over);

/// A setting given on the command line: `--trainer.max_epochs=5` or
/// `--trainer.callbacks+=EarlyStopping`.
struct Override {
  /// The keys that lead to the setting, "trainer.max_epochs". `init_args` may be left out, and the
  /// name of a list stands for its last item.
  std::string path;
  ConfigNode value{};
  /// Whether the value is added to a list (`+=`) instead of replacing it.
  bool append = false;
};

/// Puts an override into a configuration. Throws ConfigError if the path leads through something
/// that has no settings, or to an item that a list doesn't have.
void apply(ConfigNode& root, const Override& override);

}  // namespace levin
