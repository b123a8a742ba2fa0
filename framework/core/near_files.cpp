#include <levin/framework/core/near_files.h>

#include <filesystem>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

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

}  // namespace levin
