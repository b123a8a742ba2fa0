#include <levin/datamodules/readers/sparse_libsvm.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include <levin/datamodules/readers/digit_run.h>
#include <levin/datamodules/readers/libsvm_words.h>
#include <levin/datamodules/readers/sparse_text.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

bool is_blank_char(char c) { return c == ' ' || c == '\t'; }

/// Whether a word ends at `at`.
bool ends_word(const char* at, const char* end) {
  return at == end || is_blank_char(*at) || *at == '#';
}

/// The bytes that the fast way to read a feature touches at most: an index of 7 digits, a colon, a
/// sign, 7 digits, a point and 8 digits, and what follows.
constexpr std::ptrdiff_t kFastRoom = 32;

/// Reads a number of up to seven digits and up to eight behind a point, with or without a sign, as
/// most values are. Both the digits and the power of ten are exact, so that the quotient is rounded
/// correctly, as by parse_number. kFastRoom - 8 bytes must be readable. Returns false, and leaves
/// `at` where it was, for any other text.
bool read_short_value(const char*& at, const char* end, float& value) {
  constexpr double kPowers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
  const char* p = at;
  const bool negative = *p == '-';
  if (negative) ++p;
  DigitRun whole;
  if (p[0] == '0' && p[1] == '.') {  // known without waiting for the number of digits
    whole.count = 1;
  } else {
    whole = digit_run(p);
    if (whole.count == 8) return false;
  }
  p += whole.count;
  DigitRun fraction;
  if (*p == '.') {
    fraction = digit_run(++p);
    p += fraction.count;
  }
  if (whole.count + fraction.count == 0 || !ends_word(p, end)) return false;
  const double power = kPowers[fraction.count];
  const double magnitude = (whole.number * power + fraction.number) / power;
  value = static_cast<float>(negative ? -magnitude : magnitude);
  at = p;
  return true;
}

/// Writes the entries of a line behind those of `rows`, with room for all of them made at once.
class LineEntries {
 public:
  LineEntries(SparseRows& rows, size_t most)
      : rows_(rows),
        first_(rows.indices.size()),
        most_(most),
        columns_(rows.indices.grow_by(most)) {
    if (!rows.values.empty()) values_ = rows.values.grow_by(most);
  }

  void add(int32_t column, float value) {
    if (value != 1.0F && values_ == nullptr) store_values();
    if (values_ != nullptr) values_[count_] = value;
    columns_[count_++] = column;
  }
  /// Gives back the room that wasn't needed.
  void finish() {
    rows_.indices.cut(first_ + count_);
    if (values_ != nullptr) rows_.values.cut(first_ + count_);
  }

 private:
  /// Stores the values from here on, and those before, which are all 1.
  void store_values() {
    rows_.values.append_copies(first_ + count_, 1.0F);
    rows_.values.grow_by(most_);
    values_ = rows_.values.data() + first_;
  }

  SparseRows& rows_;
  size_t first_;
  size_t most_;
  size_t count_ = 0;
  int32_t* columns_;
  float* values_ = nullptr;
};

/// The lines of a file. Indices are stored as if they were counted from 1, unless they are known to
/// be counted from 0.
class SparseLibsvmLines : public SparseFormat {
 public:
  SparseLibsvmLines(LibsvmWords words, const SparseLibsvmOptions& options)
      : words_(std::move(words)),
        options_(options),
        lowest_(words_.base()),
        highest_(words_.highest()),
        shift_(words_.rules().zero_based.value_or(false) ? 0 : 1) {}

  void parse(std::string_view text, int64_t first_line, ParsedRows& parsed) const override {
    const char* const readable = text.data() + text.size();
    for_each_line(text, first_line, parsed, [&](std::string_view line, int64_t number) {
      parse_line(line, readable, number, parsed);
    });
  }

 private:
  /// A feature as the text has it.
  struct Entry {
    std::string_view word = {};
    int64_t index = 0;
    float value = 0.0F;
  };

  /// Bytes up to `readable`, which lies behind the line, may be read but don't count.
  void parse_line(std::string_view line, const char* readable, int64_t number,
                  ParsedRows& parsed) const {
    const char* at = line.data();
    const char* const end = at + line.size();
    const auto label = next_word(at, end);
    if (label.empty()) return;
    const double target = words_.label(label, number);
    parsed.summary.add_target(target, number);
    parsed.rows.targets.push_back(static_cast<float>(target));
    read_qid(at, end, number, parsed.rows);
    const size_t first = parsed.rows.indices.size();
    const bool rises = read_entries(at, end, readable, number, parsed);
    if (!rises && !parsed.rows.sort_from(first)) {
      words_.fail(line.substr(0, 60), number,
                  "; values of the same index have a sum that a float32 can't hold. Correct them.");
    }
    parsed.rows.end_row();
  }

  /// Reads the features of a line. Returns whether their indices rise, which they must unless they
  /// may be sorted.
  bool read_entries(const char* at, const char* end, const char* readable, int64_t number,
                    ParsedRows& parsed) const {
    // A feature takes at least three characters, and a blank behind it.
    LineEntries entries(parsed.rows, static_cast<size_t>(end - at) / 4 + 1);
    int64_t before = lowest_ - 1;
    bool rises = true;
    for (Entry entry;;) {
      at = read_plain_entries(at, end, readable, before, entries, parsed);
      if (!next_entry(at, end, number, entry)) break;
      if (entry.index <= before) {
        check_order(entry, before, number);
        rises = false;
      }
      before = entry.index;
      parsed.lowest = std::min(parsed.lowest, before);
      parsed.highest = std::max(parsed.highest, before);
      entries.add(static_cast<int32_t>(before - shift_), entry.value);
    }
    entries.finish();
    return rises;
  }

  /// Throws the error for an index that isn't above the one before it, unless it may be sorted.
  void check_order(const Entry& entry, int64_t before, int64_t line) const {
    if (options_.sort_indices) return;
    words_.fail_order(entry.word, line, entry.index - words_.base(), before - words_.base());
  }

  /// The next word, without a comment behind it; empty at the end of the line.
  static std::string_view next_word(const char*& at, const char* end) {
    while (at != end && is_blank_char(*at)) ++at;
    const char* const start = at;
    while (!ends_word(at, end)) ++at;
    return {start, static_cast<size_t>(at - start)};
  }

  void read_qid(const char*& at, const char* end, int64_t line, SparseRows& rows) const {
    const char* behind = at;
    const auto word = next_word(behind, end);
    const bool is_qid = word.starts_with("qid:");
    if (is_qid) at = behind;
    if (is_qid && !options_.keep_qids) return;
    if (is_qid) rows.qids.push_back(words_.qid(word, line));
    if (!is_qid && options_.keep_qids) {
      words_.fail(word, line,
                  " behind the label; with keep_qids, it must be the number of the query, such as "
                  "qid:3, in every line");
    }
  }

  /// Reads features as long as they are written as most are and their indices rise above `before`,
  /// which becomes the last one. Returns where the first other text or the end of the line is.
  const char* read_plain_entries(const char* at, const char* end, const char* readable,
                                 int64_t& before, LineEntries& entries, ParsedRows& parsed) const {
    int64_t last = before, first = -1;
    while (readable - at >= kFastRoom) {
      const char* p = *at == ' ' ? at + 1 : at;
      const DigitRun index = digit_run(p);
      p += index.count;
      if (index.count == 0 || index.count == 8 || *p != ':') break;
      if (index.number <= last || index.number > highest_) break;
      ++p;
      float value = 1.0F;
      if (p[0] == '1' && p[1] == ' ') {
        ++p;
      } else if (!read_short_value(p, end, value)) {
        break;
      }
      last = index.number;
      if (first < 0) first = last;
      entries.add(static_cast<int32_t>(last - shift_), value);
      at = p;
    }
    if (first < 0) return at;
    before = last;
    parsed.lowest = std::min(parsed.lowest, first);
    parsed.highest = std::max(parsed.highest, last);
    return at;
  }

  /// Reads the next feature, whatever way it is written; returns false at the end of the line.
  /// LibsvmWords finds the fault if there is one.
  bool next_entry(const char*& at, const char* end, int64_t line, Entry& entry) const {
    while (at != end && is_blank_char(*at)) ++at;
    if (at == end || *at == '#') return false;
    entry.word = next_word(at, end);
    int64_t index = 0;
    entry.value = static_cast<float>(words_.split(entry.word, line, index));
    entry.index = index + words_.base();
    return true;
  }

  LibsvmWords words_;
  const SparseLibsvmOptions& options_;
  int64_t lowest_;
  int64_t highest_;
  int64_t shift_;
};

LibsvmWords words_of(std::string name, const SparseLibsvmOptions& options) {
  return LibsvmWords({.name = std::move(name),
                      .num_features = options.num_features,
                      .most_features = SparseRows::kMostColumns,
                      .zero_based = options.zero_based,
                      .order_remedy = "Sort the features of each line, or set sort_indices = true "
                                      "to sort them and to add values of the same index."});
}

ParsedRows parse_libsvm_files(const std::vector<std::filesystem::path>& files,
                              const SparseLibsvmOptions& options) {
  return parse_files(files, options.threads, options.while_reading,
                     [&options](const std::string& name) -> std::unique_ptr<SparseFormat> {
                       return std::make_unique<SparseLibsvmLines>(words_of(name, options), options);
                     });
}

void check_sparse_options(const SparseLibsvmOptions& options) {
  check_threads(options.threads);
  if (options.num_features >= 0 && options.num_features <= SparseRows::kMostColumns) return;
  throw ConfigError::invalid_value("num_features", std::to_string(options.num_features),
                                   "must be from 0 to " + std::to_string(SparseRows::kMostColumns));
}

}  // namespace

SparseRows read_sparse_libsvm(const std::vector<std::filesystem::path>& files,
                              const SparseLibsvmOptions& options) {
  check_sparse_options(options);
  ParsedRows parsed = parse_libsvm_files(files, options);
  bool zero_based = options.zero_based.value_or(parsed.lowest == 0);
  if (!options.zero_based && zero_based) {
    SparseLibsvmOptions known = options;
    known.zero_based = true;
    const LibsvmWords words = words_of(files.front().string(), known);
    // The highest index was allowed only as long as indices could be counted from 1.
    if (parsed.highest > words.highest()) {
      parsed = parse_libsvm_files(files, known);  // throws, unless the files were changed meanwhile
    } else {
      for (auto& index : parsed.rows.indices.span()) ++index;
    }
  }
  if (!options.keep_signs) parsed.settle_signs();
  if (options.found_zero_based != nullptr) *options.found_zero_based = zero_based;
  SparseRows rows = std::move(parsed.rows);
  const LibsvmWords words = words_of(files.front().string(), options);
  rows.columns = words.width(parsed.highest - (zero_based ? 0 : 1));
  rows.shrink();
  return rows;
}

std::unique_ptr<SparseFormat> sparse_libsvm_format(const std::string& name,
                                                   const SparseLibsvmOptions& options) {
  check_sparse_options(options);
  return std::make_unique<SparseLibsvmLines>(words_of(name, options), options);
}

}  // namespace levin::readers
