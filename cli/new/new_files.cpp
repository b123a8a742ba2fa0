#include <levin/cli/new/new_files.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include <levin/cli/new/new_names.h>
#include <levin/cli/new/templates.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

namespace levin {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIncludesEnd = "// `levin new` adds includes above this line.\n";
constexpr std::string_view kClassesEnd = "  // `levin new` adds classes above this line.\n";

/// A kind of class that `levin new` writes.
struct NewKind {
  std::string name;
  /// The member of Registry, and what a class of a project adds to the project's name.
  std::string list;
  std::string suffix;
  std::string_view (*header)();
  std::string_view (*source)();
  std::string_view (*test)();
};

const std::array<NewKind, 3>& new_kinds() {
  static const std::array<NewKind, 3> kinds = {{
      {"model", "models", "Model", &data::new_model_header, &data::new_model_source,
       &data::new_model_test},
      {"datamodule", "datamodules", "DataModule", &data::new_datamodule_header,
       &data::new_datamodule_source, &data::new_datamodule_test},
      {"callback", "callbacks", "Callback", &data::new_callback_header, &data::new_callback_source,
       &data::new_callback_test},
  }};
  return kinds;
}

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

/// The files to write, by their paths.
using NewFiles = std::map<fs::path, std::string>;

void add_class_files(NewFiles& files, const NewKind& kind, const std::string& class_name,
                     const std::string& file, const fs::path& folder) {
  const auto filled = [&](std::string_view text) {
    return replace_all(replace_all(std::string(text), "@Class@", class_name), "@file@", file);
  };
  files[folder / "src" / (file + ".h")] = filled(kind.header());
  files[folder / "src" / (file + ".cpp")] = filled(kind.source());
  files[folder / "tests" / (file + "_test.cpp")] = filled(kind.test());
}

void write_new_ones(const NewFiles& files) {
  for (const auto& [path, text] : files) {
    if (!files::exists(path)) continue;
    throw ConfigError(
        fmt::format("{} exists already, and nothing was written; choose another name, "
                    "or another folder by --output FOLDER",
                    path.string()));
  }
  for (const auto& [path, text] : files) {
    files::create_folder(path.parent_path());
    files::write_atomically(path, text);
  }
}

std::string list_of_files(const NewFiles& files) {
  std::string text;
  for (const auto& [path, ignored] : files) text += fmt::format("  {}\n", path.string());
  return text;
}

/// Throws if CMake or Levin has a target or library of the project's name.
void require_project_name(const std::string& project) {
  static const std::set<std::string> taken = {"all",     "clean", "help", "install", "levin",
                                              "package", "src",   "test", "tests"};
  if (taken.count(project) == 0) return;
  throw ConfigError(
      fmt::format("a project can't have the name '{0}', which CMake or Levin uses; "
                  "did you mean 'my_{0}'?",
                  project));
}

std::string write_project(std::string_view name, const fs::path& output) {
  const std::string project = snake_case(name);
  const std::string project_class = pascal_case(name);
  require_project_name(project);
  const fs::path folder = output.empty() ? fs::path(std::string(name)) : output;
  const auto filled = [&](std::string_view text) {
    std::string result = replace_all(std::string(text), "@Project@", project_class);
    return replace_all(replace_all(std::move(result), "@project@", project), "@file@", project);
  };
  NewFiles files = {{folder / "CMakeLists.txt", filled(data::new_cmake_lists())},
                    {folder / "README.md", filled(data::new_readme())},
                    {folder / ".gitignore", filled(data::new_gitignore())},
                    {folder / "config.yaml", filled(data::new_config())},
                    {folder / "src" / "main.cpp", filled(data::new_main())},
                    {folder / "src" / "classes.cpp", filled(data::new_classes())}};
  for (const auto& kind : new_kinds()) {
    add_class_files(files, kind, project_class + kind.suffix, project + "_" + kind.name, folder);
  }
  write_new_ones(files);
  return fmt::format(
      "{0}\nto build and train:\n"
      "  cd {1}\n"
      "  cmake -S . -B build && cmake --build build && ctest --test-dir build\n"
      "  levin fit --plugin build/lib{2}.so --config config.yaml\n",
      list_of_files(files), folder.string(), project);
}

/// Puts the class into src/classes.cpp, if that has the lines for it; returns whether it has.
bool name_in_classes(const fs::path& path, const std::string& include, const std::string& line) {
  if (!files::exists(path)) return false;
  std::string text = files::read_text(path);
  const size_t includes = text.find(kIncludesEnd);
  const size_t classes = text.find(kClassesEnd);
  if (includes == std::string::npos || classes == std::string::npos || classes < includes) {
    return false;
  }
  text.insert(classes, line);
  text.insert(includes, include);
  files::write_atomically(path, text);
  return true;
}

std::string write_class(const NewKind& kind, const std::string& class_name,
                        const fs::path& folder) {
  NewFiles files;
  const std::string file = snake_case(class_name);
  add_class_files(files, kind, class_name, file, folder);
  write_new_ones(files);
  const std::string include = fmt::format("#include \"{}.h\"\n", file);
  const std::string line = fmt::format("  registry.{0}.add<{1}>(\"{1}\", \"{2}\");\n", kind.list,
                                       class_name, "what it does, in one line");
  const fs::path classes = folder / "src" / "classes.cpp";
  std::string text = list_of_files(files);
  if (name_in_classes(classes, include, line)) {
    return text +
           fmt::format("{} names it; say there in one line what it does\n", classes.string());
  }
  return text + fmt::format(
                    "\nadd it to your levin_plugin, or to the registry of your program:\n"
                    "  {}{}",
                    include, line);
}

}  // namespace

const std::vector<std::string>& kinds_of_new_files() {
  static const std::vector<std::string> kinds = {"project", "model", "datamodule", "callback"};
  return kinds;
}

std::string write_new_files(std::string_view kind, std::string_view name, const fs::path& folder) {
  const auto& known = kinds_of_new_files();
  if (std::find(known.begin(), known.end(), kind) == known.end()) {
    throw ConfigError::unknown_name("kind", kind, known);
  }
  require_class_name(name);
  if (kind == "project") return write_project(name, folder);
  const auto found = std::find_if(new_kinds().begin(), new_kinds().end(),
                                  [&](const NewKind& each) { return each.name == kind; });
  return write_class(*found, std::string(name), folder);
}

std::string new_files_help() {
  return R"(
  project      a folder with a model, a data module, a callback, their tests, a configuration and
               a CMakeLists.txt, which builds a library for --plugin and a program
  model, datamodule, callback
               the sources of one class in src/, and its test in tests/

options:
  -o, --output FOLDER  where to write: the folder of a new project, by default NAME; for a class
                       the folder of its project, by default the current one

NAME is a name of C++, such as MyNet, whose files are my_net.h, my_net.cpp and my_net_test.cpp.
No file is overwritten.
)";
}

}  // namespace levin
