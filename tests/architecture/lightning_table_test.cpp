#include "page_tables.h"

#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

// The tables of docs/lightning.md: each row that says "the same" or "better" names tests that there
// are, and everything that Levin has of this kind is in a row.

namespace levin::lightning_table_test {
namespace {

using namespace page_tables;

std::string page() { return text_of(source_folder() / "docs/lightning.md"); }

/// What is wrong with a row of which the last cell has to name tests.
std::string problem_with_tests(const Row& row) {
  const auto names = names_in(row.back());
  if (names.empty()) return "names no test";
  for (const auto& name : names) {
    if (all_tests().count(name) == 0) return "names the test " + name + ", which there isn't";
  }
  return {};
}

/// What is wrong with a row of Lightning's name, Levin's, the verdict and the tests; empty if
/// nothing is.
std::string problem_of(const Row& row) {
  static const std::regex verdict("the same|better: .+|not yet(: .+)?|not wanted: .+");
  if (row.size() != 4) return "has " + std::to_string(row.size()) + " cells instead of 4";
  if (!std::regex_match(row[2], verdict)) {
    return "says \"" + row[2] +
           "\" instead of \"the same\", \"better: how\", \"not yet\" or \"not wanted: why\"";
  }
  const bool is_there = row[2] == "the same" || row[2].find("better") == 0;
  if (is_there || !row[3].empty()) return problem_with_tests(row);
  return {};
}

/// The tables whose first column is called `name`.
std::vector<Table> tables_called(const std::string& name) {
  std::vector<Table> found;
  for (auto& table : tables_of(page())) {
    if (table.front().front() == name) found.push_back(std::move(table));
  }
  return found;
}

TEST(LightningTable, says_what_is_there_with_tests_that_there_are) {
  ASSERT_GT(all_tests().size(), 500U);
  size_t rows = 0;
  for (const auto& table : tables_called("Lightning")) {
    EXPECT_EQ(table.front(), (Row{"Lightning", "here", "", "test"}));
    std::set<std::string> names;
    for (size_t i = 1; i < table.size(); ++i, ++rows) {
      EXPECT_EQ(problem_of(table[i]), "") << table[i].front();
      EXPECT_TRUE(names.insert(table[i].front()).second) << table[i].front() << " is there twice";
    }
  }
  EXPECT_GT(rows, 200U) << "the tables have lost their form";
}

TEST(LightningTable, has_a_test_for_what_only_levin_has_and_for_each_complaint_unless_it_says_so) {
  for (const char* name : {"only here", "complaint"}) {
    const auto tables = tables_called(name);
    ASSERT_EQ(tables.size(), 1U) << name;
    for (size_t i = 1; i < tables[0].size(); ++i) {
      const Row& row = tables[0][i];
      ASSERT_EQ(row.size(), 3U) << row.front();
      const bool has_none = row[2] == "no test yet";
      EXPECT_EQ(has_none ? "" : problem_with_tests(row), "") << row.front();
    }
  }
}

TEST(LightningTable, finds_rows_that_lack_a_test) {
  const std::string test = "`LightningTable.finds_rows_that_lack_a_test`";
  EXPECT_EQ(problem_of({"`a`", "`a`", "the same", test}), "");
  EXPECT_EQ(problem_of({"`a`", "", "not yet", ""}), "");
  EXPECT_NE(problem_of({"`a`", "`a`", "the same", ""}), "");
  EXPECT_NE(problem_of({"`a`", "`a`", "better: faster", "by hand"}), "");
  EXPECT_NE(problem_of({"`a`", "`a`", "better", test}), "") << "how?";
  EXPECT_NE(problem_of({"`a`", "", "not wanted", ""}), "") << "why?";
  EXPECT_NE(problem_of({"`a`", "`a`", "nearly the same", test}), "");
  EXPECT_NE(problem_of({"`a`", "`a`", "the same", test + ", `LightningTable.is_none`"}), "");
  EXPECT_NE(problem_of({"`a`", "`a`", "the same"}), "");
}

TEST(LightningTable, has_all_options_hooks_callbacks_loggers_and_profilers_of_levin) {
  std::set<std::string> words;
  static const std::regex word(R"((\w+))");
  for (const auto& name : names_in(page())) {
    for (auto& each : all_matches(name, word)) words.insert(std::move(each));
  }
  const struct {
    const char* file;
    const char* pattern;
    size_t least;
  } sources[] = {
      {"framework/run/trainer_options.cpp", R"re(\{"(\w+)",\s*&o\.\w+,)re", 35},
      {"framework/run/hooks.h", R"(virtual void (\w+)\()", 35},
      {"cli/shipped_classes.cpp", R"((?:callbacks|loggers)\.add<(\w+)>)", 20},
      {"framework/profiling/profilers.cpp", R"re("(\w+)"[,}])re", 4},
  };
  for (const auto& source : sources) {
    const auto names =
        all_matches(text_of(source_folder() / source.file), std::regex(source.pattern));
    EXPECT_GE(names.size(), source.least) << source.file << " has lost its form";
    for (const auto& name : names) {
      EXPECT_EQ(words.count(name), 1U)
          << "docs/lightning.md has no row with " << name << " of " << source.file;
    }
  }
}

}  // namespace
}  // namespace levin::lightning_table_test
