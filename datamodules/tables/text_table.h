#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/datamodules/readers/array.h>

namespace levin::readers {
class CsvFormat;
struct TextRecord;
}  // namespace levin::readers

namespace levin::tables {

/// A cell that a message is about.
struct FoundCell {
  /// Where it is: "churn.csv, line 2, column 3 (age)".
  std::string place = {};
  /// The name of its column.
  std::string column = {};
  std::string text = {};
};

/// The cells of a CSV file as texts, without the spaces and tabs around them. The first line names
/// the columns. readers::CsvFormat describes the syntax.
///
///     const TextTable table = TextTable::read("churn.csv");
///     const size_t age = table.column("age");
///     table.cell(0, age);  // "42"
///
/// A table has all rows of its file, or some of them if it is made by a TableCursor.
class TextTable {
 public:
  /// Reads a whole file into memory. Throws DataError::unreadable if it can't be read, DataError if
  /// it has no row and, with the line, for rows of different lengths and for broken quotes.
  static TextTable read(const std::filesystem::path& path);
  /// Does the same with a text in memory; `name` is what errors call it.
  static TextTable parse(std::string_view text, std::string name);
  TextTable(TextTable&&) = default;
  TextTable& operator=(TextTable&&) = default;

  /// What errors call the file.
  const std::string& file() const { return file_; }
  /// The names of the columns in the order of the file.
  const std::vector<std::string>& columns() const { return columns_; }
  int64_t rows() const { return static_cast<int64_t>(lines_.size()); }
  /// The cell of a row and a column, both counted from 0. Valid as long as the table.
  std::string_view cell(int64_t row, size_t column) const {
    return cells_[static_cast<size_t>(row) * columns_.size() + column];
  }
  bool has(std::string_view name) const;
  /// The number of the column of that name. Throws DataError, with the names that there are, if
  /// there is none, and if there are two. `what` says what the column is needed for, such as "the
  /// target".
  size_t column(std::string_view name, std::string_view what) const;
  /// Where a cell is, as messages say it: "churn.csv, line 2, column 3 (age)".
  std::string place(int64_t row, size_t column) const;
  FoundCell found(int64_t row, size_t column) const {
    return {place(row, column), columns_[column], std::string(cell(row, column))};
  }

 private:
  friend class TableFile;
  friend class TableCursor;
  TextTable(readers::Bytes text, std::string name);
  /// A table without rows.
  TextTable(std::string name, std::vector<std::string> columns)
      : file_(std::move(name)), columns_(std::move(columns)) {}
  /// Adds the row in a record that isn't blank. Its text must stay where it is.
  void add_row(const readers::CsvFormat& csv, const readers::TextRecord& record, int64_t line);
  /// Removes all rows, and keeps their memory.
  void clear();

  std::string file_;
  std::vector<std::string> columns_;
  readers::Bytes text_;                  // what most cells are parts of, unless a file holds it
  std::deque<std::string> unescaped_;    // cells with doubled quotes
  std::vector<std::string_view> cells_;  // row-major
  std::vector<int64_t> lines_;           // of each row, from 1
};

}  // namespace levin::tables
