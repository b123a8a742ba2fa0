#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/csv_format.h>
#include <levin/datamodules/readers/text.h>
#include <levin/datamodules/readers/text_shard.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

/// Returns false if the text isn't a finite number that a float32 can hold.
bool parse_finite(std::string_view text, double& value) {
  return parse_number(text, value) && std::abs(value) <= std::numeric_limits<float>::max();
}

class CsvLines : public LineFormat {
 public:
  CsvLines(const std::string& name, std::string_view text, const CsvOptions& options)
      : csv_(text, name, options, DType::float32), target_(csv_.target()) {
    if (width({}) == 0) throw no_features(name);
  }

  Start start(std::string_view) const override { return {csv_.begin(), csv_.first_line()}; }
  void read_record(std::string_view text, size_t offset, int64_t line,
                   TextRecord& record) const override {
    csv_.read_record(text, offset, line, record);
  }
  bool is_blank(const TextRecord& record) const override { return csv_.is_blank(record); }

  void scan(const TextRecord& record, int64_t line, Summary& summary) const override {
    csv_.for_each_cell(record, line, [&](std::string_view cell, size_t column) {
      if (column == target_) summary.add_target(csv_.number(cell, line, column), line);
    });
  }

  void parse(const TextRecord& record, int64_t line, std::span<float> features,
             double& target) const override {
    csv_.for_each_cell(record, line, [&](std::string_view cell, size_t column) {
      const int64_t place = csv_.place_of(column);
      if (place == ColumnPlaces::kUnused) return;
      const double value = csv_.number(cell, line, column);
      if (place == ColumnPlaces::kTarget) {
        target = value;
      } else {
        features[static_cast<size_t>(place)] = static_cast<float>(value);
      }
    });
  }

  int64_t width(const Summary&) const override {
    return static_cast<int64_t>(csv_.features().size());
  }
  bool has_target() const override { return target_.has_value(); }
  bool is_sparse() const override { return false; }
  DataError no_rows() const override { return csv_.no_rows(); }
  std::optional<CsvLayout> layout() const override { return csv_.layout(); }
  std::string note() const override { return csv_.note(); }

 private:
  CsvFormat csv_;
  std::optional<size_t> target_;
};

class LibsvmLines : public LineFormat {
 public:
  LibsvmLines(std::string name, int64_t num_features, bool zero_based)
      : name_(std::move(name)), num_features_(num_features), base_(zero_based ? 0 : 1) {}

  Start start(std::string_view text) const override {
    return {text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0, 1};
  }
  bool is_blank(const TextRecord& record) const override { return content(record.text).empty(); }

  void scan(const TextRecord& record, int64_t number, Summary& summary) const override {
    auto line = content(record.text);
    summary.add_target(label(token(line), number), number);
    // Indices rise: the last one of a line is its highest.
    const size_t colon = line.rfind(':');
    if (colon == line.npos) return;
    const size_t start = line.find_last_of(" \t", colon);
    const auto last = line.substr(start == line.npos ? 0 : start + 1);
    int64_t index = 0;
    split(last, number, index);
    summary.highest_feature = std::max(summary.highest_feature, index);
  }

  void parse(const TextRecord& record, int64_t number, std::span<float> features,
             double& target) const override {
    auto line = content(record.text);
    target = label(token(line), number);
    std::fill(features.begin(), features.end(), 0.0F);
    int64_t before = -1;
    for (auto word = token(line); !word.empty(); word = token(line)) {
      int64_t index = 0;
      const double value = split(word, number, index);
      if (index <= before || static_cast<size_t>(index) >= features.size()) {
        fail_order(word, number, index, before);
      }
      before = index;
      features[static_cast<size_t>(index)] = static_cast<float>(value);
    }
  }

  int64_t width(const Summary& summary) const override {
    if (num_features_ > 0) return num_features_;
    if (summary.highest_feature >= 0) return summary.highest_feature + 1;
    throw DataError(name_ +
                    ": no row has a feature, so the number of features isn't known; set "
                    "num_features");
  }
  bool has_target() const override { return true; }
  bool is_sparse() const override { return true; }
  DataError no_rows() const override {
    return DataError(name_ + " has no rows; add at least one, such as \"1 3:0.5 7:2\"");
  }

 private:
  double label(std::string_view word, int64_t line) const {
    double value = 0.0;
    if (parse_finite(word, value)) return value;
    throw DataError::bad_value("the target", in_quotes(word), place(line),
                               "the first word of a line must be a finite number that a float32 "
                               "can hold. Write classes as numbers.");
  }

  /// A line without its comment and the blanks around it.
  static std::string_view content(std::string_view line) {
    return trimmed(line.substr(0, line.find('#')));
  }

  /// Cuts the next word off the front of `line`.
  static std::string_view token(std::string_view& line) {
    const size_t start = std::min(line.find_first_not_of(" \t"), line.size());
    const size_t end = std::min(line.find_first_of(" \t", start), line.size());
    const auto word = line.substr(start, end - start);
    line.remove_prefix(end);
    return word;
  }

  /// Reads "index:value" and returns the value; `index` becomes the feature's number from 0.
  double split(std::string_view word, int64_t line, int64_t& index) const {
    const size_t colon = std::min(word.find(':'), word.size());
    const auto end = std::from_chars(word.data(), word.data() + colon, index);
    double value = 0.0;
    if (colon == word.size() || end.ec != std::errc() || end.ptr != word.data() + colon ||
        !parse_finite(word.substr(colon + 1), value)) {
      fail(word, line,
           "; a feature must be index:value, such as 3:0.5, with a finite value that a float32 can "
           "hold");
    }
    if (index < base_) fail_below(word, line);
    index -= base_;
    const int64_t most = num_features_ > 0 ? num_features_ : kMostFeatures;
    if (index >= most) fail_above(word, line, most);
    return value;
  }

  /// Where a line is, as messages say it: "a.svm, line 2".
  std::string place(int64_t line) const { return name_ + ", line " + std::to_string(line); }

  /// Throws the DataError for a word that isn't a feature, or not one that may stand there.
  [[noreturn]] void fail(std::string_view word, int64_t line, const std::string& problem) const {
    throw DataError(place(line) + ": found " + in_quotes(word) + problem);
  }
  [[noreturn]] void fail_below(std::string_view word, int64_t line) const {
    fail(word, line,
         base_ == 0 ? "; an index must be at least 0, because zero_based is true"
                    : "; an index must be at least 1. If the file numbers features from 0, set "
                      "zero_based = true.");
  }
  [[noreturn]] void fail_above(std::string_view word, int64_t line, int64_t most) const {
    const std::string highest = std::to_string(most - 1 + base_);
    const std::string features = counted(most, "feature");
    fail(word, line,
         num_features_ > 0 ? ", but rows have " + features + ", so an index is at most " + highest +
                                 "; set num_features to the number of features in all files"
                           : ", but rows have at most " + features + ", so an index is at most " +
                                 highest + "; correct the index");
  }
  /// For indices from 0: `index` doesn't rise above the one before it, or is too high for a width
  /// that the last indices of all lines gave, so that a lower one follows.
  [[noreturn]] void fail_order(std::string_view word, int64_t line, int64_t index,
                               int64_t before) const {
    const std::string order = index <= before ? " after index " + std::to_string(before + base_)
                                              : " before a lower index";
    fail(word, line, order + "; indices must rise along a line. Sort the features of each line.");
  }

  std::string name_;
  int64_t num_features_;
  int64_t base_;
};

}  // namespace

std::shared_ptr<TextShard> open_csv(MappedFile file, const ShardOptions& options) {
  const CsvOptions csv = {.header = options.header,
                          .target_column = options.target_column,
                          .like = options.like,
                          .ignore_extra_columns = options.ignore_extra_columns,
                          .target_optional = options.target_optional,
                          .skip_target = options.skip_target};
  auto format = std::make_unique<CsvLines>(file.name(), file.text(), csv);
  return std::make_shared<TextShard>(std::move(file), std::move(format), options);
}

std::shared_ptr<TextShard> open_libsvm(MappedFile file, const ShardOptions& options) {
  auto format =
      std::make_unique<LibsvmLines>(file.name(), options.num_features, options.zero_based);
  return std::make_shared<TextShard>(std::move(file), std::move(format), options);
}

}  // namespace levin::readers
