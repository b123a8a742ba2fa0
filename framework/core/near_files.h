#pragma once

#include <string>
#include <string_view>

namespace levin {

/// Returns what a message adds if there is no file or folder `path`: "; did you mean
/// 'runs/digits.yaml'?" for the nearest name in its folder (nearest_name), or "; there is no folder
/// 'runs' either". Empty if no name is near.
std::string missing_file_hint(std::string_view path);

}  // namespace levin
