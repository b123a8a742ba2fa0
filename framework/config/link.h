#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/config/node.h>
#include <levin/framework/core/value.h>

namespace levin {

struct Registry;

/// A setting that takes its value from others. Lightning: what `link_arguments` of LightningCLI's
/// parser makes, with `apply_on="parse"`.
///
/// A setting is named as on the command line: "data.batch_size", "trainer.max_epochs",
/// "optimizer.learning_rate", and "trainer.callbacks.EarlyStopping.monitor" or
/// "trainer.callbacks.0.monitor" for an item of a list. "seed_everything" can be a source, but no
/// target.
struct Link {
  /// The setting that is set, "model.num_steps".
  std::string target;
  /// The settings whose values it gets, usually one. Those at their defaults have values, too.
  std::vector<std::string> sources;
  /// Makes the target's value of those of the sources, in their order. If there is no function, the
  /// target gets the value of the only source.
  std::function<Value(const std::vector<Value>&)> compute{};
};

/// A link that was applied to a configuration.
struct AppliedLink {
  Link link;
  /// The target as a Job calls it: the place of its class, "trainer.callbacks[0]", and its name.
  std::string place{};
  std::string key{};
  /// What the target was set to.
  Value value{};
  /// Whether `detach_links` has ended the link, or the configuration has removed one of a program.
  bool is_detached = false;
};

/// Sets the targets of all links in a normalised configuration: those of `registry`, and those of
/// `links` in the configuration, of which one with the same target replaces the registry's and
/// null removes it. A source may be the target of another link. Returns the links in that order,
/// and then, as detached ones without a place, those of `registry` that null has removed.
///
/// A link of `registry` whose settings this configuration doesn't have is left out. Throws
/// ConfigError, with the link's file and line: for a part that the configuration doesn't name, for
/// a setting that doesn't exist, naming the nearest, for null without a link that it removes, for a
/// target that the configuration sets as well, naming both places, and for links in a circle.
/// Classes that don't exist are left for `read_job` to refuse.
std::vector<AppliedLink> apply_links(const Registry& registry, ConfigNode& root);

/// Makes the targets of links from `source` settings of their own, which keep their values. Use it
/// before the value of `source` changes in a Job that is to be saved.
void detach_links(std::vector<AppliedLink>& links, std::string_view source);

}  // namespace levin
