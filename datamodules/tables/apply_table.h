#pragma once

#include <string>
#include <vector>

#include <levin/datamodules/tables/fitted_table.h>

namespace levin::tables {

class TextTable;

/// Returns the features of all rows, row-major [rows, fitted.width()]. Columns are found by their
/// names, and those that `fitted` doesn't have are ignored. Texts that aren't among the values of a
/// category are treated as `unknown` says. Throws DataError if a column isn't there and, with file,
/// line and column, for a missing cell that nothing stands for, a cell that isn't a number, a text
/// that is refused, and a feature whose size is above `largest`; ConfigError if `unknown` is
/// `column`, but the training gave unknown texts no column.
std::vector<double> features_of(const FittedTable& fitted, const TextTable& table,
                                UnknownRule unknown, double largest);

/// Returns the targets of all rows: the numbers of their classes, or values. Throws DataError, with
/// file, line and column, for a target that is missing, not among the classes, or no number.
std::vector<double> targets_of(const FittedTable& fitted, const TextTable& table);

/// Returns the cells of the column `name` as they are.
std::vector<std::string> keys_of(const TextTable& table, const std::string& name);

}  // namespace levin::tables
