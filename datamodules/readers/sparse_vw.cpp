#include <levin/datamodules/readers/sparse_vw.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string_view>
#include <utility>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/digit_run.h>
#include <levin/datamodules/readers/libsvm_words.h>
#include <levin/datamodules/readers/murmur_hash.h>
#include <levin/datamodules/readers/sparse_text.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

/// A feature of the row that is being read.
struct VwFeature {
  /// The first letter of its namespace; a space for the default namespace.
  char space = ' ';
  uint32_t hash = 0;
  float value = 0.0F;
};

/// The words in front of the first bar.
struct VwLabel {
  std::string_view label = {};
  std::string_view weight = {};
};

class VwLines : public SparseFormat {
 public:
  VwLines(std::string name, const SparseVwOptions& options)
      : name_(std::move(name)),
        options_(options),
        hash_(options.bits, options.hash_seed, options.hash_all),
        hash_all_(options.hash_all) {}

  void parse(std::string_view text, int64_t first_line, ParsedRows& parsed) const override {
    const char* const readable = text.data() + text.size();
    std::vector<VwFeature> features;
    for_each_line(text, first_line, parsed, [&](std::string_view line, int64_t number) {
      if (trimmed(line).empty()) return;
      const size_t bar = line.find('|');
      if (bar == line.npos) {
        fail(line, number, "; there is no '|', which stands before the features. Add one.");
      }
      read_label(line.substr(0, bar), number, parsed);
      features.clear();
      for (auto rest = line.substr(bar); !rest.empty();) {
        rest.remove_prefix(1);
        const auto space = rest.substr(0, rest.find('|'));
        rest.remove_prefix(space.size());
        read_space(space, readable, number, features);
      }
      add_row(features, number, parsed.rows);
    });
  }

 private:
  [[noreturn]] void fail(std::string_view word, int64_t line, const std::string& problem) const {
    throw DataError(name_ + ", line " + std::to_string(line) + ": found " + in_quotes(word) +
                    problem);
  }

  [[noreturn]] void fail_values(int64_t line, const char* what) const {
    throw DataError(name_ + ", line " + std::to_string(line) + ": " + what +
                    " is above what a float32 can hold; make the values smaller");
  }

  float number(std::string_view word, int64_t line, const char* what) const {
    double value = 0.0;
    if (parse_number(word, value) && std::abs(value) <= std::numeric_limits<float>::max()) {
      return static_cast<float>(value);
    }
    fail(
        word, line,
        std::string("; ") + what + " must be a finite number that a float32 can hold. Correct it.");
  }

  /// Divides what is in front of the first bar.
  VwLabel split_label(std::string_view text, int64_t line) const {
    if (text.find('\t') != text.npos) {
      fail(text, line,
           " with a tab before the bar, for which Vowpal Wabbit ignores the label; write spaces");
    }
    // A label, its importance, its base and a tag; more are as wrong as four numbers.
    std::array<std::string_view, 5> words = {};
    size_t count = 0;
    const bool touches_bar = !text.empty() && text.back() != ' ';
    for (auto word = LibsvmWords::token(text); !word.empty(); word = LibsvmWords::token(text)) {
      words[std::min(count++, words.size() - 1)] = word;
    }
    count = std::min(count, words.size());
    const bool has_tag = count > 0 && (touches_bar || words[count - 1].front() == '\'');
    double value = 0.0;
    if (has_tag && count == 1 && parse_number(words[0], value)) {
      fail(words[0], line,
           " touching the bar, so that Vowpal Wabbit takes it for a tag and not for the label; "
           "write a space before the bar");
    }
    if (has_tag) words[--count] = {};
    if (count > 2 && (count > 3 || number(words[2], line, "the base") != 0.0F)) {
      fail(words[2], line,
           " behind the label and its importance; a base other than 0 isn't read. Leave it out.");
    }
    return {words[0], words[1]};
  }

  void read_label(std::string_view text, int64_t line, ParsedRows& parsed) const {
    const VwLabel words = split_label(text, line);
    if (!options_.skip_targets) {
      if (words.label.empty()) {
        fail(text, line,
             " before the bar, which is no label; write one, or set skip_targets = true");
      }
      const float target = number(words.label, line, "the label");
      parsed.summary.add_target(target, line);
      parsed.rows.targets.push_back(target);
    }
    const float weight = words.weight.empty() ? 1.0F : number(words.weight, line, "the importance");
    if (weight < 0.0F) fail(words.weight, line, "; the importance must be at least 0");
    auto& weights = parsed.rows.weights;
    if (weight != 1.0F && weights.empty()) {
      weights.append_copies(static_cast<size_t>(parsed.rows.rows()), 1.0F);
    }
    if (weight != 1.0F || !weights.empty()) weights.push_back(weight);
  }

  /// Reads a namespace: what follows a bar up to the next one. Bytes up to `readable` may be read.
  void read_space(std::string_view text, const char* readable, int64_t line,
                  std::vector<VwFeature>& features) const {
    VwFeature feature;
    float scale = 1.0F;
    std::string_view name;
    if (!text.empty() && text.front() != ' ' && text.front() != '\t') {
      const auto word = LibsvmWords::token(text);
      name = word.substr(0, word.find(':'));
      if (name.size() < word.size()) {
        scale = number(word.substr(name.size() + 1), line, "the factor of a namespace");
      }
      if (name.empty()) fail(word, line, " behind a bar; a namespace must have a name");
      feature.space = name.front();
    }
    const uint32_t space = hash_.space(name);
    uint32_t unnamed = 0;
    feature.value = scale;
    for (;;) {
      if (!hash_all_ && scale != 0.0F) read_numbers(text, readable, space, feature, features);
      const auto word = next_word(text);
      if (word.empty()) return;
      read_feature(word, line, scale, space, unnamed, feature);
      if (feature.value != 0.0F) features.push_back(feature);
      feature.value = scale;
    }
  }

  /// Reads features as long as their names are numbers of up to seven digits and have no values.
  /// Like `feature` otherwise, they are added to `features`.
  static void read_numbers(std::string_view& text, const char* readable, uint32_t space,
                           VwFeature feature, std::vector<VwFeature>& features) {
    const char* at = text.data();
    const char* const end = at + text.size();
    while (readable - at >= 16 && at < end) {
      const char* p = *at == ' ' ? at + 1 : at;
      const DigitRun name = digit_run(p);
      p += name.count;
      if (name.count == 0 || name.count == 8 || (p < end && *p != ' ')) break;
      feature.hash = name.number + space;
      features.push_back(feature);
      at = p;
    }
    text.remove_prefix(static_cast<size_t>(at - text.data()));
  }

  /// Cuts the next word off the front of `text`; empty at its end.
  static std::string_view next_word(std::string_view& text) {
    const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
    size_t start = 0;
    while (start < text.size() && is_blank(text[start])) ++start;
    size_t end = start;
    while (end < text.size() && !is_blank(text[end])) ++end;
    const auto word = text.substr(start, end - start);
    text.remove_prefix(end);
    return word;
  }

  /// Sets hash and value of a feature. `unnamed` counts those without a name.
  void read_feature(std::string_view word, int64_t line, float scale, uint32_t space,
                    uint32_t& unnamed, VwFeature& feature) const {
    const size_t colon = word.find(':');
    const auto name = word.substr(0, colon);
    feature.value = scale;
    if (colon != word.npos) {
      const auto text = word.substr(colon + 1);
      if (is_text(text) && !name.empty()) {
        feature.value = 1.0F;
        feature.hash = hash_.feature(name, text, space);
        return;
      }
      feature.value = scale * number(text, line, "the value of a feature");
      if (!std::isfinite(feature.value)) {
        fail(word, line, "; its value times the factor of its namespace is too large. Correct it.");
      }
    }
    feature.hash = name.empty() ? space + unnamed++ : hash_.feature(name, space);
  }

  /// Whether a value is a text: it isn't empty, and doesn't begin as a number does.
  static bool is_text(std::string_view value) {
    double number = 0.0;
    return value.find_first_of("0123456789+-.") != 0 && !value.empty() &&
           !parse_number(value, number);
  }

  void add_row(const std::vector<VwFeature>& features, int64_t line, SparseRows& rows) const {
    const size_t first = rows.indices.size();
    bool rises = add_features(features, rows);
    if (options_.constant || !options_.quadratic.empty()) {
      if (options_.constant) rows.add(hash_.column(FeatureHash::kConstant), 1.0F);
      for (const auto& pair : options_.quadratic) add_products(features, pair, rows);
      const auto columns = rows.indices.span().subspan(first);
      rises = std::adjacent_find(columns.begin(), columns.end(), std::greater_equal<>()) ==
              columns.end();
    }
    if (!rises && !rows.sort_from(first)) {
      fail_values(line, "the sum of values that share a column");
    }
    if (!options_.quadratic.empty() && !rows.values.empty()) {
      const auto values = std::as_const(rows.values).span().subspan(first);
      if (!std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) {
        fail_values(line, "the product of two features");
      }
    }
    rows.end_row();
  }

  /// Adds the features to the row that is being added, and returns whether their columns rise.
  bool add_features(const std::vector<VwFeature>& features, SparseRows& rows) const {
    const size_t first = rows.indices.size();
    int32_t* const columns = rows.indices.grow_by(features.size());
    int32_t before = -1;
    bool rises = true;
    bool are_ones = true;
    for (size_t i = 0; i < features.size(); ++i) {
      const int32_t column = hash_.column(features[i].hash);
      rises = rises && column > before;
      are_ones = are_ones && features[i].value == 1.0F;
      columns[i] = before = column;
    }
    if (are_ones && rows.values.empty()) return rises;
    if (rows.values.empty()) rows.values.append_copies(first, 1.0F);
    float* const values = rows.values.grow_by(features.size());
    for (size_t i = 0; i < features.size(); ++i) values[i] = features[i].value;
    return rises;
  }

  void add_products(const std::vector<VwFeature>& features, const std::string& pair,
                    SparseRows& rows) const {
    for (size_t i = 0; i < features.size(); ++i) {
      if (features[i].space != pair[0]) continue;
      for (size_t j = pair[0] == pair[1] ? i : 0; j < features.size(); ++j) {
        if (features[j].space != pair[1]) continue;
        rows.add(hash_.column(FeatureHash::product(features[i].hash, features[j].hash)),
                 features[i].value * features[j].value);
      }
    }
  }

  std::string name_;
  const SparseVwOptions& options_;
  FeatureHash hash_;
  bool hash_all_;
};

void check_pairs(const std::vector<std::string>& pairs) {
  for (const auto& pair : pairs) {
    if (pair.size() != 2 || pair.find(':') != pair.npos) {
      throw ConfigError::invalid_value("quadratic", pair,
                                       "must be the first letters of two namespaces, such as ab");
    }
    const auto same = [&pair](const std::string& other) {
      return other == pair || (other[0] == pair[1] && other[1] == pair[0]);
    };
    if (std::count_if(pairs.begin(), pairs.end(), same) > 1) {
      throw ConfigError::conflict("quadratic names the namespaces of '" + pair + "' twice",
                                  "leave one of the pairs out");
    }
  }
}

}  // namespace

SparseRows read_sparse_vw(const std::vector<std::filesystem::path>& files,
                          const SparseVwOptions& options) {
  check_threads(options.threads);
  check_pairs(options.quadratic);
  const FeatureHash hash(options.bits);
  ParsedRows parsed =
      parse_files(files, options.threads, options.while_reading,
                  [&options](const std::string& name) -> std::unique_ptr<SparseFormat> {
                    return std::make_unique<VwLines>(name, options);
                  });
  if (!options.keep_signs) parsed.settle_signs();
  parsed.rows.columns = hash.columns();
  parsed.rows.shrink();
  return std::move(parsed.rows);
}

std::unique_ptr<SparseFormat> sparse_vw_format(const std::string& name,
                                               const SparseVwOptions& options) {
  check_pairs(options.quadratic);
  return std::make_unique<VwLines>(name, options);
}

}  // namespace levin::readers
