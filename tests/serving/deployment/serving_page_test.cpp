#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/framework/core/options.h>
#include <levin/serving/backend/statistics_text.h>
#include <levin/serving/commands/serve_options.h>
#include <levin/serving/service/addresses.h>

#include "architecture/page_tables.h"

// The tables of docs/serving.md are those of the program.

namespace levin::serving_page_test {
namespace {

using namespace page_tables;
using Names = std::set<std::string>;

std::string page() { return text_of(source_folder() / "docs/serving.md"); }

Names as_set(const std::vector<std::string>& list) { return {list.begin(), list.end()}; }

/// The default of an option as people write it.
std::string default_of(const Field& field) {
  const Value value = field.get();
  std::string text = value.is_string() ? value.as_string() : value.to_json();
  if (text.size() > 2 && text.substr(text.size() - 2) == ".0") text.resize(text.size() - 2);
  return text.empty() ? text : "`" + text + "`";
}

TEST(ServingPageTables, lists_the_options_as_the_command_describes_them) {
  ServeOptions options;
  Table expected = {{"option", "default", "what it is"}};
  for (const auto& field : describe(options)) {
    std::string name = "`--" + field.name + "`";
    for (char& letter : name) {
      if (letter == '_') letter = '-';
    }
    expected.push_back({name, default_of(field), field.help});
  }
  EXPECT_EQ(table_below(page(), "## Options"), expected);
}

TEST(ServingPageTables, lists_the_addresses_of_the_service) {
  Names shown;
  const std::string optional = "[/versions/V]";
  for (const auto& row : table_below(page(), "### Addresses")) {
    for (auto address : names_in(row.front())) {
      const size_t at = address.find(optional);
      if (at == address.npos) {
        shown.insert(address);
        continue;
      }
      shown.insert(std::string(address).erase(at, optional.size()));
      shown.insert(address.replace(at, optional.size(), "/versions/V"));
    }
  }
  Names expected;
  for (const auto& route : service_routes()) {
    std::string path(route.path);
    path = std::regex_replace(path, std::regex("\\{model\\}"), "NAME");
    path = std::regex_replace(path, std::regex("\\{version\\}"), "V");
    expected.insert((route.takes_post ? "POST " : "GET ") + path);
  }
  EXPECT_EQ(shown, expected);
}

TEST(ServingPageTables, lists_every_status_that_the_sources_answer_with) {
  const std::regex status(R"((?:Refusal[({]|return \{|holds \? 200 : )(\d{3})\b)");
  Names expected;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(source_folder() / "serving")) {
    const auto extension = entry.path().extension();
    if (extension != ".cpp" && extension != ".h") continue;
    for (auto& each : all_matches(text_of(entry.path()), status)) expected.insert(each);
  }
  EXPECT_GE(expected.size(), 12U) << "the sources have lost their form";
  Names shown;
  for (const auto& row : table_below(page(), "## When a request isn't answered")) {
    if (row.front() != "status") shown.insert(row.front());
  }
  EXPECT_EQ(shown, expected);
}

TEST(ServingPageTables, lists_the_metrics_that_there_are) {
  const std::string metrics = prometheus_text({{.model = "m", .version = "1"}}, {});
  const auto expected = as_set(all_matches(metrics, std::regex("# TYPE (\\w+)")));
  ASSERT_GT(expected.size(), 10U);
  const auto shown = as_set(all_matches(page(), std::regex("`((?:nv|process)_\\w+)`")));
  EXPECT_EQ(shown, expected);
}

}  // namespace
}  // namespace levin::serving_page_test
