#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace levin::readers {

/// Whether the first line of a CSV file names the columns.
enum class CsvHeader {
  /// It does where none of its cells is a number.
  detect,
  present,
  absent
};

struct CsvOptions {
  /// Between cells. 0: a tab where the first line has one, else a semicolon, else a comma.
  char delimiter = 0;
  CsvHeader header = CsvHeader::detect;
  /// The column that goes to `targets`: its name, or its number from 0, or from -1 for the last
  /// column backwards. "": none, every column goes to `values`.
  std::string target_column = {};
  /// Numbers the classes of a target column of texts by the alphabet (by bytes) instead of by first
  /// appearance.
  bool sort_classes = false;
};

/// The numbers of a CSV file.
struct CsvTable {
  /// Names of the columns of `values`; "column_0", "column_1" ... (places in the file) without a
  /// header.
  std::vector<std::string> columns = {};
  int64_t rows = 0;
  /// Row-major, [rows, columns].
  std::vector<double> values = {};
  /// The target column, [rows]: its numbers, or indices into `classes`. Empty without one.
  std::vector<double> targets = {};
  std::string target_name = {};
  /// The texts of a target column whose first cell is no number; otherwise empty.
  std::vector<std::string> classes = {};
};

/// Reads a file of numbers separated by commas, semicolons or tabs.
///
/// RFC 4180: cells may be in double quotes, lines end in LF or CRLF. A byte order mark, blanks
/// around numbers and empty lines at the end are passed over; "nan" and "inf" are numbers. Throws
/// DataError::unreadable; DataError::empty without a row; DataError::bad_value for a cell that is
/// no number, with line and column; DataError::corrupt for rows of different lengths and broken
/// quotes.
CsvTable read_csv(const std::filesystem::path& path, const CsvOptions& options = {});
/// The same from text; `name` is what errors call it.
CsvTable parse_csv(std::string_view text, std::string_view name, const CsvOptions& options = {});

}  // namespace levin::readers
