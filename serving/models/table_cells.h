#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/datamodules/tables/fitted_table.h>
#include <levin/serving/protocol/wire_tensor.h>

namespace levin {

/// Returns the features of rows of a table, [rows, fitted.width()]. `input` has its cells, [rows,
/// columns], as texts or as numbers, of which NaN is a missing cell; `columns` are their names.
/// Adds the numbers of the rows' groups to `groups` if the table has them. Throws Refusal (400),
/// with row and column, for a cell that can't be used.
std::vector<double> table_features(const tables::FittedTable& fitted,
                                   const std::vector<std::string>& columns, const WireTensor& input,
                                   int64_t begin, int64_t rows, std::vector<int64_t>& groups);

}  // namespace levin
