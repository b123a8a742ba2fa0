#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/csv_columns.h>
#include <levin/datamodules/readers/shard.h>
#include <levin/datamodules/readers/text.h>
#include <levin/framework/core/error.h>

namespace levin::readers {

/// The syntax of a text format with a row in each record, most often a line. TextShard reads a file
/// through it twice: `scan` goes over all records when the file is opened, `parse` over single ones
/// when their rows are asked for. To read another text format, derive from it and make a TextShard.
///
/// Const functions are called from several threads at a time. Lines are numbered from 1.
/// `read_record`, `scan` and `parse` throw DataError, with file and line, for text that breaks the
/// syntax.
class LineFormat {
 public:
  virtual ~LineFormat() = default;

  /// What `scan` has found out about all rows together.
  struct Summary {
    /// Whether a target is -1, and whether one is 0.
    bool has_minus_one = false;
    bool has_zero = false;
    /// The first line whose target isn't a whole number; 0 if there is none.
    int64_t fraction_line = 0;
    /// The highest number of a feature, from 0, in formats that leave out zeros; -1 if there is
    /// none.
    int64_t highest_feature = -1;

    /// Takes one more target into account.
    void add_target(double target, int64_t line);
  };
  /// Where the rows start, behind a byte order mark and a header.
  struct Start {
    size_t offset = 0;
    int64_t line = 1;
  };

  /// Returns where the first record is; `text` is the whole file.
  virtual Start start(std::string_view text) const = 0;
  /// Finds the end of the record that starts at byte `offset`, in line `line`. By default a record
  /// is a line.
  virtual void read_record(std::string_view text, size_t offset, int64_t line,
                           TextRecord& record) const;
  /// Whether a record holds no row: it is empty or a comment.
  virtual bool is_blank(const TextRecord& record) const = 0;
  /// Checks what can be checked quickly, among it the target, and adds what it finds to `summary`.
  virtual void scan(const TextRecord& record, int64_t line, Summary& summary) const = 0;
  /// Writes the features [width] of a record and, if the format has one, its target.
  virtual void parse(const TextRecord& record, int64_t line, std::span<float> features,
                     double& target) const = 0;
  /// The number of features of a row, once every row was scanned.
  virtual int64_t width(const Summary& summary) const = 0;
  /// Whether rows have a target.
  virtual bool has_target() const = 0;
  /// Whether rows leave out zeros. If so, targets of -1 and 1 stand for classes 0 and 1.
  virtual bool is_sparse() const = 0;
  /// Returns the error for a file without rows, for the caller to throw.
  virtual DataError no_rows() const = 0;
  /// The names of the columns, in formats that can have them.
  virtual std::optional<CsvLayout> layout() const { return {}; }
  /// What was decided about the file in case of doubt, for the user; mostly empty.
  virtual std::string note() const { return {}; }
};

/// The rows of a text file. Opening it reads the file once and notes where a row starts about every
/// 32 KiB; rows are parsed when they are asked for, again in every epoch. "input" is float32
/// [features]; "target" is int64 [] if it is a class, else float32 []. Use `open_csv` and
/// `open_libsvm` to make one.
class TextShard : public Shard {
 public:
  /// Reads all of the file, on the calling thread. Throws DataError if it has no row, if a record
  /// isn't a row of `format`, or if targets aren't whole numbers but `options` say that they are
  /// classes.
  TextShard(MappedFile file, std::unique_ptr<LineFormat> format, const ShardOptions& options);

  uint64_t file_bytes() const override { return file_.size(); }
  size_t row_bytes() const override;
  /// Parses the rows; `direct` is ignored, because the mapping goes through the page cache. Throws
  /// DataError for a cell that isn't a number and for a file that was changed since it was opened.
  void load(int64_t first, int64_t count, bool direct, BlockBuffer& buffer,
            std::span<RowsInMemory> views) const override;
  void read_row(int64_t row, std::span<std::byte* const> out) const override;

  /// The names of a CSV file's columns; nothing for other formats.
  std::optional<CsvLayout> layout() const override { return format_->layout(); }
  /// LineFormat::note.
  std::string note() const { return format_->note(); }
  /// What the scan of all rows found when the file was opened.
  const LineFormat::Summary& summary() const { return summary_; }
  /// Makes targets float32, because those of another file aren't all whole numbers. This function,
  /// `keep_signs` and `widen` fit a file to the others that are opened with it; open_shards calls
  /// them before any row is read.
  void use_values();
  /// Leaves targets of -1 as they are, because another file has targets of 0.
  void keep_signs() { has_signs_ = false; }
  /// The number of features of a row.
  int64_t width() const { return columns_.front().shape.front(); }
  /// Whether zeros are left out, so that no line says how many features there are.
  bool is_sparse() const { return format_->is_sparse(); }
  /// Gives rows more features, which are 0 in this file: libsvm files leave out zeros.
  void widen(int64_t width) { columns_.front().shape.front() = width; }

 private:
  /// The place of a row in the file: its number, the line it starts in, and that line's first byte.
  struct Mark {
    int64_t row = 0;
    int64_t line = 0;
    uint64_t offset = 0;
  };
  class Lines;
  /// Scans all rows and fills `marks_` and `summary_`.
  void index(const std::function<void()>& while_reading);
  /// Settles the columns by the summary and by what the targets are said to be.
  void set_columns(TargetType type);
  /// A reader of lines that stands at the line of `row`.
  Lines lines_at(int64_t row) const;
  void parse_row(const Lines& lines, std::byte* features, std::byte* target) const;

  MappedFile file_;
  std::unique_ptr<LineFormat> format_;
  LineFormat::Summary summary_;
  std::vector<Mark> marks_;  // in order of rows
  bool has_signs_ = false;   // a target of -1 stands for class 0
};

/// The most features that libsvm rows may have. Rows are made dense, so that more would be too
/// large to train on; an index above it is taken for damage.
inline constexpr int64_t kMostFeatures = int64_t{1} << 24;

/// Opens a CSV file of numbers, each of which a float32 can hold; `CsvFormat` describes the syntax.
/// If `options.like` is set, the columns are matched with those of that file. Throws DataError like
/// TextShard, for a file that has no column but its target, and like CsvFormat.
std::shared_ptr<TextShard> open_csv(MappedFile file, const ShardOptions& options);
/// Opens a libsvm file. A line is "target index:value index:value ...": features that are 0 are
/// left out, indices rise along the line, and a comment starts at '#'. Targets -1 and 1 are classes
/// 0 and 1. A row has `num_features` features; if that is 0, as many as the highest index in the
/// file asks for, at most kMostFeatures. Throws DataError like TextShard, and if no row has a
/// feature and `num_features` is 0.
std::shared_ptr<TextShard> open_libsvm(MappedFile file, const ShardOptions& options);

}  // namespace levin::readers
