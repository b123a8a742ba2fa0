#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <levin/datamodules/tables/fitted_table.h>
#include <levin/datamodules/tables/settings.h>

namespace levin::tables {

class TextTable;

/// Finds out from the training rows how a table becomes features and targets. `rows` are the
/// numbers of the training rows, from 0; no other row is looked at. The order of `rows` doesn't
/// matter, apart from the last digits of means.
///
///     const auto table = TextTable::read("churn.csv");
///     const FittedTable fitted = fit_table(table, rows, {.target = "churn"}, notes);
///
/// - A column whose cells are numbers is a number, and any other one a category, unless the
///   settings say otherwise. Missing cells don't count.
/// - What stands for a missing number is computed as by scikit-learn's SimpleImputer, a mean and
///   deviation as by its StandardScaler: the deviation is the population's, and 1 for a column
///   whose numbers are equal. They are those of the numbers with the gaps filled.
/// - The values of a category are sorted as by scikit-learn's OneHotEncoder.
///
/// What users should know is added to `notes`. Throws DataError, with file, line and column, for
/// cells that can't be used; DataError, naming the column, if all its cells are missing, and
/// ConfigError for settings that contradict each other or the table.
FittedTable fit_table(const TextTable& table, std::span<const int64_t> rows,
                      const TableSettings& settings, std::vector<std::string>& notes);

}  // namespace levin::tables
