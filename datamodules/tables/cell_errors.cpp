#include <levin/datamodules/tables/cell_errors.h>

#include <cmath>

#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/text.h>
#include <levin/datamodules/tables/text_table.h>

namespace levin::tables {

bool finite_number(std::string_view cell, double& value) {
  return readers::parse_number(cell, value) && std::isfinite(value);
}

DataError no_number(const TextTable& table, int64_t row, size_t column, bool is_told) {
  const auto& name = table.columns()[column];
  return DataError::bad_value(
      "the cell", readers::in_quotes(table.cell(row, column)), table.place(row, column),
      fmt::format("{} must be a finite number. Correct the cell, or list the text in "
                  "missing_values if it means that the number is missing; if the column holds "
                  "texts, name it in categories when you train: categories = [\"{}\"].",
                  is_told ? "every cell of the column"
                          : "most cells of the column are numbers, so every cell",
                  name));
}

DataError missing_cell(const TextTable& table, int64_t row, size_t column, std::string_view rules) {
  const auto& name = table.columns()[column];
  return DataError(fmt::format(
      "{}: the cell is missing ({}), and nothing was set to stand for it. Fill in the cell or "
      "leave "
      "out the row; or train with missing_in = [\"{}=RULE\"], where RULE is {}, or with exclude = "
      "[\"{}\"], which leaves out the column.",
      table.place(row, column), readers::in_quotes(table.cell(row, column)), name, rules, name));
}

DataError missing_target(const TextTable& table, int64_t row, size_t column) {
  return DataError(fmt::format(
      "{}: the target is missing ({}), but training, validation and testing need it. Fill in the "
      "cell, or leave out the row.",
      table.place(row, column), readers::in_quotes(table.cell(row, column))));
}

}  // namespace levin::tables
