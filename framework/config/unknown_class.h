#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/error.h>

namespace levin {

/// The error for a class that a configuration or checkpoint names and the registry doesn't have. It
/// proposes the nearest name; if none is near, it lists all, and says how classes of a user's own
/// get in.
inline ConfigError unknown_class(std::string_view name, const std::vector<std::string>& known,
                                 std::string_view where) {
  const ConfigError error = ConfigError::unknown_name("class", name, known, where);
  if (!nearest_name(name, known).empty()) return error;
  return ConfigError(std::string(error.what()) +
                     "; if it is a class of your own, give its library by --plugin LIBRARY.so or "
                     "as `plugins:` of a --config file, or add it to the registry of your program");
}

}  // namespace levin
