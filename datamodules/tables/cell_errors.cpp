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

DataError no_number(const FoundCell& cell, bool is_told) {
  return DataError::bad_value(
      "the cell", readers::in_quotes(cell.text), cell.place,
      fmt::format("{} must be a finite number. Correct the cell, or list the text in "
                  "missing_values if it means that the number is missing; if the column holds "
                  "texts, name it in categories when you train: categories = [\"{}\"].",
                  is_told ? "every cell of the column"
                          : "most cells of the column are numbers, so every cell",
                  cell.column));
}

DataError missing_cell(const FoundCell& cell, std::string_view rules) {
  return DataError(fmt::format(
      "{}: the cell is missing ({}), and nothing was set to stand for it. Fill in the cell or "
      "leave "
      "out the row; or train with missing_in = [\"{}=RULE\"], where RULE is {}, or with exclude = "
      "[\"{}\"], which leaves out the column.",
      cell.place, readers::in_quotes(cell.text), cell.column, rules, cell.column));
}

DataError no_value(const FoundCell& cell) {
  return DataError::bad_value("the target", readers::in_quotes(cell.text), cell.place,
                              "it must be a finite number. Correct the cell, or train with "
                              "target_type = class if the targets are names of classes.");
}

DataError missing_group(const FoundCell& cell) {
  return DataError(fmt::format(
      "{}: the group is missing ({}), but every row must be in one. Fill in the cell or leave out "
      "the row; or take the text out of missing_values if it is the name of a group.",
      cell.place, readers::in_quotes(cell.text)));
}

DataError missing_target(const FoundCell& cell) {
  return DataError(fmt::format(
      "{}: the target is missing ({}), but training, validation and testing need it. Fill in the "
      "cell, or leave out the row.",
      cell.place, readers::in_quotes(cell.text)));
}

}  // namespace levin::tables
