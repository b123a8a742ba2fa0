#include <levin/datamodules/tables/settings.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/csv_columns.h>
#include <levin/datamodules/readers/text.h>
#include <levin/datamodules/tables/text_table.h>
#include <levin/framework/core/error.h>

namespace levin::tables {
namespace {

using readers::in_quotes;
using Marks = std::vector<bool>;  // for each column of the table

/// Marks the columns that the names and patterns of an option mean.
Marks marked(const TextTable& table, std::string_view option,
             const std::vector<std::string>& patterns) {
  Marks marks(table.columns().size(), false);
  for (const auto& pattern : patterns) {
    if (table.has(pattern)) {
      marks[table.column(pattern, option)] = true;
      continue;
    }
    bool is_found = false;
    for (size_t i = 0; i < marks.size(); ++i) {
      if (!matches(pattern, table.columns()[i])) continue;
      marks[i] = true;
      is_found = true;
    }
    if (!is_found) table.column(pattern, option);  // throws
  }
  return marks;
}

void require_disjoint(const TextTable& table, const Marks& a, const char* a_name, const Marks& b,
                      const char* b_name) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (!a[i] || !b[i]) continue;
    throw ConfigError::conflict(fmt::format("{} and {} both have the column {} of {}", a_name,
                                            b_name, in_quotes(table.columns()[i]), table.file()),
                                "leave it in one of them");
  }
}

/// The column of the target or key, marked alone; nothing is marked if `name` is empty.
Marks marked_alone(const TextTable& table, const char* option, const std::string& name) {
  Marks marks(table.columns().size(), false);
  if (!name.empty()) marks[table.column(name, option)] = true;
  return marks;
}

/// The columns of features, without the target, the key, the weights, the groups and what is
/// excluded.
Marks used_columns(const TextTable& table, const TableSettings& settings) {
  const auto excluded = marked(table, "exclude", settings.exclude);
  Marks used(table.columns().size(), true);
  if (!settings.features.empty()) used = marked(table, "features", settings.features);
  const std::pair<const char*, const std::string&> roles[] = {
      {"target", settings.target},
      {"key", settings.key},
      {"column of weights", settings.weights},
      {"column of groups", settings.group}};
  for (const auto& [role, name] : roles) {
    if (!name.empty() && std::count(settings.features.begin(), settings.features.end(), name)) {
      throw ConfigError::conflict(
          fmt::format("features names the column {}, which is the {}", in_quotes(name), role),
          fmt::format("leave it out of features, or choose another {}", role));
    }
    const auto marks = marked_alone(table, role, name);
    for (size_t i = 0; i < used.size(); ++i) used[i] = used[i] && !marks[i];
  }
  for (size_t i = 0; i < used.size(); ++i) used[i] = used[i] && !excluded[i];
  return used;
}

/// Splits "age=median" at its last equals sign.
std::pair<std::string, MissingRule> parse_missing_in(const std::string& word) {
  const size_t sign = word.rfind('=');
  if (sign == word.npos || sign == 0) {
    throw ConfigError::invalid_value(
        "missing_in", word, "must be a column and what stands for its missing cells: age=median");
  }
  return {word.substr(0, sign), parse_missing_rule("missing_in", word.substr(sign + 1))};
}

}  // namespace

MissingRule parse_missing_rule(std::string_view option, std::string_view word) {
  using Missing = MissingRule::Kind;
  constexpr std::pair<std::string_view, Missing> kWords[] = {
      {"refuse", Missing::refuse},
      {"mean", Missing::mean},
      {"median", Missing::median},
      {"most_frequent", Missing::most_frequent},
      {"category", Missing::category}};
  for (const auto& [name, kind] : kWords) {
    if (word == name) return {kind, 0.0};
  }
  MissingRule rule{Missing::constant, 0.0};
  if (readers::parse_number(word, rule.constant) && std::isfinite(rule.constant)) return rule;
  throw ConfigError::invalid_value(
      option, word, "must be refuse, mean, median, most_frequent, category or a number");
}

UnknownRule parse_unknown_rule(std::string_view word) {
  for (const auto rule : {UnknownRule::refuse, UnknownRule::ignore, UnknownRule::column}) {
    if (word == unknown_word(rule)) return rule;
  }
  throw ConfigError::unknown_name("unknown", word, {"refuse", "ignore", "column"});
}

std::string_view unknown_word(UnknownRule rule) {
  switch (rule) {
    case UnknownRule::refuse:
      return "refuse";
    case UnknownRule::ignore:
      return "ignore";
    case UnknownRule::column:
      break;
  }
  return "column";
}

bool matches(std::string_view pattern, std::string_view name) {
  size_t p = 0;
  size_t n = 0;
  size_t star = pattern.npos;  // the last * that was met, and how far it reaches
  size_t reach = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      reach = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != pattern.npos) {
      p = star + 1;
      n = ++reach;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == pattern.npos;
}

std::vector<ChosenColumn> choose_columns(const TextTable& table, const TableSettings& settings) {
  const auto used = used_columns(table, settings);
  const auto numbers = marked(table, "numbers", settings.numbers);
  const auto categories = marked(table, "categories", settings.categories);
  const auto hashed = marked(table, "hashed", settings.hashed);
  require_disjoint(table, numbers, "numbers", categories, "categories");
  require_disjoint(table, numbers, "numbers", hashed, "hashed");
  std::vector<std::pair<Marks, MissingRule>> own_rules;
  for (const auto& word : settings.missing_in) {
    const auto [name, rule] = parse_missing_in(word);
    own_rules.emplace_back(marked(table, "missing_in", {name}), rule);
  }
  std::vector<ChosenColumn> chosen;
  for (size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) continue;
    table.column(table.columns()[i], "features");  // throws if there are two of the name
    ChosenColumn column{.column = i, .missing = settings.missing};
    if (numbers[i]) column.is_number = true;
    if (categories[i] || hashed[i]) column.is_number = false;
    column.is_hashed = hashed[i];
    for (const auto& [marks, rule] : own_rules) {
      if (!marks[i]) continue;
      column.missing = rule;
      column.has_own_rule = true;
    }
    chosen.push_back(column);
  }
  if (chosen.empty()) {
    throw DataError(fmt::format(
        "no column of {} is left for features; its columns are {}. Exclude fewer, or name others "
        "in features.",
        table.file(), readers::listed(table.columns())));
  }
  return chosen;
}

}  // namespace levin::tables
