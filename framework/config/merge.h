#pragma once

#include <string>

#include <levin/framework/config/node.h>

namespace levin {

/// Brings a whole configuration into one shape: wherever a class is named there is an object
/// {class_path, init_args}, made of `MLP` as well as of `{class_path: MLP, hidden_sizes: [32]}`;
/// trainer.callbacks is a list. trainer.logger may stay true or false.
void normalise(ConfigNode& root);

/// Puts `over` (normalised) over `base`: objects member by member, all else as a whole. Where a
/// class is swapped for another, the old one's settings become `inherited`.
void merge(ConfigNode& base, ConfigNode over);

/// A setting of the command line: `--trainer.max_epochs=5`, `--trainer.callbacks+=EarlyStopping`.
struct Override {
  /// "trainer.max_epochs"; `init_args` may be left out, a list means its last item.
  std::string path;
  ConfigNode value{};
  /// Adds to a list instead of replacing it.
  bool append = false;
};

/// Throws ConfigError where the path leads through something that has no settings.
void apply(ConfigNode& root, const Override& override);

}  // namespace levin
