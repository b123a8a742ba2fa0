#pragma once

#include <string>
#include <vector>

namespace levin {

/// Returns rows of cells as lines of text, whose columns are as wide as their widest cell, with two
/// spaces between them. Every row must have as many cells as the first; there must be one.
std::string aligned_rows(const std::vector<std::vector<std::string>>& rows);

}  // namespace levin
