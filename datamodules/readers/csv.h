#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/csv_format.h>

namespace levin::readers {

/// The numbers of a CSV file.
struct CsvTable {
  /// The names of the columns of `values`; "column_0", "column_1" ... (by their places in the file)
  /// without a header. If `CsvOptions::like` names other columns, they are in the order of that
  /// file.
  std::vector<std::string> columns = {};
  int64_t rows = 0;
  /// The features, row-major [rows, columns].
  std::vector<double> values = {};
  /// The target column, [rows]: its numbers, or indices into `classes`. Empty without one, and if
  /// CsvOptions::skip_target.
  std::vector<double> targets = {};
  std::string target_name = {};
  /// The texts of a target column whose first cell isn't a number, or of any target column if
  /// CsvOptions::text_targets; otherwise empty.
  std::vector<std::string> classes = {};
  /// The columns of the file as other files are compared with them: see CsvOptions::like.
  CsvLayout layout = {};
  /// CsvFormat::note: what was decided about the first line in case of doubt, for the user; else
  /// empty.
  std::string note = {};
};

/// Reads a whole CSV file into memory; `CsvFormat` describes the syntax, and `open_csv` streams
/// files that are larger than memory.
///
///     const CsvTable table = read_csv("iris.csv", {.target_column = "species"});
///
/// Throws DataError::unreadable if the file can't be read, DataError if it has no row, and
/// DataError, with the line, for a cell that isn't a finite number, for rows of different lengths,
/// for broken quotes, for columns that aren't those of `options.like`, and if it can't be told
/// whether the first line is a header.
CsvTable read_csv(const std::filesystem::path& path, const CsvOptions& options = {});
/// Does the same with a text in memory; `name` is what errors call it.
CsvTable parse_csv(std::string_view text, std::string_view name, const CsvOptions& options = {});

}  // namespace levin::readers
