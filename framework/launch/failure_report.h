#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace levin {

/// What a rank wrote about its own failure, for the launcher to read.
struct FailureReport {
  /// The message of the exception that ended the rank.
  std::string message;
  /// True if the rank failed only as a consequence of another rank's failure, for example because
  /// the other rank's connection closed. The launcher then names the other rank.
  bool because_of_another_rank = false;
  /// When the rank failed, in files::monotonic_seconds(). All processes of a host share this clock,
  /// so the times of different ranks can be compared.
  double seconds = 0;
};

/// Seconds by which the report of the first failure may arrive after reports of failures that it
/// caused. Whoever receives reports waits this long before it takes a consequence for the cause.
inline constexpr double kLongestReportDelay = 0.3;

/// Returns the text with spaces instead of line breaks and without those at its end, so that a
/// message fits on one line.
std::string in_one_line(std::string text);

/// Tells the launcher why this rank is about to fail.
///
/// Writes the file that LEVIN_ERROR_FILE names, which Levin's own launcher reads, and the file that
/// TORCHELASTIC_ERROR_FILE names, which torchrun reads. Does nothing if neither variable is set. A
/// report that exists already is kept, so only the first call has an effect. Never throws: if the
/// file can't be written, the failure itself is still reported by the caller.
void report_failure(std::string_view message, bool because_of_another_rank) noexcept;

/// Reads a file written by report_failure. Returns nothing if the file doesn't exist or isn't a
/// complete report.
std::optional<FailureReport> read_failure_report(const std::filesystem::path& path);

}  // namespace levin
