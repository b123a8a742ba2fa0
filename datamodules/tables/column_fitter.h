#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <levin/datamodules/tables/fitted_table.h>
#include <levin/datamodules/tables/median_finder.h>
#include <levin/datamodules/tables/number_sums.h>
#include <levin/datamodules/tables/settings.h>
#include <levin/datamodules/tables/text_table.h>

namespace levin::tables {

/// What a TableFitter needs to know of a column.
struct ColumnTask {
  ChosenColumn chosen = {};
  /// How messages call the file and the column.
  std::string file = {};
  std::string name = {};
  /// The most distinct texts or numbers that may be kept in memory.
  size_t most_kept = 0;
};

/// Finds out how one column becomes features, for TableFitter: whether it is a number or a
/// category, and what is needed of either. Errors are thrown at the end, those of the first row
/// before others.
class ColumnFitter {
 public:
  ColumnFitter(ColumnTask task, const TableSettings& settings);

  /// Looks at the cell of a row. The same rows must be given in every pass.
  void add(const TextTable& table, int64_t row, bool is_missing);
  /// Ends a pass; returns whether another one is needed.
  bool end_pass();
  /// Throws DataError, with file, line and column, for cells that can't be used, DataError if all
  /// cells are missing and for more distinct ones than may be kept, ConfigError for a rule that
  /// doesn't suit the column. A note says if a category looks like a key.
  FittedColumn finish(std::vector<std::string>& notes);

 private:
  enum class Pass { first, texts, median };
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  using TextCounts = std::unordered_map<std::string, int64_t, TextHash, std::equal_to<>>;

  void look_at(const TextTable& table, int64_t row, std::string_view cell);
  void add_number(double number);
  void count_text(std::string_view cell);
  bool is_number() const;
  bool is_mixed() const;
  int64_t rows() const { return gaps_ + numbers_ + texts_; }
  void require_rule(bool suits, const char* holds, const char* rules) const;
  void finish_number(FittedColumn& column);
  void standardize(FittedColumn& column);
  double filling() const;
  void finish_texts(FittedColumn& column, std::vector<std::string>& notes);
  void note_key(size_t texts, std::vector<std::string>& notes) const;
  [[noreturn]] void fail_empty() const;
  [[noreturn]] void fail_many(const char* what, const std::string& remedy) const;
  [[noreturn]] void fail_large() const;
  [[noreturn]] void fail_rare() const;

  ColumnTask task_;
  const TableSettings& settings_;
  Pass pass_ = Pass::first;
  int64_t gaps_ = 0;
  int64_t numbers_ = 0;
  int64_t texts_ = 0;
  std::optional<FoundCell> first_gap_;
  std::optional<FoundCell> first_text_;
  NumberSums sums_;
  MedianFinder median_;
  std::unordered_map<double, int64_t> number_counts_;
  TextCounts text_counts_;
  bool are_numbers_dropped_ = false;  // there are more than may be kept
  bool are_texts_dropped_ = false;
};

}  // namespace levin::tables
