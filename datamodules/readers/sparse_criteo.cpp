#include <levin/datamodules/readers/sparse_criteo.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/murmur_hash.h>
#include <levin/datamodules/readers/sparse_text.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

constexpr size_t kCriteoNumbers = 13;
constexpr size_t kCriteoFeatures = 39;

class CriteoLines : public SparseFormat {
 public:
  CriteoLines(std::string name, const SparseCriteoOptions& options)
      : name_(std::move(name)), labels_(options.skip_targets ? 0 : 1), hash_(options.bits) {}

  void parse(std::string_view text, int64_t first_line, ParsedRows& parsed) const override {
    std::array<std::string_view, kCriteoFeatures + 1> cells;
    std::string token;
    for_each_line(text, first_line, parsed, [&](std::string_view line, int64_t number) {
      if (line.empty()) return;
      split_cells(line, number, cells);
      if (labels_ == 1) parsed.rows.targets.push_back(label(cells[0], number));
      SparseRows& rows = parsed.rows;
      const size_t first = rows.indices.size();
      for (size_t i = 0; i < kCriteoFeatures; ++i) {
        const auto cell = cells[i + labels_];
        if (i < kCriteoNumbers) {
          number_token(cell, i, number, token);
        } else {
          token = "C" + std::to_string(i - kCriteoNumbers + 1) + "-";
          token += cell;
        }
        rows.add(hash_.column(murmur_hash(token)), 1.0F);
      }
      rows.sort_from(first);
      rows.end_row();
    });
  }

 private:
  std::string place(int64_t line) const { return name_ + ", line " + std::to_string(line); }

  void split_cells(std::string_view line, int64_t number,
                   std::array<std::string_view, kCriteoFeatures + 1>& cells) const {
    const size_t wanted = kCriteoFeatures + labels_;
    const auto found = static_cast<size_t>(std::count(line.begin(), line.end(), '\t')) + 1;
    if (found != wanted) {
      throw DataError(place(number) + ": found " + counted(found, "cell") +
                      ", but a line must have " + std::to_string(wanted) +
                      " with tabs between them" +
                      (found + labels_ == wanted ? "; if the lines have no label, set "
                                                   "skip_targets = true"
                                                 : "; correct the line"));
    }
    for (size_t i = 0; i < wanted; ++i) {
      const size_t end = std::min(line.find('\t'), line.size());
      cells[i] = line.substr(0, end);
      line.remove_prefix(std::min(end + 1, line.size()));
    }
  }

  float label(std::string_view cell, int64_t line) const {
    if (cell == "0" || cell == "1") return cell == "1" ? 1.0F : 0.0F;
    throw DataError::bad_value("the label", in_quotes(cell), place(line),
                               "it must be 0 or 1. Correct it.");
  }

  void number_token(std::string_view cell, size_t feature, int64_t line, std::string& token) const {
    token = "I" + std::to_string(feature + 1) + "-";
    if (cell.empty()) return;
    int64_t value = 0;
    const auto end = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (end.ec != std::errc() || end.ptr != cell.data() + cell.size()) {
      throw DataError::bad_value("number " + std::to_string(feature + 1) + " of 13",
                                 in_quotes(cell), place(line),
                                 "it must be a whole number, or empty if it is missing.");
    }
    if (value <= 2) {
      token += "SP";
    } else {
      const double log = std::log(static_cast<double>(value));
      value = static_cast<int64_t>(std::floor(log * log));
    }
    token += std::to_string(value);
  }

  std::string name_;
  size_t labels_;
  FeatureHash hash_;
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
