#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace levin {

/// Why a rank failed, as it said itself.
struct FailureReport {
  std::string message;
  /// Whether it failed only because another rank had: a connection closed, a peer that is gone.
  bool because_of_another_rank = false;
  /// When, in files::monotonic_seconds(): the same clock for all ranks of a host.
  double seconds = 0;
};

/// Tells whoever started this rank why it fails: the file that LEVIN_ERROR_FILE names, for Levin's
/// launcher, and the one that TORCHELASTIC_ERROR_FILE names, for torchrun. The first call counts.
/// Does nothing where neither is set, and never throws: the failure itself matters more.
void report_failure(std::string_view message, bool because_of_another_rank) noexcept;

/// What report_failure wrote; nothing where there is no such file or it isn't whole.
std::optional<FailureReport> read_failure_report(const std::filesystem::path& path);

}  // namespace levin
