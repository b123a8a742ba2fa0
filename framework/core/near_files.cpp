#include <levin/framework/core/near_files.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include <levin/framework/core/differing_length.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/small_letters.h>

namespace levin {

std::string missing_file_hint(std::string_view path) {
  constexpr size_t kMostFiles = 10'000;  // a folder of data may have millions
  namespace fs = std::filesystem;
  const fs::path given{std::string(path)};
  const fs::path parent = given.parent_path();
  const fs::path folder = parent.empty() ? fs::path(".") : parent;
  std::error_code error;
  std::vector<std::string> names;
  fs::directory_iterator entry(folder, error);
  if (error == std::errc::no_such_file_or_directory) {
    return fmt::format("; there is no folder '{}' either", parent.string());
  }
  for (; !error && entry != fs::directory_iterator() && names.size() < kMostFiles;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  const std::string nearest = nearest_name(given.filename().string(), names);
  if (nearest.empty()) return {};
  return fmt::format("; did you mean '{}'?", (parent / nearest).string());
}

std::string nearest_ending(std::string_view path, const std::vector<std::string>& endings) {
  const std::string given =
      to_small_letters(std::filesystem::path(std::string(path)).extension().string());
  if (given.empty()) return {};
  const auto is_meant = [&](std::string_view known) {
    if (std::is_permutation(given.begin(), given.end(), known.begin(), known.end())) return true;
    return differing_length(given, known) <= 1;
  };
  const auto found = std::find_if(endings.begin(), endings.end(), is_meant);
  return found == endings.end() ? std::string() : *found;
}

std::string missing_file_of_other_ending(std::string_view path,
                                         const std::vector<std::string>& endings) {
  std::error_code ignored;
  if (std::filesystem::exists(std::filesystem::path(std::string(path)), ignored)) return {};
  std::string hint = missing_file_hint(path);
  const std::string ending = nearest_ending(path, endings);
  if (hint.empty() && !ending.empty()) {
    hint = fmt::format("; did you mean the ending '{}'?", ending);
  }
  return ", and there is no such file" + hint;
}

}  // namespace levin
