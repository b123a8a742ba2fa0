#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/config/node.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/options.h>

namespace levin {

/// How `read_settings` treats members that are no plain settings.
struct ReadOptions {
  /// Members that are allowed and ignored, because other code reads them.
  std::vector<std::string> other_keys{};
  /// The keys of the object around this one. A member that isn't a setting may be one of them
  /// misspelt, so the error message may propose them.
  std::vector<std::string> keys_around{};
  /// Whether `null` leaves a setting that can't be null at its default, as for Lightning's Trainer,
  /// instead of being an error.
  bool null_keeps_default = false;
  /// Returns the name of another class that has a setting of the given name, or "" if none has.
  /// Such a setting is ignored instead of being an error, so that one class can take the place of
  /// another by changing one line. If there is no function, no other class has settings.
  std::function<std::string(std::string_view)> other_class_with{};
};

/// Sets fields from the members of `object`, which error messages call `place` ("trainer",
/// "model"). A text setting gets the text as written: `00123` stays `00123`, and so does `{epoch}`
/// on the command line, which is an object elsewhere. Returns the members
/// that were ignored because only another class has such a setting, each with its place and that
/// class: "hidden_sizes (job.yaml:4, a setting of MLP)".
///
/// Throws ConfigError with file, line and key: for a value of another type with the value and the
/// expected type, for an unknown key with the nearest known one.
std::vector<std::string> read_settings(const Fields& fields, const ConfigNode& object,
                                       std::string_view place, const ReadOptions& options = {});

/// Throws `error`, which a constructor or `validate` threw, with the place of its cause put before
/// its message. If the message begins with a setting of `object` (`batch_size = -3: ...` or
/// `unknown optimizer 'Adamm'; ...`), that is the setting's file and line, otherwise those of
/// `object`.
[[noreturn]] void throw_at(const ConfigError& error, const ConfigNode& object,
                           std::string_view place);

/// Throws ConfigError if `node` is that of an option of the command line without a value. `place`
/// is the name of the setting and `expected` the type of its values.
void require_value(const ConfigNode& node, std::string_view place, std::string_view expected);

/// Throws ConfigError, with file and line, unless `node` is an object or null.
void require_object(const ConfigNode& node, std::string_view place);

}  // namespace levin
