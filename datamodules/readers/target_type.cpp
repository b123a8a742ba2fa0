#include <levin/datamodules/readers/target_type.h>

#include <levin/framework/core/error.h>

namespace levin::readers {

TargetType parse_target_type(std::string_view word) {
  if (word == "auto") return TargetType::automatic;
  if (word == "class") return TargetType::classes;
  if (word == "value") return TargetType::values;
  throw ConfigError::unknown_name("target_type", word, {"auto", "class", "value"});
}

}  // namespace levin::readers
