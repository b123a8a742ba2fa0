#include <levin/framework/checkpoint/own_checkpoint.h>

#include <algorithm>
#include <system_error>

#include <levin/framework/checkpoint/sharded_checkpoint.h>

namespace levin {
namespace {

/// Returns the path without links and `..`; empty if nothing is there or it can't be found out.
std::filesystem::path real_path(const std::filesystem::path& path) {
  if (path.native().find('\0') != std::string::npos) return {};
  std::error_code error;
  auto real = std::filesystem::canonical(path, error);
  return error ? std::filesystem::path() : real;
}

bool is_below(const std::filesystem::path& folder, const std::filesystem::path& path) {
  if (folder.empty() || path.empty()) return false;
  const auto [end, rest] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return end == folder.end() && rest != path.end();
}

}  // namespace

bool is_checkpoint_in(const std::filesystem::path& folder, const std::filesystem::path& path) {
  std::error_code ignored;
  // One look for what often isn't there. The real path takes a system call for each part of the
  // path.
  if (!std::filesystem::exists(path, ignored)) return false;
  const auto real = real_path(path);
  if (!is_below(real_path(folder), real)) return false;
  return std::filesystem::is_regular_file(real, ignored) ||
         (std::filesystem::is_directory(real, ignored) && has_checkpoint(real));
}

bool remove_checkpoint_in(const std::filesystem::path& folder, const std::filesystem::path& path) {
  if (!is_checkpoint_in(folder, path)) return false;
  remove_checkpoint(real_path(path));
  return true;
}

}  // namespace levin
