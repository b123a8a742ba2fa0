#include <levin/datamodules/readers/sparse_criteo.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/murmur_hash.h>
#include <levin/datamodules/readers/sparse_text.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>

namespace levin::readers {
namespace {

constexpr size_t kCriteoNumbers = 13;
constexpr size_t kCriteoFeatures = 39;

/// Calls found(place) for each `byte` in a text, eight bytes at a time.
template <class Found>
void for_each_byte(std::string_view text, char byte, const Found& found) {
  constexpr uint64_t kLow = 0x7F7F7F7F7F7F7F7FU;
  const uint64_t same = 0x0101010101010101U * static_cast<unsigned char>(byte);
  size_t at = 0;
  if constexpr (std::endian::native == std::endian::little) {
    for (uint64_t word = 0; at + sizeof(word) <= text.size(); at += sizeof(word)) {
      std::memcpy(&word, text.data() + at, sizeof(word));
      word ^= same;
      // The highest bit of each byte that is 0 now, and no other.
      for (uint64_t zeros = ~(((word & kLow) + kLow) | word | kLow); zeros != 0;
           zeros &= zeros - 1) {
        found(at + static_cast<size_t>(std::countr_zero(zeros)) / 8);
      }
    }
  }
  for (; at < text.size(); ++at) {
    if (text[at] == byte) found(at);
  }
}

/// What a number above 2 is replaced by.
int64_t square_of_log(int64_t value) {
  const double log = std::log(static_cast<double>(value));
  return static_cast<int64_t>(std::floor(log * log));
}

/// The hashes of the tokens that most numbers get.
class NumberHashes {
 public:
  NumberHashes() {
    for (size_t value = 3; value < kSmall; ++value) {
      squares_[value] = static_cast<int32_t>(square_of_log(static_cast<int64_t>(value)));
    }
    const auto hash = [](size_t feature, const std::string& text) {
      return murmur_hash("I" + std::to_string(feature + 1) + "-" + text);
    };
    for (size_t i = 0; i < kCriteoNumbers; ++i) {
      missing_[i] = hash(i, "");
      for (size_t k = 0; k < kSquares; ++k) hashes_[i][k] = hash(i, std::to_string(k));
      for (size_t k = 0; k < 3; ++k) lowest_[i][k] = hash(i, "SP" + std::to_string(k));
    }
  }
  uint32_t missing(size_t feature) const { return missing_[feature]; }
  /// The hash of feature `feature`, from 0, whose value is `value`.
  uint32_t of(size_t feature, int64_t value) const {
    if (value < 0) {
      return murmur_hash("I" + std::to_string(feature + 1) + "-SP" + std::to_string(value));
    }
    const auto v = static_cast<size_t>(value);
    if (v < 3) return lowest_[feature][v];
    return hashes_[feature][v < kSmall ? static_cast<size_t>(squares_[v])
                                       : static_cast<size_t>(square_of_log(value))];
  }

 private:
  static constexpr size_t kSmall = 4096;
  // The logarithm of the largest int64_t is 43.668.
  static constexpr size_t kSquares = 1907 + 1;

  std::array<int32_t, kSmall> squares_ = {};
  std::array<uint32_t, kCriteoNumbers> missing_ = {};
  std::array<std::array<uint32_t, 3>, kCriteoNumbers> lowest_ = {};
  std::array<std::array<uint32_t, kSquares>, kCriteoNumbers> hashes_ = {};
};

const NumberHashes& number_hashes() {
  static const auto hashes = std::make_unique<NumberHashes>();
  return *hashes;
}

/// Builds the tokens of categories, "C5-" and the cell.
class CategoryTokens {
 public:
  CategoryTokens() {
    for (size_t i = 0; i < prefixes_.size(); ++i) {
      prefixes_[i] = "C" + std::to_string(i + 1) + "-";
    }
  }
  uint32_t hash(size_t category, std::string_view cell) {
    const std::string& prefix = prefixes_[category];
    if (cell.size() != 8) return murmur_hash(token_.assign(prefix).append(cell));
    char token[16];  // most cells are eight characters, which are copied as one number
    std::memcpy(token, prefix.data(), 4);  // with the zero behind it, if it has only three
    std::memcpy(token + prefix.size(), cell.data(), 8);
    return murmur_hash({token, prefix.size() + 8});
  }

 private:
  std::array<std::string, kCriteoFeatures - kCriteoNumbers> prefixes_;
  std::string token_;
};

class CriteoLines : public SparseFormat {
 public:
  CriteoLines(std::string name, const SparseCriteoOptions& options)
      : name_(std::move(name)),
        labels_(options.skip_targets ? 0 : 1),
        hash_(options.bits),
        numbers_(number_hashes()) {}

  void parse(std::string_view text, int64_t first_line, ParsedRows& parsed) const override {
    Cells cells;
    CategoryTokens tokens;
    for_each_line(text, first_line, parsed, [&](std::string_view line, int64_t number) {
      if (line.empty()) return;
      split_cells(line, number, cells);
      SparseRows& rows = parsed.rows;
      if (labels_ == 1) rows.targets.push_back(label(cells[0], number));
      const size_t first = rows.indices.size();
      std::array<int32_t, kCriteoFeatures> columns;
      for (size_t i = 0; i < kCriteoFeatures; ++i) {
        const auto cell = cells[i + labels_];
        columns[i] = hash_.column(i < kCriteoNumbers ? number_hash(cell, i, number)
                                                     : tokens.hash(i - kCriteoNumbers, cell));
      }
      rows.indices.append(columns);
      if (!rows.values.empty()) rows.values.append_copies(kCriteoFeatures, 1.0F);
      rows.sort_from(first);
      rows.end_row();
    });
  }

 private:
  typedef std::array<std::string_view, kCriteoFeatures + 1> Cells;

  std::string place(int64_t line) const { return name_ + ", line " + std::to_string(line); }

  void split_cells(std::string_view line, int64_t number, Cells& cells) const {
    const size_t wanted = kCriteoFeatures + labels_;
    size_t found = 0, start = 0;
    const auto end_cell = [&](size_t end) {
      if (found < wanted) cells[found] = line.substr(start, end - start);
      ++found;
      start = end + 1;
    };
    for_each_byte(line, '\t', end_cell);
    end_cell(line.size());
    if (found == wanted) return;
    throw DataError(place(number) + ": found " + counted(found, "cell") +
                    ", but a line must have " + std::to_string(wanted) + " with tabs between them" +
                    (found + labels_ == wanted ? "; if the lines have no label, set "
                                                 "skip_targets = true"
                                               : "; correct the line"));
  }

  float label(std::string_view cell, int64_t line) const {
    if (cell == "0" || cell == "1") return cell == "1" ? 1.0F : 0.0F;
    throw DataError::bad_value("the label", in_quotes(cell), place(line),
                               "it must be 0 or 1. Correct it.");
  }

  uint32_t number_hash(std::string_view cell, size_t feature, int64_t line) const {
    if (cell.empty()) return numbers_.missing(feature);
    if (const auto value = number_in<int64_t>(cell)) return numbers_.of(feature, *value);
    throw DataError::bad_value("number " + std::to_string(feature + 1) + " of 13", in_quotes(cell),
                               place(line),
                               "it must be a whole number, or empty if it is missing.");
  }

  std::string name_;
  size_t labels_;
  FeatureHash hash_;
  const NumberHashes& numbers_;
};

}  // namespace

SparseRows read_sparse_criteo(const std::vector<std::filesystem::path>& files,
                              const SparseCriteoOptions& options) {
  check_threads(options.threads);
  const FeatureHash hash(options.bits);
  ParsedRows parsed =
      parse_files(files, options.threads, options.while_reading,
                  [&options](const std::string& name) -> std::unique_ptr<SparseFormat> {
                    return std::make_unique<CriteoLines>(name, options);
                  });
  parsed.rows.columns = hash.columns();
  parsed.rows.shrink();
  return std::move(parsed.rows);
}

std::unique_ptr<SparseFormat> sparse_criteo_format(const std::string& name,
                                                   const SparseCriteoOptions& options) {
  return std::make_unique<CriteoLines>(name, options);
}

}  // namespace levin::readers
