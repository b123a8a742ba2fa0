#pragma once

#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/tables/apply_table.h>
#include <levin/datamodules/tables/fit_table.h>
#include <levin/datamodules/tables/text_table.h>

namespace levin::test {

/// The settings of a test: cells that are empty, NA or ? are missing.
inline tables::TableSettings table_settings(std::string target = {}) {
  tables::TableSettings settings;
  settings.target = std::move(target);
  settings.missing_values = {"", "NA", "?"};
  return settings;
}

/// Fits on the first `training_rows` rows of a text, or on all.
inline tables::FittedTable fit(std::string_view text, const tables::TableSettings& settings,
                               int64_t training_rows = 0) {
  const auto table = tables::TextTable::parse(text, "train.csv");
  std::vector<int64_t> rows(static_cast<size_t>(training_rows == 0 ? table.rows() : training_rows));
  std::iota(rows.begin(), rows.end(), int64_t{0});
  std::vector<std::string> notes;
  return tables::fit_table(table, rows, settings, notes);
}

/// The features of the rows of a text, with what is unknown treated as in training.
inline std::vector<double> features_from(const tables::FittedTable& fitted, std::string_view text,
                                         double largest = 1e300) {
  return tables::features_of(fitted, tables::TextTable::parse(text, "new.csv"), fitted.unknown,
                             largest);
}

}  // namespace levin::test
