#include <levin/callbacks/checkpoint_name_check.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>

#include <levin/framework/core/error.h>
#include <levin/framework/core/home.h>

namespace levin {
namespace {

// File systems allow names of 255 bytes. A version, the extension and, while it is written, a
// temporary ending are added to a name.
constexpr size_t kMostBytesOfName = 200;
constexpr int kMostWidth = 99;

/// Whether a number format asks for a width or a precision above kMostWidth.
bool is_too_wide(std::string_view spec) {
  int64_t number = 0;
  for (const char c : spec) {
    number = c >= '0' && c <= '9' ? std::min<int64_t>(number * 10 + (c - '0'), kMostWidth + 1) : 0;
    if (number > kMostWidth) return true;
  }
  return false;
}

/// Returns the longest name of a file or folder in a path.
std::string longest_part(const std::filesystem::path& path) {
  std::string longest;
  for (const auto& part : path) {
    if (part.native().size() > longest.size()) longest = part.native();
  }
  return longest;
}

}  // namespace

void refuse_checkpoint_name(std::string_view pattern, std::string_view requirement) {
  throw ConfigError::invalid_value("ModelCheckpoint.filename", pattern, requirement);
}

void check_width_of_number(std::string_view pattern, std::string_view spec) {
  if (!is_too_wide(spec)) return;
  refuse_checkpoint_name(
      pattern, fmt::format("the format '{}' asks for more than {} characters", spec, kMostWidth));
}

void check_checkpoint_name(std::string_view pattern, const std::string& name) {
  const bool has_folder = name.find('/') != std::string::npos;
  // No folder is ever named "~": a path into the home folder is one out of the checkpoints' folder.
  const std::filesystem::path example =
      has_folder ? expand_home(name, "ModelCheckpoint.filename") : name;
  const bool leaves = std::find(example.begin(), example.end(), "..") != example.end();
  if (example.is_absolute() || leaves || !example.has_filename()) {
    refuse_checkpoint_name(
        pattern,
        "must be a file name without a path out of the folder; set `dirpath` to choose the "
        "folder");
  }
  const auto longest = longest_part(example);
  if (longest.size() <= kMostBytesOfName) return;
  refuse_checkpoint_name(
      pattern, fmt::format("makes a name of {} bytes, such as '{}'; the most is {}, so shorten it",
                           longest.size(), longest, kMostBytesOfName));
}

}  // namespace levin
