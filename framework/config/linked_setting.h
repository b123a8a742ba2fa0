#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/config/link.h>
#include <levin/framework/config/node.h>
#include <levin/framework/core/options.h>

namespace levin {

struct Registry;

// What apply_links needs to find the settings that links name.

/// The seed, which a link can have as a source.
inline constexpr std::string_view kLinkedSeed = "seed_everything";

/// A link with the place where it was written.
struct WrittenLink {
  Link link;
  Origin origin;
  /// Whether the program has the link, so that it counts only for configurations that have its
  /// settings.
  bool is_of_program = false;
};

/// A setting that a link names, and the object in the configuration that has it.
struct LinkedSetting {
  std::string place;
  std::string key;
  /// The Trainer's settings, or the node of a class.
  ConfigNode* node = nullptr;
  /// Whether the settings are members of `node` and not of its `init_args`.
  bool is_direct = false;
  /// The class's settings, at their defaults, and the options that they are stored in.
  std::vector<std::shared_ptr<void>> options{};
  Fields fields{};
  /// Whether the configuration names a class that doesn't exist.
  bool is_lost = false;
  /// Whether only other classes of the kind have the setting.
  bool is_of_another_class = false;
  /// Whether the configuration has no such setting, which only a link of a program may name.
  bool is_absent = false;

  const ConfigNode* given() const {
    const ConfigNode* object = is_direct ? node : node->find("init_args");
    return object == nullptr ? nullptr : object->find(key);
  }
  std::string name() const { return place + "." + key; }
};

/// "model.init_args.units" as {"model", "units"}.
std::vector<std::string> keys_of_setting(std::string_view name);

/// Throws ConfigError with the place and the target of a link.
[[noreturn]] void fail_link(const WrittenLink& link, std::string_view problem);
/// The same for a name that isn't among those known, naming the nearest. `setting`, the target or
/// a source, has the name in it.
[[noreturn]] void fail_unknown_in_link(const WrittenLink& link, std::string_view setting,
                                       std::string_view kind, std::string_view name,
                                       const std::vector<std::string>& known);

/// Finds settings in a configuration. Parts that it doesn't have are added to it as null.
class SettingFinder {
 public:
  SettingFinder(const Registry& registry, ConfigNode& root) : registry_(registry), root_(root) {}

  /// Finds what `name`, the target or a source of `link`, stands for, or that it's absent. The
  /// pointers in the result are valid until the next call. Throws ConfigError, with the link's
  /// place, if there is no such setting.
  LinkedSetting find(const WrittenLink& link, const std::string& name);

 private:
  LinkedSetting find_in_trainer(const WrittenLink& link, const std::string& name,
                                const std::string& key, ConfigNode& node);
  LinkedSetting find_in_part(const WrittenLink& link, const std::string& name,
                             const std::vector<std::string>& keys, ConfigNode& node);
  /// A setting of an item of trainer.callbacks or trainer.logger: "trainer.callbacks.0.monitor",
  /// "trainer.callbacks.EarlyStopping.monitor"; of the only item, also "trainer.logger.name".
  LinkedSetting find_in_list(const WrittenLink& link, const std::string& name,
                             const std::vector<std::string>& keys, ConfigNode& trainer);

  const Registry& registry_;
  ConfigNode& root_;
};

}  // namespace levin
