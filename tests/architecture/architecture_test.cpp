// Checks on the sources themselves that the dependencies point one way (ARCHITECTURE.md): plain
// text, no LibTorch.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace architecture_test {

using Sources = std::map<std::string, std::string>;  // path from the repository's root -> text

constexpr size_t kMaxHeaderLines = 250;
constexpr size_t kMaxSourceLines = 400;
constexpr size_t kMaxCallbackLines = 120;  // of a source in callbacks/

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

/// Whether a top-level folder consists of rooms.
bool has_rooms(const std::string& folder) {
  return folder == "framework" || folder == "serving" || folder == "tuning";
}

bool is_header(const std::string& path) { return path.ends_with(".h"); }

bool is_library(const std::string& path) {
  static const std::set<std::string> folders = {"framework", "models",  "datamodules", "callbacks",
                                                "cli",       "serving", "tuning"};
  return folders.count(top_folder(path)) > 0;
}

/// Calls `use` with each line of `text`. A regular expression over a whole text takes far longer
/// than one over those of its lines that can match.
template <class Use>
void for_each_line(std::string_view text, const Use& use) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    use(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

/// What the #include lines of `text` name, in order, with their brackets: `<torch/types.h>`.
std::vector<std::string> includes_of(const std::string& text) {
  static const std::regex pattern(R"(^[ \t]*#[ \t]*include[ \t]*([<"][^>"\n]+[>"]))");
  std::vector<std::string> names;
  for_each_line(text, [&](std::string_view line) {
    const size_t start = line.find_first_not_of(" \t");
    std::cmatch found;
    if (start == line.npos || line[start] != '#') return;
    if (std::regex_search(line.data(), line.data() + line.size(), found, pattern)) {
      names.push_back(found[1]);
    }
  });
  return names;
}

/// `<levin/framework/data/batch.h>` -> `framework/data/batch.h`; nothing for a header that isn't
/// Levin's.
std::string own_path(const std::string& include) {
  if (!starts_with(include, "<levin/")) return {};
  return include.substr(7, include.size() - 8);
}

/// What ARCHITECTURE.md's tables say: the rooms of framework/, serving/ and tuning/ in the order
/// of the tables, in which a room may include itself and those before it, and the folders marked
/// "no torch".
struct Plan {
  std::vector<std::string> rooms;     // "framework/core", "serving/http", ...
  std::vector<std::string> no_torch;  // "framework/core/", "datamodules/readers/", ...

  /// The room's place in the table, from 0; nothing if the table doesn't list it.
  std::optional<size_t> place(std::string_view room) const {
    const auto found = std::find(rooms.begin(), rooms.end(), room);
    if (found == rooms.end()) return std::nullopt;
    return static_cast<size_t>(found - rooms.begin());
  }
  bool forbids_torch(const std::string& path) const {
    return std::any_of(no_torch.begin(), no_torch.end(),
                       [&](const std::string& folder) { return starts_with(path, folder); });
  }
};

Plan plan_of(const std::string& architecture) {
  static const std::regex row(R"((?:^|\n)\| `([a-z_/]+/)` \| (no torch|torch) \|)");
  Plan plan;
  for (std::sregex_iterator it(architecture.begin(), architecture.end(), row), end; it != end;
       ++it) {
    const std::string folder = (*it)[1];
    if (has_rooms(top_folder(folder))) plan.rooms.push_back(folder.substr(0, folder.size() - 1));
    if ((*it)[2] == "no torch") plan.no_torch.push_back(folder);
  }
  return plan;
}

/// The room of a file: `framework/loops/fit_loop.h` -> `framework/loops`; empty for a file that
/// lies directly in framework/.
std::string room_of(const std::string& path) {
  const size_t end = path.find('/', path.find('/') + 1);
  return end == std::string::npos ? std::string() : path.substr(0, end);
}

/// Which top-level folders each may include, besides itself.
const std::map<std::string, std::set<std::string>>& allowed_folders() {
  static const std::map<std::string, std::set<std::string>> allowed = {
      {"framework", {}},
      {"models", {"framework"}},
      {"datamodules", {"framework"}},
      {"callbacks", {"framework"}},
      {"cli", {"framework", "models", "datamodules", "callbacks"}},
      {"serving", {"framework", "models", "datamodules", "callbacks", "cli"}},
      {"tuning", {"framework", "models", "datamodules", "callbacks", "cli"}},
      {"program", {"framework", "models", "datamodules", "callbacks", "cli", "serving", "tuning"}},
      {"examples", {"framework", "models", "datamodules", "callbacks", ""}},
  };
  return allowed;
}

bool is_torch(const std::string& include) {
  return starts_with_any(include, {"<torch/", "<ATen/", "<c10/", "<caffe2/"});
}

void check_room(const Plan& plan, const std::string& path, std::vector<std::string>& problems) {
  if (!has_rooms(top_folder(path))) return;
  const std::string room = room_of(path);
  if (room.empty()) {
    problems.push_back(path + ": lies directly in " + top_folder(path) +
                       "/; it belongs in one of its rooms");
  } else if (!plan.place(room)) {
    problems.push_back(path + ": ARCHITECTURE.md doesn't list the room " + room + "/");
  }
}

void check_direction(const Plan& plan, const std::string& path, const std::string& include,
                     std::vector<std::string>& problems) {
  const std::string target = own_path(include);
  const auto rule = allowed_folders().find(top_folder(path));
  if (target.empty() || rule == allowed_folders().end()) return;
  const std::string from = top_folder(path);
  const std::string to = top_folder(target);
  if (from != to && rule->second.count(to) == 0) {
    problems.push_back(path + ": " + from + " must not include " + include);
  }
  if (from != to || !has_rooms(from)) return;
  const std::string own_room = room_of(path);
  const std::string target_room = room_of(target);
  const auto own_place = plan.place(own_room);
  const auto target_place = plan.place(target_room);
  if (own_place && target_place && *own_place < *target_place) {
    problems.push_back(path + ": includes " + include + ", but ARCHITECTURE.md lists " +
                       target_room + "/ below " + own_room +
                       "/; a room may include only itself and the rooms listed before it");
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
    only(source &&
             (starts_with(path, "framework/config/") || path == "framework/core/value_yaml.cpp"),
         "sources of config/ and core/value_yaml.cpp");
  }
  if (include.find("c10d") != std::string::npos ||
      starts_with(include, "<torch/csrc/distributed/")) {
    only(source && starts_with_any(path, {"framework/collectives/", "framework/strategies/"}),
         "sources of collectives/ and strategies/");
  }
  if (starts_with_any(include, {"<fmt/", "<nlohmann/"})) only(source, "sources");
  if (include.front() == '"') only(false, "angle brackets: <levin/...>");
}

using Includes = std::map<std::string, std::vector<std::string>>;  // path -> what it includes

/// Follows Levin's own includes from `path`; the way to the first torch header, or nothing.
std::string way_to_torch(const Includes& includes, const std::string& path,
                         std::set<std::string>& seen) {
  const auto file = includes.find(path);
  if (file == includes.end() || !seen.insert(path).second) return {};
  for (const std::string& include : file->second) {
    if (is_torch(include)) return path + " -> " + include;
    const std::string way = way_to_torch(includes, own_path(include), seen);
    if (!way.empty()) return path + " -> " + way;
  }
  return {};
}

/// A way from `path` through headers back to a file on it, or nothing. A file in `done` is on none.
std::string circle_from(const Includes& includes, const std::string& path,
                        std::vector<std::string>& way, std::set<std::string>& done) {
  if (done.count(path) > 0) return {};
  const auto file = includes.find(path);
  if (file == includes.end()) return {};
  const auto first = std::find(way.begin(), way.end(), path);
  if (first != way.end()) {
    std::string circle;
    for (auto step = first; step != way.end(); ++step) circle += *step + " -> ";
    return circle + path;
  }
  way.push_back(path);
  for (const std::string& include : file->second) {
    const std::string circle = circle_from(includes, own_path(include), way, done);
    if (!circle.empty()) return circle;
  }
  way.pop_back();
  done.insert(path);
  return {};
}

void check_form(const Sources& sources, const std::string& path, const std::string& text,
                const std::vector<std::string>& includes, std::vector<std::string>& problems) {
  const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  const size_t most = is_header(path)                   ? kMaxHeaderLines
                      : starts_with(path, "callbacks/") ? kMaxCallbackLines
                                                        : kMaxSourceLines;
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
  for_each_line(text, [&](std::string_view line) {
    if (line.find("Trainer") != line.npos &&
        std::regex_search(line.data(), line.data() + line.size(), held)) {
      problems.push_back(path + ": holds a Trainer");
    }
  });

  const std::string header = path.substr(0, path.rfind('.')) + ".h";
  if (!is_header(path) && sources.count(header) > 0 &&
      (includes.empty() || own_path(includes.front()) != header)) {
    problems.push_back(path + ": its own header must come first");
  }
}

std::string without_comments(const std::string& text) {
  std::string code;
  for (size_t at = 0; at < text.size();) {
    const size_t comment = std::min(text.find("//", at), text.size());
    code.append(text, at, comment - at);
    at = std::min(text.find('\n', comment), text.size());
  }
  return code;
}

/// The first of `words` that is in the code and not a part of a longer name; empty if none is.
std::string first_word_in(const std::string& code, const std::vector<std::string>& words) {
  const auto is_of_a_name = [&](size_t at) {
    return at < code.size() &&
           (std::isalnum(static_cast<unsigned char>(code[at])) != 0 || code[at] == '_');
  };
  for (const auto& word : words) {
    for (size_t at = code.find(word); at != code.npos; at = code.find(word, at + 1)) {
      const bool ends = word.ends_with('(') || !is_of_a_name(at + word.size());
      if (ends && (at == 0 || !is_of_a_name(at - 1))) return word;
    }
  }
  return {};
}

/// What prints by itself could throw, or be lost without a word; see core/diagnostics.h. The same
/// holds for files; see core/files.h.
void check_output(const std::string& path, const std::string& text,
                  std::vector<std::string>& problems) {
  static const std::set<std::string> printers = {"framework/core/diagnostics.cpp",
                                                 "cli/output.cpp"};
  static const std::vector<std::string> prints = {
      "fmt::print", "std::cout", "std::cerr", "std::clog", "printf(", "fprintf(",
      "vprintf(",   "vfprintf(", "dprintf(",  "puts(",     "fputs(",  "putc(",
      "fputc(",     "putchar(",  "perror(",   "fwrite("};
  static const std::vector<std::string> writes = {"std::ofstream", "std::fstream", "fopen(",
                                                  "fdopen("};
  if (!is_library(path)) return;
  const std::string code = without_comments(text);
  const std::string print = first_word_in(code, prints);
  if (!print.empty() && printers.count(path) == 0) {
    problems.push_back(path + ": prints by " + print +
                       "; use diagnostics::print (core/diagnostics.h), or write_output in cli/");
  }
  const std::string write = first_word_in(code, writes);
  if (!write.empty()) {
    problems.push_back(path + ": writes by " + write + "; use the functions of core/files.h");
  }
}

/// All of Levin is one namespace in one library, in which two classes of one name would take each
/// other's functions without a word.
void check_names(const Sources& sources, std::vector<std::string>& problems) {
  static const std::regex definition(
      R"(\n(?:class|struct|enum class) ([A-Z]\w*)(?: final)?(?: *:[^:;{][^;{]*)?\s*\{)");
  std::map<std::string, std::string> places;
  for (const auto& [path, text] : sources) {
    if (!is_header(path) || !is_library(path)) continue;
    if (text.find("\nnamespace levin {") == std::string::npos) continue;  // it has another one
    for (std::sregex_iterator it(text.begin(), text.end(), definition), end; it != end; ++it) {
      const auto [place, is_new] = places.emplace((*it)[1], path);
      if (!is_new)
        problems.push_back(path + ": defines " + place->first + ", as does " + place->second);
    }
  }
}

/// Everything wrong with `sources`, a line each.
std::vector<std::string> problems_of(const Plan& plan, const Sources& sources) {
  std::vector<std::string> problems;
  check_names(sources, problems);
  Includes includes;
  for (const auto& [path, text] : sources) includes[path] = includes_of(text);
  std::set<std::string> in_no_circle;
  for (const auto& [path, text] : sources) {
    check_room(plan, path, problems);
    for (const std::string& include : includes[path]) {
      check_direction(plan, path, include, problems);
      check_third_party(path, include, problems);
    }
    check_form(sources, path, text, includes[path], problems);
    check_output(path, text, problems);
    std::set<std::string> seen;
    if (plan.forbids_torch(path)) {
      const std::string way = way_to_torch(includes, path, seen);
      if (!way.empty()) {
        problems.push_back(path + ": is in a folder marked 'no torch', but includes it: " + way);
      }
    }
    std::vector<std::string> way;
    const std::string circle = circle_from(includes, path, way, in_no_circle);
    if (!circle.empty()) {
      problems.push_back("includes in a circle: " + circle);
      in_no_circle.insert(way.begin(), way.end());  // reported once
    }
  }
  return problems;
}

Sources read_tree() {
  const std::filesystem::path root = LEVIN_SOURCE_DIR;
  Sources sources;
  for (const char* folder : {"framework", "models", "datamodules", "callbacks", "cli", "serving",
                             "tuning", "program", "examples"}) {
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

std::string read_source(const char* name) {
  std::ifstream stream(std::filesystem::path(LEVIN_SOURCE_DIR) / name);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

std::string read_architecture() { return read_source("ARCHITECTURE.md"); }

TEST(Architecture, dependencies_point_one_way) {
  const Sources sources = read_tree();
  const Plan plan = plan_of(read_architecture());
  ASSERT_GT(sources.size(), 20U) << "no sources below " << LEVIN_SOURCE_DIR;
  print(sources);
  for (const std::string& problem : problems_of(plan, sources)) ADD_FAILURE() << problem;
}

// at::RecordFunction has one more member without NDEBUG, so a source that uses it has to be
// compiled as LibTorch is, in a build of any kind.
TEST(Architecture, sources_that_watch_operations_are_compiled_with_ndebug) {
  const std::string cmake = read_source("CMakeLists.txt");
  const size_t begin = cmake.find("# at::RecordFunction has one more member");
  ASSERT_NE(begin, std::string::npos);
  const std::string list = cmake.substr(begin, cmake.find("NDEBUG)", begin) - begin);
  int count = 0;
  for (const auto& [path, text] : read_tree()) {
    const bool watches = text.find("#include <ATen/record_function.h>") != std::string::npos;
    if (!watches || path.find(".cpp") == std::string::npos) continue;
    EXPECT_NE(list.find(path), std::string::npos) << path << " is not in that list";
    ++count;
  }
  EXPECT_GE(count, 2);
}

TEST(Architecture, the_table_lists_rooms_that_are_there_each_once) {
  const Plan plan = plan_of(read_architecture());
  ASSERT_GT(plan.rooms.size(), 10U) << "ARCHITECTURE.md's table has lost its form";
  for (const std::string& room : plan.rooms) {
    EXPECT_TRUE(std::filesystem::is_directory(std::filesystem::path(LEVIN_SOURCE_DIR) / room))
        << room;
    EXPECT_EQ(std::count(plan.rooms.begin(), plan.rooms.end(), room), 1) << room;
  }
  for (const std::string& folder : plan.no_torch) {
    EXPECT_TRUE(std::filesystem::is_directory(std::filesystem::path(LEVIN_SOURCE_DIR) / folder))
        << folder;
  }
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
      {"framework/a.h", once, "lies directly in framework/"},
      {"framework/a.cpp", "", "lies directly in framework/"},
      {"serving/http/a.cpp", "#include <levin/serving/service/service.h>\n",
       "lists serving/service/ below serving/http/"},
      {"cli/a.cpp", "#include <levin/serving/http/http_server.h>\n", "must not include"},
      {"tuning/space/a.cpp", "#include <levin/tuning/study/study.h>\n",
       "lists tuning/study/ below tuning/space/"},
      {"tuning/space/a.cpp", "#include <levin/serving/http/http_server.h>\n", "must not include"},
      {"serving/http/a.h", once + "namespace levin {\nstruct MLP {\n};\n",
       "defines MLP, as does models/mlp.h"},
      {"framework/attic/a.h", once, "doesn't list the room framework/attic/"},
      {"framework/core/a.h", once + "#include <levin/models/mlp.h>\n", "must not include"},
      {"callbacks/a.cpp", "#include <levin/models/mlp.h>\n", "must not include"},
      {"models/a.cpp", " # include <levin/cli/b.h>\n", "must not include"},
      {"framework/loops/a.cpp", "#include <levin/framework/trainer/trainer.h>\n",
       "lists framework/trainer/ below framework/loops/"},
      {"framework/data/a.h", once + "#include <levin/framework/loops/fit_loop.h>\n",
       "lists framework/loops/ below framework/data/"},
      {"models/a.h", once + "#include <torch/torch.h>\n", "belongs only into levin.h"},
      {"cli/a.cpp", "#include <yaml-cpp/yaml.h>\n", "sources of config/"},
      {"framework/trainer/a.h", once + "#include <yaml-cpp/yaml.h>\n", "sources of config/"},
      {"framework/config/a.h", once + "#include <yaml-cpp/yaml.h>\n", "sources of config/"},
      {"framework/core/a.cpp", "#include <yaml-cpp/yaml.h>\n", "core/value_yaml.cpp"},
      {"models/a.cpp", "#include <torch/csrc/distributed/c10d/Types.hpp>\n", "strategies"},
      {"framework/nn/a.cpp", "#include <torch/csrc/distributed/c10d/Types.hpp>\n", "strategies"},
      {"framework/strategies/a.h", once + "#include <torch/csrc/distributed/c10d/Types.hpp>\n",
       "sources of collectives/"},
      {"models/a.h", once + "#include <fmt/format.h>\n", "sources"},
      {"models/a.cpp", "#include \"mlp.h\"\n", "angle brackets"},
      {"datamodules/readers/csv.cpp", "#include <levin/framework/data/batch.h>\n",
       "is in a folder marked 'no torch', but includes it: datamodules/readers/csv.cpp -> "
       "framework/data/batch.h -> <torch/"},
      {"framework/core/a.h", once + "#include <c10/core/Device.h>\n", "marked 'no torch'"},
      {"framework/data/a.h", once + "class A { Trainer& trainer_; };\n", "holds a Trainer"},
      {"framework/data/a.h", "class A;\n", "no #pragma once"},
      {"models/mlp.cpp", "#include <vector>\n#include <levin/models/mlp.h>\n",
       "its own header must come first"},
      {"models/a.h", once + "#include <levin/models/a.h>\n", "in a circle"},
      {"callbacks/a.cpp", "void f() { fmt::print(stderr, \"x\"); }\n", "prints by fmt::print"},
      {"framework/loops/a.cpp", "void f() { std::fprintf(stderr, \"x\"); }\n", "prints by fprintf"},
      {"cli/a.cpp", "void f() { std::cout << 1; }\n", "prints by std::cout"},
      {"callbacks/a.cpp", "void f() { std::ofstream(\"x\") << 1; }\n", "writes by std::ofstream"},
      {"models/a.h", once + std::string(kMaxHeaderLines, '\n'), "251 lines"},
      {"models/a.cpp", std::string(kMaxSourceLines + 1, '\n'), "401 lines"},
      {"callbacks/a.cpp", std::string(kMaxCallbackLines + 1, '\n'), "121 lines"},
  };
}

TEST(Architecture, the_check_finds_each_kind_of_problem) {
  const Plan plan = plan_of(
      "| `framework/core/` | no torch | errors |\n| `framework/data/` | torch | batches |\n"
      "| `framework/nn/` | torch | layers |\n| `framework/strategies/` | torch | sums |\n"
      "| `framework/loops/` | torch | fit |\n| `framework/trainer/` | torch | the Trainer |\n"
      "| `framework/config/` | torch | YAML |\n| `datamodules/readers/` | no torch | parsers |\n"
      "| `serving/http/` | no torch | HTTP |\n| `serving/service/` | no torch | addresses |\n"
      "| `tuning/space/` | no torch | ranges |\n| `tuning/study/` | no torch | the file |\n");
  ASSERT_EQ(plan.rooms,
            (std::vector<std::string>{"framework/core", "framework/data", "framework/nn",
                                      "framework/strategies", "framework/loops",
                                      "framework/trainer", "framework/config", "serving/http",
                                      "serving/service", "tuning/space", "tuning/study"}));
  const Sources good = {
      {"framework/data/batch.h", "#pragma once\n#include <torch/types.h>\n"},
      {"framework/trainer/trainer.h", "#pragma once\n#include <levin/framework/data/batch.h>\n"},
      {"framework/loops/fit_loop.h", "#pragma once\n#include <levin/framework/data/batch.h>\n"},
      {"models/mlp.h", "#pragma once\nnamespace levin {\nclass MLP : public Classifier {};\n"},
      {"callbacks/timer.h", "#pragma once\n" + std::string(kMaxCallbackLines, '\n')},
      {"models/mlp.cpp", "#include <levin/models/mlp.h>\n#include <fmt/format.h>\n"},
      {"framework/core/diagnostics.cpp", "void f() { std::fwrite(0, 1, 1, stderr); }\n"},
      {"models/mlp_notes.h",
       "#pragma once\n///     std::printf(\"%g\", loss);  // a user's line\n"},
      {"cli/run_job.cpp", "#include <levin/models/mlp.h>\nvoid f(levin::Trainer& trainer);\n"},
      {"examples/iris.cpp", "#include <levin/levin.h>\n"},
  };
  EXPECT_EQ(problems_of(plan, good), std::vector<std::string>());
  for (const Bad& bad : bad_sources()) {
    Sources sources = good;
    sources[bad.path] = bad.text;
    const auto problems = problems_of(plan, sources);
    ASSERT_EQ(problems.size(), 1U) << bad.path << ": " << testing::PrintToString(problems);
    EXPECT_NE(problems[0].find(bad.expected), std::string::npos) << problems[0];
  }
}

}  // namespace architecture_test
