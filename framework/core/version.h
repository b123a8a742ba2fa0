#pragma once

namespace levin {

/// Levin's version, as `levin --version` prints it and checkpoints record it ("levin_version").
/// Semantic versioning, https://semver.org.
inline constexpr const char* kVersion = "0.1.0";
/// The number of the layout of checkpoints, which each checkpoint of `Trainer::fit` records
/// ("checkpoint_format"). It goes up if the layout changes so that an older Levin can't read it.
inline constexpr int kCheckpointFormat = 1;

}  // namespace levin
