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
  /// without a header.
  std::vector<std::string> columns = {};
  int64_t rows = 0;
  /// The features, row-major [rows, columns].
  std::vector<double> values = {};
  /// The target column, [rows]: its numbers, or indices into `classes`. Empty without one.
  std::vector<double> targets = {};
  std::string target_name = {};
  /// The texts of a target column whose first cell isn't a number; otherwise empty.
  std::vector<std::string> classes = {};
};

/// Reads a whole CSV file into memory; `CsvFormat` describes the syntax, and `open_csv` streams
/// files that are larger than memory.
///
///     const CsvTable table = read_csv("iris.csv", {.target_column = "species"});
///
/// Throws DataError::unreadable if the file can't be read, DataError if it has no row, and
/// DataError, with the line, for a cell that isn't a finite number, for rows of different lengths
/// and for broken quotes.
CsvTable read_csv(const std::filesystem::path& path, const CsvOptions& options = {});
/// Does the same with a text in memory; `name` is what errors call it.
CsvTable parse_csv(std::string_view text, std::string_view name, const CsvOptions& options = {});

}  // namespace levin::readers
