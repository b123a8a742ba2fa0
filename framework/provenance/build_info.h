#pragma once

#include <string>

#include <levin/framework/core/value.h>

namespace levin {

/// Which build of Levin this process runs.
struct BuildInfo {
  /// Levin's version, "0.1.0".
  std::string version{};
  /// The commit of Levin's sources, 40 hexadecimal digits; empty if the build didn't know it, as
  /// one from an unpacked archive that `git archive` hasn't made.
  std::string commit{};
  /// Whether the sources differed from that commit.
  bool is_changed = false;
  /// The compiler that built Levin, "gcc 12.2.0".
  std::string compiler{};
};

/// Returns the facts on this build.
BuildInfo build_info();

/// Returns the facts as an object with the members version, commit (null if it isn't known),
/// changed and compiler.
Value to_value(const BuildInfo& build);

}  // namespace levin
