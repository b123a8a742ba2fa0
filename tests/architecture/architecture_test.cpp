// Checks on the sources themselves that the dependencies point one way (ARCHITECTURE.md): plain
// text, no LibTorch.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Sources = std::map<std::string, std::string>;  // path from the repository's root -> text

constexpr size_t kMaxHeaderLines = 250;
constexpr size_t kMaxSourceLines = 400;

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

bool starts_with_any(std::string_view text, const std::vector<std::string_view>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view prefix) { return starts_with(text, prefix); });
}

std::string top_folder(const std::string& path) {
  return path.find('/') == std::string::npos ? std::string() : path.substr(0, path.find('/'));
}

bool is_header(const std::string& path) { return path.ends_with(".h"); }

bool is_library(const std::string& path) {
  static const std::set<std::string> folders = {"framework", "models", "datamodules", "callbacks",
                                                "cli"};
  return folders.count(top_folder(path)) > 0;
}

/// What the #include lines of `text` name, in order, with their brackets: `<torch/types.h>`.
std::vector<std::string> includes_of(const std::string& text) {
  static const std::regex line(R"((?:^|\n)[ \t]*#[ \t]*include[ \t]*([<"][^>"\n]+[>"]))");
  std::vector<std::string> names;
  for (std::sregex_iterator it(text.begin(), text.end(), line), end; it != end; ++it) {
    names.push_back((*it)[1]);
  }
  return names;
}

/// `<levin/framework/batch.h>` -> `framework/batch.h`; nothing for a header that isn't Levin's.
std::string own_path(const std::string& include) {
  if (!starts_with(include, "<levin/")) return {};
  return include.substr(7, include.size() - 8);
}

/// Inside framework/ an include goes to the same or a lower level.
int framework_level(const std::string& path) {
  const std::string name = path.substr(path.find('/') + 1);
  if (starts_with(name, "config/")) return 5;
  if (starts_with_any(name, {"trainer.", "trainer_fit.", "trainer_evaluate."})) return 4;
  if (starts_with(name, "loops/")) return 3;
  if (starts_with_any(name, {"strategies/", "loggers/"})) return 2;
  // Files from and to a state_dict; who asks for them is above.
  if (starts_with_any(name, {"checkpoint/", "kernels/"})) return 0;
  static const std::set<std::string> foundation = {"batch",      "error",  "files", "gather",
                                                   "state_dict", "tensor", "value", "version"};
  return foundation.count(name.substr(0, name.find('.'))) > 0 ? 0 : 1;
}

/// Which top-level folders each may include, besides itself.
const std::map<std::string, std::set<std::string>>& allowed_folders() {
  static const std::map<std::string, std::set<std::string>> allowed = {
      {"framework", {}},
      {"models", {"framework"}},
      {"datamodules", {"framework"}},
      {"callbacks", {"framework"}},
      {"cli", {"framework", "models", "datamodules", "callbacks"}},
      {"examples", {"framework", "models", "datamodules", "callbacks", ""}},
  };
  return allowed;
}

bool is_torch(const std::string& include) {
  return starts_with_any(include, {"<torch/", "<ATen/", "<c10/", "<caffe2/"});
}

void check_direction(const std::string& path, const std::string& include,
                     std::vector<std::string>& problems) {
  const std::string target = own_path(include);
  const auto rule = allowed_folders().find(top_folder(path));
  if (target.empty() || rule == allowed_folders().end()) return;
  const std::string from = top_folder(path);
  const std::string to = top_folder(target);
  if (from != to && rule->second.count(to) == 0) {
    problems.push_back(path + ": " + from + " must not include " + include);
  }
  if (from == "framework" && to == "framework" && framework_level(path) < framework_level(target)) {
    problems.push_back(path + ": includes " + include + ", which is above it");
  }
}

void check_third_party(const std::string& path, const std::string& include,
                       std::vector<std::string>& problems) {
  if (!is_library(path)) return;
  const bool source = !is_header(path);
  const auto only = [&](bool allowed, const std::string& where) {
    if (!allowed) problems.push_back(path + ": " + include + " belongs only into " + where);
  };
  if (include == "<torch/torch.h>") only(false, "levin.h");
  if (include == "<levin/levin.h>") only(false, "programs");
  if (starts_with(include, "<yaml-cpp/")) {
    only(source && starts_with(path, "framework/config/"), "framework/config/*.cpp");
  }
  if (include.find("c10d") != std::string::npos ||
      starts_with(include, "<torch/csrc/distributed/")) {
    only(source && starts_with(path, "framework/strategies/"), "framework/strategies/*.cpp");
  }
  if (starts_with_any(include, {"<fmt/", "<nlohmann/"})) only(source, "sources");
  if (include.front() == '"') only(false, "angle brackets: <levin/...>");
}

/// Follows Levin's own includes from `path`; the way to the first torch header, or nothing.
std::string way_to_torch(const Sources& sources, const std::string& path,
                         std::set<std::string>& seen) {
  const auto file = sources.find(path);
  if (file == sources.end() || !seen.insert(path).second) return {};
  for (const std::string& include : includes_of(file->second)) {
    if (is_torch(include)) return path + " -> " + include;
    const std::string way = way_to_torch(sources, own_path(include), seen);
    if (!way.empty()) return path + " -> " + way;
  }
  return {};
}

/// A way from `path` through headers back to itself, or nothing.
std::string cycle_from(const Sources& sources, const std::string& path, const std::string& start,
                       std::set<std::string>& seen) {
  const auto file = sources.find(path);
  if (file == sources.end() || !seen.insert(path).second) return {};
  for (const std::string& include : includes_of(file->second)) {
    const std::string next = own_path(include);
    if (next == start) return path + " -> " + start;
    const std::string way = cycle_from(sources, next, start, seen);
    if (!way.empty()) return path + " -> " + way;
  }
  return {};
}

void check_form(const Sources& sources, const std::string& path, const std::string& text,
                std::vector<std::string>& problems) {
  const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  const size_t most = is_header(path) ? kMaxHeaderLines : kMaxSourceLines;
  if (lines > most) {
    problems.push_back(path + ": " + std::to_string(lines) + " lines, more than " +
                       std::to_string(most));
  }
  if (!is_library(path)) return;
  if (is_header(path) && text.find("#pragma once") == std::string::npos) {
    problems.push_back(path + ": no #pragma once");
  }
  // A member, by its name (`trainer_`), or a wrapper that could be kept.
  static const std::regex held(R"(\bTrainer\s*[&*]\s*\w+_\s*[;={]|reference_wrapper<\s*Trainer\b)");
  if (std::regex_search(text, held)) problems.push_back(path + ": holds a Trainer");

  const std::string header = path.substr(0, path.rfind('.')) + ".h";
  const auto includes = includes_of(text);
  if (!is_header(path) && sources.count(header) > 0 &&
      (includes.empty() || own_path(includes.front()) != header)) {
    problems.push_back(path + ": its own header must come first");
  }
}

/// Everything wrong with `sources`, a line each.
std::vector<std::string> problems_of(const Sources& sources) {
  std::vector<std::string> problems;
  for (const auto& [path, text] : sources) {
    for (const std::string& include : includes_of(text)) {
      check_direction(path, include, problems);
      check_third_party(path, include, problems);
    }
    check_form(sources, path, text, problems);
    std::set<std::string> seen;
    if (starts_with_any(path, {"datamodules/readers/", "framework/checkpoint/safetensors."})) {
      const std::string way = way_to_torch(sources, path, seen);
      if (!way.empty()) problems.push_back("a parser reaches torch: " + way);
    }
    seen.clear();
    const std::string cycle = cycle_from(sources, path, path, seen);
    if (!cycle.empty()) problems.push_back("includes in a circle: " + cycle);
  }
  return problems;
}

Sources read_tree() {
  const std::filesystem::path root = LEVIN_SOURCE_DIR;
  Sources sources;
  for (const char* folder :
       {"framework", "models", "datamodules", "callbacks", "cli", "examples"}) {
    if (!std::filesystem::exists(root / folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
      const auto extension = entry.path().extension();
      if (extension != ".h" && extension != ".cpp") continue;
      std::ifstream stream(entry.path());
      sources[entry.path().lexically_relative(root).generic_string()] =
          std::string(std::istreambuf_iterator<char>(stream), {});
    }
  }
  return sources;
}

void print(const Sources& sources) {
  std::map<std::string, std::map<std::string, int>> edges;
  size_t headers = 0;
  for (const auto& [path, text] : sources) {
    headers += is_header(path) ? 1 : 0;
    for (const std::string& include : includes_of(text)) {
      const std::string target = own_path(include);
      if (!target.empty()) ++edges[top_folder(path)][top_folder(target)];
    }
  }
  std::cout << headers << " headers and " << sources.size() - headers << " sources\n";
  for (const auto& [from, targets] : edges) {
    for (const auto& [to, count] : targets) {
      std::cout << "  " << from << " -> " << (to.empty() ? "levin.h" : to) << ": " << count
                << " includes\n";
    }
  }
}

TEST(Architecture, dependencies_point_one_way) {
  const Sources sources = read_tree();
  ASSERT_GT(sources.size(), 20U) << "no sources below " << LEVIN_SOURCE_DIR;
  print(sources);
  for (const std::string& problem : problems_of(sources)) ADD_FAILURE() << problem;
}

struct Bad {
  std::string path;
  std::string text;
  std::string expected;
};

/// The check itself: each of these breaks one rule, which must be found, and nothing else.
std::vector<Bad> bad_sources() {
  const std::string once = "#pragma once\n";
  return {
      {"framework/a.h", once + "#include <levin/models/mlp.h>\n", "must not include"},
      {"callbacks/a.cpp", "#include <levin/models/mlp.h>\n", "must not include"},
      {"models/a.cpp", " # include <levin/cli/b.h>\n", "must not include"},
      {"framework/loops/a.cpp", "#include <levin/framework/trainer.h>\n", "above it"},
      {"framework/module.h", once + "#include <levin/framework/loops/fit_loop.h>\n", "above it"},
      {"models/a.h", once + "#include <torch/torch.h>\n", "belongs only into levin.h"},
      {"cli/a.cpp", "#include <yaml-cpp/yaml.h>\n", "framework/config"},
      {"framework/config/a.h", once + "#include <yaml-cpp/yaml.h>\n", "*.cpp"},
      {"models/a.cpp", "#include <torch/csrc/distributed/c10d/Types.hpp>\n", "strategies"},
      {"models/a.h", once + "#include <fmt/format.h>\n", "sources"},
      {"models/a.cpp", "#include \"mlp.h\"\n", "angle brackets"},
      {"datamodules/readers/csv.cpp", "#include <levin/framework/batch.h>\n",
       "a parser reaches torch: datamodules/readers/csv.cpp -> framework/batch.h -> <torch/"},
      {"framework/checkpoint/safetensors.h", once + "#include <c10/core/Device.h>\n",
       "a parser reaches torch"},
      {"framework/run.h", once + "class A { Trainer& trainer_; };\n", "holds a Trainer"},
      {"framework/run.h", "class A;\n", "no #pragma once"},
      {"models/mlp.cpp", "#include <vector>\n#include <levin/models/mlp.h>\n",
       "its own header must come first"},
      {"models/a.h", once + "#include <levin/models/a.h>\n", "in a circle"},
      {"models/a.h", once + std::string(kMaxHeaderLines, '\n'), "251 lines"},
      {"models/a.cpp", std::string(kMaxSourceLines + 1, '\n'), "401 lines"},
  };
}

TEST(Architecture, the_check_finds_each_kind_of_problem) {
  const Sources good = {
      {"framework/batch.h", "#pragma once\n#include <torch/types.h>\n"},
      {"framework/trainer.h", "#pragma once\n#include <levin/framework/batch.h>\n"},
      {"framework/loops/fit_loop.h", "#pragma once\n#include <levin/framework/batch.h>\n"},
      {"models/mlp.h", "#pragma once\n"},
      {"models/mlp.cpp", "#include <levin/models/mlp.h>\n#include <fmt/format.h>\n"},
      {"cli/main.cpp", "#include <levin/models/mlp.h>\nvoid f(levin::Trainer& trainer);\n"},
      {"examples/iris.cpp", "#include <levin/levin.h>\n"},
  };
  EXPECT_EQ(problems_of(good), std::vector<std::string>());
  for (const Bad& bad : bad_sources()) {
    Sources sources = good;
    sources[bad.path] = bad.text;
    const auto problems = problems_of(sources);
    ASSERT_EQ(problems.size(), 1U) << bad.path << ": " << testing::PrintToString(problems);
    EXPECT_NE(problems[0].find(bad.expected), std::string::npos) << problems[0];
  }
}

}  // namespace
