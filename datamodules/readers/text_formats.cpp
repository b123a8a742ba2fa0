#include <algorithm>
#include <optional>

#include <levin/datamodules/readers/csv_format.h>
#include <levin/datamodules/readers/libsvm_words.h>
#include <levin/datamodules/readers/text.h>
#include <levin/datamodules/readers/text_shard.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

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
      : words_({std::move(name), num_features, kMostFeatures, zero_based}) {}

  Start start(std::string_view text) const override {
    return {text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0, 1};
  }
  bool is_blank(const TextRecord& record) const override {
    return LibsvmWords::content(record.text).empty();
  }

  void scan(const TextRecord& record, int64_t number, Summary& summary) const override {
    auto line = LibsvmWords::content(record.text);
    summary.add_target(words_.label(LibsvmWords::token(line), number), number);
    // Indices rise: the last one of a line is its highest.
    const size_t colon = line.rfind(':');
    if (colon == line.npos) return;
    const size_t start = line.find_last_of(" \t", colon);
    const auto last = line.substr(start == line.npos ? 0 : start + 1);
    int64_t index = 0;
    words_.split(last, number, index);
    summary.highest_feature = std::max(summary.highest_feature, index);
  }

  void parse(const TextRecord& record, int64_t number, std::span<float> features,
             double& target) const override {
    auto line = LibsvmWords::content(record.text);
    target = words_.label(LibsvmWords::token(line), number);
    std::fill(features.begin(), features.end(), 0.0F);
    int64_t before = -1;
    for (auto word = LibsvmWords::token(line); !word.empty(); word = LibsvmWords::token(line)) {
      int64_t index = 0;
      const double value = words_.split(word, number, index);
      if (index <= before || static_cast<size_t>(index) >= features.size()) {
        words_.fail_order(word, number, index, before);
      }
      before = index;
      features[static_cast<size_t>(index)] = static_cast<float>(value);
    }
  }

  int64_t width(const Summary& summary) const override {
    return words_.width(summary.highest_feature);
  }
  bool has_target() const override { return true; }
  bool is_sparse() const override { return true; }
  DataError no_rows() const override { return words_.no_rows(); }

 private:
  LibsvmWords words_;
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
