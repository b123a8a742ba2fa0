#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <levin/datamodules/readers/csv_format.h>
#include <levin/datamodules/readers/mapped_file.h>
#include <levin/datamodules/tables/text_table.h>

namespace levin::tables {

/// A CSV file of texts that needn't fit in memory: TextTable's counterpart for streams. Its rows
/// are chosen by TableRows and read, some of them at a time, by a TableCursor:
///
///     const auto file = std::make_shared<const TableFile>("clicks.csv");
///     const TableRows even(file, [](int64_t row) { return row % 2 == 0; });
///     TextTable table = file->header();
///     for (TableCursor cursor(even); cursor.next(4096, table);) use(table);
///
/// It takes about 24 bytes of memory for each 64 KiB of text. Const functions may be called from
/// any number of threads.
class TableFile {
 public:
  /// Reads the file once and notes where a row starts about every 64 KiB. Throws
  /// DataError::unreadable if it can't be read, DataError if it has no row and, with the line, for
  /// rows of different lengths and for broken quotes.
  explicit TableFile(const std::filesystem::path& path);

  const std::string& name() const { return file_.name(); }
  int64_t rows() const { return rows_; }
  uint64_t bytes() const { return file_.size(); }
  /// The columns, without rows: what a cursor fills with rows.
  TextTable header() const;

 private:
  friend class TableRows;
  friend class TableCursor;
  /// Where a row starts: its number, line and first byte.
  struct Mark {
    int64_t row = 0;
    int64_t line = 0;
    uint64_t offset = 0;
  };
  void find_rows();

  readers::MappedFile file_;
  readers::CsvFormat csv_;
  std::vector<Mark> marks_;
  int64_t rows_ = 0;
};

/// Some or all rows of a TableFile, numbered from 0 in the order of the file. Which rows are chosen
/// takes no memory, since a function of their number tells; 8 bytes for each 64 KiB of text say how
/// many there are. A plain value, which keeps the file.
class TableRows {
 public:
  /// Whether the row of the file with this number, from 0, is chosen. It must say the same whenever
  /// it is asked, from any thread.
  using Choice = std::function<bool(int64_t row)>;
  /// Without a choice, all rows are. Reads nothing.
  explicit TableRows(std::shared_ptr<const TableFile> file, Choice choice = {});

  const TableFile& file() const { return *file_; }
  /// The number of chosen rows.
  int64_t rows() const { return rows_; }

 private:
  friend class TableCursor;
  bool has(int64_t row) const { return !choice_ || choice_(row); }

  std::shared_ptr<const TableFile> file_;
  Choice choice_;
  std::vector<int64_t> before_;  // the chosen rows in front of each mark; empty: all are chosen
  int64_t rows_ = 0;
};

/// Goes over chosen rows in their order, some of them at a time. Text that was read is given up, so
/// that going over a large file doesn't fill the memory. `rows` must outlive the cursor.
class TableCursor {
 public:
  /// Stands in front of the chosen row `first`. Throws DataError::unreadable if the file was
  /// changed since it was opened.
  explicit TableCursor(const TableRows& rows, int64_t first = 0);
  ~TableCursor();
  TableCursor(const TableCursor&) = delete;
  TableCursor& operator=(const TableCursor&) = delete;

  /// Replaces the rows of `table`, a copy of the file's header, by the next ones: `count`, or those
  /// that are left. Returns whether there are any. Their cells are valid until the next call, and
  /// as long as the cursor. Throws DataError as TableFile does.
  bool next(int64_t count, TextTable& table);

 private:
  /// Moves over the record at `offset_`; returns whether it is a chosen row.
  bool step();
  void release();

  const TableRows& rows_;
  readers::TextRecord record_ = {};
  uint64_t offset_ = 0;    // of the next record
  int64_t line_ = 0;       // of the next record
  int64_t row_ = 0;        // the number in the file of the next row
  int64_t row_line_ = 0;   // of the record that was stepped over
  uint64_t released_ = 0;  // up to where text was given up
};

}  // namespace levin::tables
