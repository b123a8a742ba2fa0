#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace levin {

/// The parts of a run, such as "forward", and the seconds that they took.
using PhaseSeconds = std::vector<std::pair<std::string, double>>;

/// How long a rank spent on each part of its run, the longest first.
struct RankPhases {
  int64_t rank = 0;
  PhaseSeconds seconds{};
};

/// The ranks of a run, in their order.
struct RunPhases {
  /// What is written above the ranks, if there are several runs.
  std::string name{};
  std::vector<RankPhases> ranks{};
};

/// Adds up the parts of each rank from the text of a trace.json that `profiler: trace` wrote.
/// Exchanges that went on beside other parts aren't counted; the time that a rank waited for others
/// is the part "idle". Throws DataError for a text that is no trace.
std::vector<RankPhases> phase_seconds(std::string_view trace);

/// The seconds of all parts together.
double seconds_of_all(const PhaseSeconds& phases);
/// The seconds of the part of that name; nothing if it isn't there.
std::optional<double> seconds_of_part(const PhaseSeconds& phases, std::string_view part);

/// The names of all parts, the one that took longest on all ranks together first.
std::vector<std::string> phase_names(const std::vector<RunPhases>& runs);

/// Draws the parts of one rank as bars one below the other, with their shares of the whole.
/// Otherwise as draw_lines.
std::string draw_phases(std::string_view title, const PhaseSeconds& phases, bool with_style = true);

/// Draws a bar for each rank of each run, made of its parts in colours of their own: the six that
/// took longest, and all others in grey if these are several. All bars have one scale. Otherwise as
/// draw_lines.
std::string draw_phases_of_ranks(std::string_view title, const std::vector<RunPhases>& runs,
                                 bool with_style = true);

}  // namespace levin
