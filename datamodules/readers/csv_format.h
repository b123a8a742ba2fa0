#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/array.h>
#include <levin/datamodules/readers/csv_columns.h>
#include <levin/datamodules/readers/csv_header.h>
#include <levin/datamodules/readers/text.h>
#include <levin/framework/core/error.h>

namespace levin::readers {

/// How a CSV file is read. The defaults suit most files, apart from the target column.
struct CsvOptions {
  /// The character between cells. 0 detects it: a tab if the first line has one outside quotes,
  /// else a semicolon if it has one, else a comma.
  char delimiter = 0;
  /// Whether the first record names the columns; `find_header` says how that is detected.
  CsvHeader header = CsvHeader::detect;
  /// The column of targets: its name, or its number from 0, or from -1 for the last column
  /// backwards. "none": every column is a feature.
  std::string target_column = "none";
  /// Numbers the classes of a target column of texts in the order of their bytes instead of in the
  /// order in which they appear.
  bool sort_classes = false;
  /// Takes the cells of the target column for names of classes even if the first one is a number.
  bool text_targets = false;
  /// The first of several files that are read together. If both have a header, the columns of this
  /// one are taken by their names, in the order of the first one, and its target is the column of
  /// the same name, unless `target_column` names another one that isn't in the first file. Else
  /// they are taken by their places.
  std::optional<CsvLayout> like{};
  /// Leaves out columns that aren't in the first file, instead of refusing them.
  bool ignore_extra_columns = false;
  /// Whether a file with a header may lack the target column of the first file.
  bool target_optional = false;
  /// Leaves out the target column, whose cells may then hold anything.
  bool skip_target = false;
  /// The number of rows that the file must have, if that is known. It settles whether the first
  /// record is one, if that can't be told from the record.
  std::optional<int64_t> rows{};
};

/// The syntax of one CSV file. Both readers of CSV are built on it, so that they agree on every
/// text: `read_csv`, which reads whole tables, and `open_csv`, which streams.
///
/// A record is a line of cells. A line ends in LF, CRLF or CR. Empty lines and lines of spaces are
/// skipped wherever they are, and so is a byte order mark at the front. Between the rows of a file
/// of one column, however, such a line is an empty cell: a missing value. Spaces and tabs around a
/// cell don't belong to it. A cell may be in double quotes; within them, delimiters and line ends
/// are ordinary characters, and two quotes stand for one (RFC 4180). Every record has as many cells
/// as the first one. Numbers are decimal and finite: NaN and infinities are refused, because no
/// model can be trained on them. There are no comments.
///
///     const CsvFormat csv(text, "a.csv", {.target_column = "label"}, DType::float64);
///     int64_t line = csv.first_line();
///     TextRecord record;
///     for (size_t at = csv.begin(); at < text.size(); at = record.next, line += record.lines) {
///       csv.read_record(text, at, line, record);
///       if (!csv.is_blank(record)) csv.for_each_cell(record, line, use_cell);
///     }
///
/// `use_cell(cell, column)` puts a cell where `place_of(column)` says.
///
/// An object never changes, so any number of threads may use it. Functions that get a text get the
/// whole file; lines count from 1, and columns from 0 (messages count them from 1).
class CsvFormat {
 public:
  /// Reads the first record of `text` to settle the delimiter, the columns and the target. Keeps no
  /// reference to `text`, so that every later call is given it again. `name` is what errors call
  /// the file; `dtype`, float32 or float64, must be able to hold every number. Throws
  /// DataError::empty if there is no record, and DataError for broken quotes, if there is no such
  /// target column, if the columns aren't those of `options.like`, and if it can't be told whether
  /// the first record is a header.
  CsvFormat(std::string_view text, std::string_view name, const CsvOptions& options, DType dtype);

  /// Where the rows start, in bytes: behind the header if there is one.
  size_t begin() const { return begin_; }
  /// The line at `begin()`, from 1.
  int64_t first_line() const { return first_line_; }
  /// The names of all columns in the file's order; "column_0", "column_1" ... without a header.
  const std::vector<std::string>& columns() const { return columns_; }
  /// The place of the target column; empty for "none", and if CsvOptions::skip_target.
  std::optional<size_t> target() const {
    return skips_target_ ? std::optional<size_t>() : places_.target;
  }
  /// The names of the features, in the order in which a row has them.
  const std::vector<std::string>& features() const { return places_.features; }
  /// The number of the feature that a column holds, or ColumnPlaces::kTarget or kUnused.
  int64_t place_of(size_t column) const { return places_.places[column]; }
  /// What other files that are read with this one are compared with. A target that is left out is
  /// part of it.
  CsvLayout layout() const;
  /// What was decided about the first record although it could be read in two ways, in a sentence
  /// for the user; empty if there is no doubt.
  const std::string& note() const { return note_; }

  /// Reads the record that starts at byte `start`, in line `line`. Throws DataError for broken
  /// quotes.
  void read_record(std::string_view text, size_t start, int64_t line, TextRecord& record) const {
    read_line(text, start, record);
    if (record.may_have_quotes) extend_over_quotes(text, start, line, record);
  }
  /// Whether a record is no row, because it holds nothing but spaces and tabs. In a file of one
  /// column, that is so only behind the last row.
  bool is_blank(const TextRecord& record) const {
    if (columns_.size() == 1 && record.next < end_) return false;
    return std::all_of(record.text.begin(), record.text.end(),
                       [this](char c) { return is_space(c); });
  }

  /// Calls `each(cell, column)` for every cell of a record, from left to right. Quotes around a
  /// cell are taken off, blanks around one without quotes aren't; a cell is valid during the call
  /// only. Throws DataError if there are more or fewer cells than the first record has, or for
  /// broken quotes. Whether the cells are numbers is not checked: `number` does that.
  template <class Each>
  void for_each_cell(const TextRecord& of, int64_t line, const Each& each) const {
    const std::string_view record = of.text;
    const size_t width = columns_.size();
    size_t column = 0;
    if (of.may_have_quotes) {
      std::string unescaped;
      for (size_t at = 0;; ++at, ++column) {
        if (column == width) fail_width(record, line);
        each(take_cell(record, at, unescaped, line, column), column);
        if (at == record.size()) break;
      }
    } else {
      for (size_t at = 0;; ++column) {
        if (column == width) fail_width(record, line);
        const size_t end = std::min(record.find(delimiter_, at), record.size());
        each(record.substr(at, end - at), column);
        if (end == record.size()) break;
        at = end + 1;
      }
    }
    if (column + 1 < width) fail_width(record, line);
  }

  /// The number in a cell. Throws DataError, with line and column, if the cell isn't a finite
  /// number of the file's type.
  double number(std::string_view cell, int64_t line, size_t column) const {
    double value = 0.0;
    if (parse_number(cell, value) && std::abs(value) <= largest_) return value;
    fail_number(cell, line, column);
  }

  /// The error for a file without rows.
  DataError no_rows() const;

 private:
  /// Moves the end of a record to the first line end that isn't within quotes.
  void extend_over_quotes(std::string_view text, size_t start, int64_t line,
                          TextRecord& record) const;
  /// Reads the cell at `at` and moves `at` to the delimiter or the end behind it. The cell lies in
  /// `text`, or in `unescaped` if quotes in it are doubled.
  std::string_view take_cell(std::string_view text, size_t& at, std::string& unescaped,
                             int64_t line, size_t column) const;
  /// Whether a cell without quotes ends before this character.
  bool ends_cell(char c) const { return c == delimiter_ || c == '\n' || c == '\r'; }
  /// The cells of a record, without the blanks around them.
  std::vector<std::string> cells_of(const TextRecord& record, int64_t line) const;
  /// Decides whether `first` names the columns. Throws DataError if that can't be told.
  bool detect_header(std::string_view text, const TextRecord& first, const CsvOptions& options);
  /// The cells of the row after `first`; none if there is no such row, or if it is broken.
  std::vector<std::string> second_row(std::string_view text, const TextRecord& first) const;
  /// How many rows there are from `begin_` on.
  int64_t count_rows(std::string_view text) const;
  /// Whether the character is a space or a tab, and not the delimiter.
  bool is_space(char c) const { return (c == ' ' || c == '\t') && c != delimiter_; }
  /// The columns of `options.like`, with the target that `target_column` names if this file has
  /// another one, or if that file has none.
  CsvLayout expected(const CsvOptions& options) const;
  /// Settles where the cells of a row go, once it is known whether there is a header.
  void set_places(const CsvOptions& options);
  /// Returns the column with a name or number, or nothing for "none". Throws DataError if there is
  /// no such column.
  std::optional<size_t> find_target(const std::string& wanted) const;

  /// These throw the DataErrors for broken quotes, a wrong number of cells, a cell that isn't a
  /// number, and an unknown target column; each names the file and what was found.
  [[noreturn]] void fail_quotes(std::string_view problem, int64_t line, size_t column) const;
  [[noreturn]] void fail_width(std::string_view record, int64_t line) const;
  [[noreturn]] void fail_number(std::string_view cell, int64_t line, size_t column) const;
  [[noreturn]] void fail_target(const std::string& wanted) const;
  /// A hint for messages, if a record or cell looks as if it were separated by something else.
  std::string delimiter_hint(std::string_view text) const;
  /// Where a cell is, as messages say it: "a.csv, line 2, column 3 (b)".
  std::string place(int64_t line, size_t column) const;

  /// What errors call the file.
  std::string name_;
  DType dtype_;
  /// The largest number that dtype_ holds.
  double largest_;
  char delimiter_;
  bool delimiter_is_given_;
  /// Where the rows start: the byte, and the line from 1.
  size_t begin_ = 0;
  int64_t first_line_ = 1;
  /// Where the last row ends: behind the text's last byte that is neither a blank nor a line end.
  size_t end_ = 0;
  bool has_header_ = false;
  bool skips_target_ = false;
  std::vector<std::string> columns_;
  ColumnPlaces places_;
  std::string note_;
};

}  // namespace levin::readers
