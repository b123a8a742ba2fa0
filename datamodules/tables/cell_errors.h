#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <levin/framework/core/error.h>

/// Numbers in the cells of a table, and the errors for cells that can't be used: each names file,
/// line and column, and says what to do.
namespace levin::tables {

struct FoundCell;

/// Stores the number in a cell. Returns false if the cell holds anything but a finite number.
bool finite_number(std::string_view cell, double& value);

/// The cell of a column of numbers is a text. `is_told` says whether the settings or the training
/// data have made the column one of numbers, instead of most of its cells.
DataError no_number(const FoundCell& cell, bool is_told);
/// The cell is missing, and nothing stands for it. `rules` are the settings of `missing` that would
/// help, such as "most_frequent or category".
DataError missing_cell(const FoundCell& cell, std::string_view rules);
/// The cell of a target that is a value holds something else.
DataError no_value(const FoundCell& cell);
/// The cell that names the row's group is missing.
DataError missing_group(const FoundCell& cell);
/// The cell of the target is missing.
DataError missing_target(const FoundCell& cell);

}  // namespace levin::tables
