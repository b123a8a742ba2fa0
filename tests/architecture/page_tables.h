#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <vector>

// What the tests of documents with tables have in common: reading the tables, and the names of all
// tests, which the tables name.

namespace levin::page_tables {

using Row = std::vector<std::string>;  // its cells
using Table = std::vector<Row>;        // its header first

inline std::filesystem::path source_folder() { return LEVIN_SOURCE_DIR; }

inline std::string text_of(const std::filesystem::path& path) {
  std::ifstream stream(path);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

inline std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \n");
  return first == text.npos ? std::string()
                            : text.substr(first, text.find_last_not_of(" \n") + 1 - first);
}

inline std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(by, at), text.size());
    parts.push_back(trimmed(text.substr(at, end - at)));
    at = end + 1;
  }
  return parts;
}

/// All tables of a page, in its order.
inline std::vector<Table> tables_of(const std::string& text) {
  std::vector<Table> tables;
  bool is_within = false;
  for (const auto& line : split(text, '\n')) {
    const bool is_row = line.size() > 1 && line.front() == '|';
    if (is_row && !is_within) tables.emplace_back();
    is_within = is_row;
    if (!is_row) continue;
    auto cells = split(line.substr(1, line.size() - 2), '|');
    if (cells.front().find("---") != 0) tables.back().push_back(std::move(cells));
  }
  return tables;
}

/// The first table below a heading; empty if there is none.
inline Table table_below(const std::string& text, const std::string& heading) {
  const size_t at = text.find("\n" + heading + "\n");
  if (at == text.npos) return {};
  const auto tables = tables_of(text.substr(at));
  return tables.empty() ? Table() : tables.front();
}

/// What `pattern` finds as its first group, in the order of the text.
inline std::vector<std::string> all_matches(const std::string& text, const std::regex& pattern) {
  std::vector<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it) {
    found.push_back((*it)[1]);
  }
  return found;
}

/// The words between backticks: `lbfgs` and `saga` become {"lbfgs", "saga"}.
inline std::vector<std::string> names_in(const std::string& text) {
  static const std::regex name("`([^`]+)`");
  return all_matches(text, name);
}

/// The tests in the folder tests/, as Suite.name.
inline const std::set<std::string>& all_tests() {
  static const std::set<std::string> tests = [] {
    const std::regex macro(R"(TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\).*)");
    std::set<std::string> found;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(source_folder() / "tests")) {
      if (entry.path().extension() != ".cpp") continue;
      const std::string text = text_of(entry.path());
      for (size_t at = 0; (at = text.find("\nTEST", at)) != text.npos; ++at) {
        const std::string head = text.substr(at + 1, text.find('{', at) - at - 1);
        std::smatch parts;
        if (std::regex_match(head, parts, macro)) {
          found.insert(parts[1].str() + "." + parts[2].str());
        }
      }
    }
    return found;
  }();
  return tests;
}

}  // namespace levin::page_tables
