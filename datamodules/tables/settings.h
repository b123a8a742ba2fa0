#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/target_type.h>

/// What users say about the columns of a table, and what these words mean.
namespace levin::tables {

class TextTable;

/// What stands for a cell that is missing.
struct MissingRule {
  enum class Kind { refuse, mean, median, most_frequent, category, constant };
  Kind kind = Kind::refuse;
  double constant = 0.0;
};

/// What becomes of a text that no training row has.
enum class UnknownRule {
  /// An error that names file, line and column.
  refuse,
  /// All columns of the category are 0.
  ignore,
  /// It has a column of its own.
  column
};

/// The settings of TableDataModule that are about columns, under the same names; see
/// TableDataModuleOptions for what they mean. `names` may hold patterns.
struct TableSettings {
  std::string target{};
  std::string key{};
  std::string weights{};
  std::string group{};
  std::vector<std::string> features{};
  std::vector<std::string> exclude{};
  std::vector<std::string> numbers{};
  std::vector<std::string> categories{};
  std::vector<std::string> hashed{};
  int64_t hash_columns = 16;
  int64_t min_count = 1;
  UnknownRule unknown = UnknownRule::refuse;
  std::vector<std::string> missing_values{};
  MissingRule missing{};
  /// Words such as "age=median", of which the first may be a pattern.
  std::vector<std::string> missing_in{};
  bool missing_indicator = false;
  bool standardize = false;
  readers::TargetType target_type = readers::TargetType::automatic;
};

/// The meaning of "refuse", "mean", "median", "most_frequent", "category", or a number. Throws
/// ConfigError, with the option's name, for any other word.
MissingRule parse_missing_rule(std::string_view option, std::string_view word);
/// The meaning of "refuse", "ignore" or "column". Throws ConfigError for any other word.
UnknownRule parse_unknown_rule(std::string_view word);
/// The word that `parse_unknown_rule` understands.
std::string_view unknown_word(UnknownRule rule);

/// Whether `pattern` means `name`: it is the name, or it becomes the name if each * in it is
/// replaced by some text and each ? by one byte.
bool matches(std::string_view pattern, std::string_view name);

/// One column of a table that features are made from.
struct ChosenColumn {
  /// Its number in the table.
  size_t column = 0;
  /// What the settings say it holds; empty if the cells shall tell.
  std::optional<bool> is_number = {};
  bool is_hashed = false;
  MissingRule missing = {};
  /// Whether `missing` is said of this column, and not of all.
  bool has_own_rule = false;
};

/// Picks the columns of features, in the order of the file. Throws DataError, naming the file, for
/// a name or pattern that means no column, and if no column is left; ConfigError if the settings
/// contradict each other.
std::vector<ChosenColumn> choose_columns(const TextTable& table, const TableSettings& settings);

}  // namespace levin::tables
