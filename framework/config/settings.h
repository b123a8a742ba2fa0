#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/config/node.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/options.h>

namespace levin {

/// How `read_settings` takes what it is given.
struct ReadOptions {
  /// Members that somebody else reads.
  std::vector<std::string> other_keys{};
  /// Keys of the object around this one: an unknown key may be one of those misspelt.
  std::vector<std::string> keys_around{};
  /// `null` for a setting that can't be null leaves its default, as for Lightning's Trainer.
  bool null_keeps_default = false;
};

/// Sets fields from the members of `object`; `place` ("trainer", "model") names it in errors. Text
/// is taken as written where text is asked for. Throws ConfigError with file, line, key, the value
/// and what was expected; an unknown key names the nearest one. Returns a remark for each inherited
/// setting that was left out.
std::vector<std::string> read_settings(const Fields& fields, const ConfigNode& object,
                                       std::string_view place, const ReadOptions& options = {});

/// Throws an error that a class's or Trainer's own checks found, with file and line of the setting
/// it begins with (`batch_size = -3: ...`) put before it, or else those of `object`.
[[noreturn]] void throw_at(const ConfigError& error, const ConfigNode& object,
                           std::string_view place);

/// Throws ConfigError unless `node` is an object; null is taken as an empty one.
void require_object(const ConfigNode& node, std::string_view place);

}  // namespace levin
