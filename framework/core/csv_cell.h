#pragma once

#include <string>
#include <string_view>

namespace levin {

/// Returns a text as the cell of a CSV file (RFC 4180): in quotes if it is empty, has a comma, a
/// quote or a line break, or begins or ends with a space, which some readers drop.
std::string csv_cell(std::string_view text);

}  // namespace levin
