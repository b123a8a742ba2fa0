#include "page_tables.h"

#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>
#include <string>
#include <utility>

// The table of docs/solvers.md: each "yes" and each "no" in it has a test that there is, and each
// "no" a reason.

namespace levin::solver_table_test {
namespace {

using namespace page_tables;
using Cell = std::pair<std::string, std::string>;  // solver, column

std::string page() { return text_of(source_folder() / "docs/solvers.md"); }

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
  const auto& tests = all_tests();
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
