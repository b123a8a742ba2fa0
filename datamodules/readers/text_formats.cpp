#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/text.h>
#include <levin/datamodules/readers/text_shard.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

std::string place(const std::string& file, int64_t line, size_t column) {
  return file + ", line " + std::to_string(line) + ", column " + std::to_string(column + 1);
}

/// False for what is no number, or none that a float32 can hold.
bool parse_finite(std::string_view text, double& value) {
  return parse_number(text, value) && std::abs(value) <= std::numeric_limits<float>::max();
}

double required_number(std::string_view text, const std::string& file, int64_t line,
                       size_t column) {
  double value = 0.0;
  if (parse_finite(text, value)) return value;
  throw DataError::bad_value("a cell", in_quotes(text), place(file, line, column),
                             "every cell must be a finite float32 number, without quotes");
}

/// Calls `each(cell, place)` for the cells of a line.
template <class Each>
size_t for_each_cell(std::string_view line, char delimiter, const Each& each) {
  size_t count = 0;
  for (size_t at = 0;; ++count) {
    const size_t end = std::min(line.find(delimiter, at), line.size());
    each(line.substr(at, end - at), count);
    if (end == line.size()) return count + 1;
    at = end + 1;
  }
}

class CsvLines : public LineFormat {
 public:
  CsvLines(std::string name, std::string target_column)
      : name_(std::move(name)), wanted_(std::move(target_column)) {}

  size_t begin(std::string_view text) override {
    const size_t mark = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
    const size_t end = std::min(text.find('\n', mark), text.size());
    auto first = text.substr(mark, end - mark);
    if (first.ends_with('\r')) first.remove_suffix(1);
    if (first.empty()) throw DataError::empty(name_, "its first line is needed");
    delimiter_ = detect_delimiter(first);
    std::vector<std::string> names;
    bool is_header = true;
    cells_ = for_each_cell(first, delimiter_, [&](std::string_view cell, size_t) {
      double ignored = 0.0;
      is_header = is_header && !parse_number(cell, ignored);
      cell = trimmed(cell);
      if (cell.size() > 1 && cell.front() == '"' && cell.back() == '"') {
        cell = cell.substr(1, cell.size() - 2);
      }
      names.emplace_back(cell);
    });
    find_target(is_header ? names : std::vector<std::string>());
    return is_header ? std::min(end + 1, text.size()) : mark;
  }

  bool is_blank(std::string_view line) const override { return line.empty(); }

  void scan(std::string_view line, int64_t number, Summary& summary) const override {
    std::string_view target;
    const size_t count = for_each_cell(line, delimiter_, [&](std::string_view cell, size_t i) {
      if (i == target_) target = cell;
    });
    check_width(count, number);
    if (target_) summary.add_target(required_number(target, name_, number, *target_), number);
  }

  void parse(std::string_view line, int64_t number, std::span<float> features,
             double& target) const override {
    size_t written = 0;
    const size_t count = for_each_cell(line, delimiter_, [&](std::string_view cell, size_t i) {
      const double value = required_number(cell, name_, number, i);
      if (i == target_) {
        target = value;
      } else if (written < features.size()) {
        features[written++] = static_cast<float>(value);
      }
    });
    check_width(count, number);
  }

  int64_t width(const Summary&) const override {
    return static_cast<int64_t>(cells_) - (target_ ? 1 : 0);
  }
  bool has_target() const override { return target_.has_value(); }
  bool is_sparse() const override { return false; }

 private:
  void check_width(size_t count, int64_t line) const {
    if (count == cells_) return;
    throw DataError::corrupt(name_, "line " + std::to_string(line) + " has " +
                                        std::to_string(count) + " cells, but the first line has " +
                                        std::to_string(cells_));
  }

  void find_target(const std::vector<std::string>& names) {
    if (wanted_ == "none") return;
    const auto found = std::find(names.begin(), names.end(), wanted_);
    int64_t at = found - names.begin();
    if (found == names.end()) {
      const auto end = std::from_chars(wanted_.data(), wanted_.data() + wanted_.size(), at);
      const auto cells = static_cast<int64_t>(cells_);
      if (end.ec != std::errc() || end.ptr != wanted_.data() + wanted_.size() || at >= cells ||
          at < -cells) {
        throw DataError::bad_value("the target column", in_quotes(wanted_), name_,
                                   "the file has " + std::to_string(cells_) + " columns" +
                                       (names.empty() ? " without names" : ""));
      }
      if (at < 0) at += cells;
    }
    target_ = static_cast<size_t>(at);
    if (cells_ < 2) throw DataError::empty(name_, "besides its target it has no column");
  }

  std::string name_;
  std::string wanted_;
  char delimiter_ = ',';
  size_t cells_ = 0;
  std::optional<size_t> target_;
};

class LibsvmLines : public LineFormat {
 public:
  LibsvmLines(std::string name, int64_t num_features, bool zero_based)
      : name_(std::move(name)), num_features_(num_features), base_(zero_based ? 0 : 1) {}

  size_t begin(std::string_view text) override {
    return text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  }
  bool is_blank(std::string_view line) const override { return content(line).empty(); }

  void scan(std::string_view line, int64_t number, Summary& summary) const override {
    line = content(line);
    summary.add_target(required_number(token(line), name_, number, 0), number);
    // Indices rise: the last one of a line is its highest.
    const size_t colon = line.rfind(':');
    if (colon == line.npos) return;
    const size_t start = line.find_last_of(" \t", colon);
    const auto last = line.substr(start == line.npos ? 0 : start + 1);
    int64_t index = 0;
    split(last, number, index);
    summary.highest_feature = std::max(summary.highest_feature, index);
  }

  void parse(std::string_view line, int64_t number, std::span<float> features,
             double& target) const override {
    line = content(line);
    target = required_number(token(line), name_, number, 0);
    std::fill(features.begin(), features.end(), 0.0F);
    int64_t before = -1;
    for (auto word = token(line); !word.empty(); word = token(line)) {
      int64_t index = 0;
      const double value = split(word, number, index);
      if (index <= before || static_cast<size_t>(index) >= features.size()) {
        fail(word, number, "indices must rise along a line");
      }
      before = index;
      features[static_cast<size_t>(index)] = static_cast<float>(value);
    }
  }

  int64_t width(const Summary& summary) const override {
    if (num_features_ > 0) return num_features_;
    if (summary.highest_feature >= 0) return summary.highest_feature + 1;
    throw DataError::empty(name_, "no row has a feature; set num_features");
  }
  bool has_target() const override { return true; }
  bool is_sparse() const override { return true; }

 private:
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

  /// Takes "index:value" apart; `index` from 0.
  double split(std::string_view word, int64_t line, int64_t& index) const {
    const size_t colon = std::min(word.find(':'), word.size());
    const auto end = std::from_chars(word.data(), word.data() + colon, index);
    double value = 0.0;
    if (colon == word.size() || end.ec != std::errc() || end.ptr != word.data() + colon ||
        !parse_finite(word.substr(colon + 1), value)) {
      fail(word, line, "it must be index:value, a whole number and a finite one");
    }
    if (index < base_)
      fail(word, line, "features are numbered from 1; set zero_based = true for 0");
    index -= base_;
    const int64_t most = num_features_ > 0 ? num_features_ : kMostFeatures;
    if (index >= most) {
      fail(word, line,
           num_features_ > 0 ? "num_features = " + std::to_string(most)
                             : "there may be " + std::to_string(most) + " features");
    }
    return value;
  }

  [[noreturn]] void fail(std::string_view word, int64_t line, const std::string& hint) const {
    throw DataError::bad_value("a feature", in_quotes(word),
                               name_ + ", line " + std::to_string(line), hint);
  }

  std::string name_;
  int64_t num_features_;
  int64_t base_;
};

}  // namespace

std::shared_ptr<TextShard> open_csv(MappedFile file, const ShardOptions& options) {
  auto format = std::make_unique<CsvLines>(file.name(), options.target_column);
  return std::make_shared<TextShard>(std::move(file), std::move(format), options);
}

std::shared_ptr<TextShard> open_libsvm(MappedFile file, const ShardOptions& options) {
  auto format =
      std::make_unique<LibsvmLines>(file.name(), options.num_features, options.zero_based);
  return std::make_shared<TextShard>(std::move(file), std::move(format), options);
}

}  // namespace levin::readers
