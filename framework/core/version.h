#pragma once

namespace levin {

/// Levin's version: semantic versioning, https://semver.org.
inline constexpr const char* kVersion = "0.1.0";
/// Of the layout of checkpoints; goes up when an older Levin couldn't read them.
inline constexpr int kCheckpointFormat = 1;

}  // namespace levin
