#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <levin/framework/core/value.h>

namespace levin {

/// The commit that a folder's files are from.
struct GitState {
  /// 40 or 64 hexadecimal digits.
  std::string commit{};
  /// Whether files that git tracks differ from that commit.
  bool is_changed = false;
};

/// Asks `git`, if PATH has it, which commit the files of `folder` are from. Nothing if there is no
/// git, the folder isn't in a repository or has no commit yet, or git hasn't answered within
/// `seconds`. It changes nothing in the repository and runs no hook of it.
std::optional<GitState> git_state(const std::filesystem::path& folder, double seconds = 1.0);

/// Returns the state as an object with the members commit and changed; null for none.
Value to_value(const std::optional<GitState>& state);

}  // namespace levin
