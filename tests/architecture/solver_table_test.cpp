#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

// The table of docs/solvers.md: each "yes" and each "no" in it has a test that there is, and each
// "no" a reason.

namespace levin::solver_table_test {
namespace {

using Row = std::vector<std::string>;
using Cell = std::pair<std::string, std::string>;  // solver, column

std::string text_of(const std::filesystem::path& path) {
  std::ifstream stream(path);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \n");
  return first == text.npos ? std::string()
                            : text.substr(first, text.find_last_not_of(" \n") + 1 - first);
}

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(by, at), text.size());
    parts.push_back(trimmed(text.substr(at, end - at)));
    at = end + 1;
  }
  return parts;
}

/// The rows of the first table below a heading, its header first.
std::vector<Row> table_below(const std::string& text, const std::string& heading) {
  std::vector<Row> rows;
  size_t at = text.find("\n" + heading + "\n");
  if (at == text.npos) return rows;
  at = text.find("\n|", at);
  while (at != text.npos && text.compare(at, 2, "\n|") == 0) {
    const size_t end = text.find('\n', at + 1);
    const auto line = trimmed(text.substr(at, end - at));
    auto cells = split(line.substr(1, line.size() - 2), '|');
    if (cells.front().find("---") != 0) rows.push_back(std::move(cells));
    at = end;
  }
  return rows;
}

/// The words between backticks: `lbfgs` and `saga` become {"lbfgs", "saga"}.
std::vector<std::string> names_in(const std::string& text) {
  static const std::regex name("`([^`]+)`");
  std::vector<std::string> names;
  for (std::sregex_iterator it(text.begin(), text.end(), name), end; it != end; ++it) {
    names.push_back((*it)[1]);
  }
  return names;
}

/// The tests in the folder tests/, as Suite.name.
std::set<std::string> all_tests() {
  static const std::regex macro(R"(TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\).*)");
  std::set<std::string> tests;
  const auto root = std::filesystem::path(LEVIN_SOURCE_DIR) / "tests";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".cpp") continue;
    const std::string text = text_of(entry.path());
    for (size_t at = 0; (at = text.find("\nTEST", at)) != text.npos; ++at) {
      const std::string head = text.substr(at + 1, text.find('{', at) - at - 1);
      std::smatch found;
      if (std::regex_match(head, found, macro)) {
        tests.insert(found[1].str() + "." + found[2].str());
      }
    }
  }
  return tests;
}

std::string page() { return text_of(std::filesystem::path(LEVIN_SOURCE_DIR) / "docs/solvers.md"); }

/// The cells of the table by solver and column.
std::map<Cell, std::string> cells_of(const std::string& text) {
  const auto rows = table_below(text, "## What each solver can do");
  std::map<Cell, std::string> cells;
  for (size_t i = 1; i < rows.size(); ++i) {
    const std::string solver = names_in(rows[i].front()).front();
    EXPECT_EQ(rows[i].size(), rows.front().size()) << solver;
    for (size_t j = 1; j < rows[i].size(); ++j) cells[{solver, rows.front()[j]}] = rows[i][j];
  }
  return cells;
}

TEST(SolverTable, says_yes_or_no_with_a_reason_in_each_cell) {
  const std::string text = page();
  const auto cells = cells_of(text);
  ASSERT_GE(cells.size(), 96U) << "the table has lost its form";
  static const std::regex form(R"((yes|no \((\d)\))( \([^)]+\))?)");
  for (const auto& [cell, says] : cells) {
    std::smatch found;
    ASSERT_TRUE(std::regex_match(says, found, form))
        << cell.first << ", " << cell.second << ": " << says;
    if (says.find("no") != 0) continue;
    EXPECT_NE(text.find("\n" + found[2].str() + ". "), text.npos)
        << cell.first << ", " << cell.second << ": there is no reason " << found[2];
  }
}

TEST(SolverTable, has_a_test_that_there_is_for_each_cell) {
  const std::string text = page();
  const auto cells = cells_of(text);
  const auto tests = all_tests();
  ASSERT_GT(tests.size(), 500U);
  const auto rows = table_below(text, "### The tests of this table");
  ASSERT_GT(rows.size(), 5U) << "the table of tests has lost its form";
  std::set<Cell> tested;
  for (size_t i = 1; i < rows.size(); ++i) {
    ASSERT_EQ(rows[i].size(), 3U) << rows[i].front();
    for (const auto& test : names_in(rows[i][0])) EXPECT_EQ(tests.count(test), 1U) << test;
    EXPECT_FALSE(names_in(rows[i][0]).empty()) << rows[i][0];
    for (const auto& solver : names_in(rows[i][1])) {
      for (const auto& column : split(rows[i][2], ',')) {
        EXPECT_EQ(cells.count({solver, column}), 1U) << solver << ", " << column;
        tested.insert({solver, column});
      }
    }
  }
  for (const auto& [cell, says] : cells) {
    EXPECT_EQ(tested.count(cell), 1U) << "no test of docs/solvers.md shows \"" << says << "\" for "
                                      << cell.first << ", " << cell.second;
  }
}

}  // namespace
}  // namespace levin::solver_table_test
