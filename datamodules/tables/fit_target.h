#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <levin/datamodules/readers/target_type.h>
#include <levin/datamodules/tables/fitted_table.h>
#include <levin/datamodules/tables/settings.h>

namespace levin::tables {

class TextTable;

/// Finds out from the training rows what the targets are, for `fit_table`: sets `has_values` and
/// `class_names` of `fitted`, which has `target` and `missing_values` already. Throws DataError,
/// with file, line and column, for a missing target, and for a text among numbers unless `type`
/// says that the targets are classes.
void fit_target(const TextTable& table, std::span<const int64_t> rows, readers::TargetType type,
                FittedTable& fitted);

/// A number for the class of each row, to split by; equal classes have equal numbers. Throws
/// DataError, with the line, for a missing target, ConfigError if the targets are values.
std::vector<int64_t> stratification_labels(const TextTable& table, const TableSettings& settings);

}  // namespace levin::tables
