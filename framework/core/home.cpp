#include <levin/framework/core/home.h>

#include <cctype>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

bool stands_for_home(std::string_view first) {
  return first == "~" || first == "$HOME" || first == "${HOME}";
}

/// Whether a path's first part is what a shell would replace.
bool is_for_a_shell(std::string_view first) {
  if (first.size() < 2) return false;
  const auto second = static_cast<unsigned char>(first[1]);
  const bool is_name = std::isalpha(second) != 0 || second == '_';
  return first[0] == '~' ? is_name : first[0] == '$' && (is_name || second == '{');
}

}  // namespace

std::string expand_home(std::string path, std::string_view option) {
  const std::string first = path.substr(0, path.find('/'));
  if (stands_for_home(first)) {
    const char* home = std::getenv("HOME");
    if (home != nullptr && *home != '\0') return home + path.substr(first.size());
    throw ConfigError::invalid_value(
        option, path, "the environment variable HOME isn't set; give the whole path");
  }
  if (is_for_a_shell(first)) {
    throw ConfigError::invalid_value(
        option, path,
        fmt::format("only ~ and $HOME are replaced at the start of a path; give the whole path, or "
                    "./{} for a file of this name",
                    path));
  }
  return path;
}

std::vector<std::string> expand_home(std::vector<std::string> paths, std::string_view option) {
  for (auto& path : paths) path = expand_home(std::move(path), option);
  return paths;
}

}  // namespace levin
