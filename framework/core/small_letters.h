#pragma once

#include <string>
#include <string_view>

namespace levin {

/// Returns the text with ASCII's capital letters in lower case.
std::string to_small_letters(std::string_view text);

}  // namespace levin
