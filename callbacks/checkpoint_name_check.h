#pragma once

#include <string>
#include <string_view>

namespace levin {

/// Throws ConfigError for a pattern of CheckpointName; `requirement` says what is wrong with it.
[[noreturn]] void refuse_checkpoint_name(std::string_view pattern, std::string_view requirement);

/// Throws ConfigError if a number format in the pattern, such as ".2f", makes very long numbers.
void check_width_of_number(std::string_view pattern, std::string_view spec);

/// Throws ConfigError if a pattern doesn't make names of files in its folder. `name` is one of its
/// names: it mustn't be absolute, lead out of the folder, begin with a home folder, end with a
/// slash, or be too long for a file system.
void check_checkpoint_name(std::string_view pattern, const std::string& name);

}  // namespace levin
