#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/shard.h>
#include <levin/datamodules/readers/text.h>
#include <levin/framework/core/error.h>

namespace levin::readers {

/// The syntax of a text format with a row in each record, most often a line.
class LineFormat {
 public:
  virtual ~LineFormat() = default;

  /// What reading all rows once has shown about them.
  struct Summary {
    bool has_minus_one = false;
    bool has_zero = false;
    /// The first line whose target isn't a whole number; 0 if there is none.
    int64_t fraction_line = 0;
    int64_t highest_feature = -1;

    void add_target(double target, int64_t line);
  };
  /// Where the rows start, behind a byte order mark and a header.
  struct Start {
    size_t offset = 0;
    int64_t line = 1;
  };

  virtual Start start(std::string_view text) const = 0;
  /// Reads the record that starts at byte `offset`, in line `line`. Throws DataError if it is
  /// damaged.
  virtual void read_record(std::string_view text, size_t offset, int64_t line,
                           TextRecord& record) const;
  /// Whether a record holds no row: it is empty or a comment.
  virtual bool is_blank(std::string_view record) const = 0;
  /// Checks what can be checked quickly and adds to `summary`. Throws DataError; so does `parse`.
  virtual void scan(const TextRecord& record, int64_t line, Summary& summary) const = 0;
  /// Writes the features [width] and the target, if there is one.
  virtual void parse(const TextRecord& record, int64_t line, std::span<float> features,
                     double& target) const = 0;
  /// The number of features of a row, after every row was scanned.
  virtual int64_t width(const Summary& summary) const = 0;
  virtual bool has_target() const = 0;
  /// Whether zeros are left out. If so, targets of -1 and 1 stand for classes 0 and 1.
  virtual bool is_sparse() const = 0;
  /// The error for a file without rows.
  virtual DataError no_rows() const = 0;
};

/// Rows of text, a line each. Opening reads it once to find out where each 32 KiB of lines start;
/// rows are parsed when they are asked for. "input" is float32 [features], "target" int64 [] where
/// it is a class, else float32 [].
class TextShard : public Shard {
 public:
  /// Throws DataError for an empty file, or one whose lines aren't rows of `format`.
  TextShard(MappedFile file, std::unique_ptr<LineFormat> format, const ShardOptions& options);

  uint64_t file_bytes() const override { return file_.size(); }
  size_t row_bytes() const override;
  void load(int64_t first, int64_t count, bool direct, BlockBuffer& buffer,
            std::span<RowsInMemory> views) const override;
  void read_row(int64_t row, std::span<std::byte* const> out) const override;

  /// What a first look at every row found.
  const LineFormat::Summary& summary() const { return summary_; }
  /// Makes the targets numbers instead of classes: where another file's aren't whole.
  void use_values();
  /// Leaves targets of -1 as they are: where another file has targets of 0.
  void keep_signs() { has_signs_ = false; }
  int64_t width() const { return columns_.front().shape.front(); }
  /// Whether zeros are left out, so that no line says how many features there are.
  bool is_sparse() const { return format_->is_sparse(); }
  /// Gives rows more features, zeros: libsvm leaves them out.
  void widen(int64_t width) { columns_.front().shape.front() = width; }

 private:
  struct Mark {
    int64_t row = 0;
    int64_t line = 0;
    uint64_t offset = 0;
  };
  class Lines;
  void index(const std::function<void()>& while_reading);
  void set_columns(TargetType type);
  /// At the line of `row`.
  Lines lines_at(int64_t row) const;
  void parse_row(const Lines& lines, std::byte* features, std::byte* target) const;

  MappedFile file_;
  std::unique_ptr<LineFormat> format_;
  LineFormat::Summary summary_;
  std::vector<Mark> marks_;  // in order of rows
  bool has_signs_ = false;   // a target of -1 stands for class 0
};

/// Rows of libsvm are made dense: more features are a damaged index, or can't be trained on so.
inline constexpr int64_t kMostFeatures = int64_t{1} << 24;

/// Opens a CSV file of numbers that a float32 can hold; `CsvFormat` describes the syntax.
std::shared_ptr<TextShard> open_csv(MappedFile file, const ShardOptions& options);
/// "target index:value ...", zeros left out; comments start at '#'. Targets -1 and 1 are classes 0
/// and 1. Without `num_features`, the highest index in the file, at most kMostFeatures.
std::shared_ptr<TextShard> open_libsvm(MappedFile file, const ShardOptions& options);

}  // namespace levin::readers
