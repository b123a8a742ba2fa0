#include <levin/framework/plots/phase_plot.h>

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/value.h>
#include <levin/framework/plots/bar_plot.h>
#include <levin/framework/plots/plot_frame.h>
#include <levin/framework/plots/svg.h>

namespace levin {
namespace {

constexpr int kPhasePlotWidth = 640;
constexpr double kPhaseLeft = 108.0;
constexpr double kLongestPhaseBar = 416.0;
constexpr double kPhaseRow = 34.0;
constexpr double kPhaseRunName = 24.0;  // a line of it
constexpr int kPhaseRunLetters = 56;    // in a line
constexpr double kPhaseSwatch = 24.0;
constexpr double kPhaseLetter = 10.5;  // of text that has grown
constexpr size_t kPhaseColours = svg::kColours - 1;
constexpr const char* kOtherPhases = "other parts";

PhaseSeconds sorted_phases(const std::map<std::string, double>& seconds) {
  PhaseSeconds phases(seconds.begin(), seconds.end());
  std::stable_sort(phases.begin(), phases.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return phases;
}

/// The parts with colours of their own, and behind them kOtherPhases if there are more.
std::vector<std::string> coloured_phases(const std::vector<RunPhases>& runs) {
  std::vector<std::string> names = phase_names(runs);
  if (names.size() > svg::kColours) {
    names.resize(kPhaseColours);
    names.emplace_back(kOtherPhases);
  }
  return names;
}

std::string draw_phase_legend(const std::vector<std::string>& names, double& top) {
  std::string out;
  double x = 28.0;
  for (size_t i = 0; i < names.size(); ++i) {
    const double width = kPhaseSwatch + kPhaseLetter * static_cast<double>(names[i].size()) + 18.0;
    if (x > 28.0 && x + width > kPhasePlotWidth) {
      x = 28.0;
      top += 26.0;
    }
    out +=
        fmt::format("<rect class=\"d{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"16\" height=\"16\"/>\n",
                    i, x, top - 8.0);
    out += svg::text(x + kPhaseSwatch, top + 5.0, names[i], "start");
    x += width;
  }
  top += 22.0;
  return out;
}

/// The bar of a rank, whose upper edge is at `y`; a second is `scale` pixels wide.
std::string draw_rank(const RankPhases& rank, const std::vector<std::string>& names, double scale,
                      double y) {
  std::string out =
      svg::text(kPhaseLeft - 10.0, y + 16.0, fmt::format("rank {}", rank.rank), "end");
  const double whole = seconds_of_all(rank.seconds);
  double left = whole;
  double x = kPhaseLeft;
  for (size_t i = 0; i < names.size(); ++i) {
    const double seconds = names[i] == kOtherPhases
                               ? std::max(left, 0.0)
                               : seconds_of_part(rank.seconds, names[i]).value_or(0.0);
    left -= seconds;
    if (seconds <= 0.0) continue;
    out += fmt::format(
        "<rect class=\"d{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"22\">"
        "<title>rank {}, {}: {:.3g} s ({:.1f} %)</title></rect>\n",
        i, x, y, scale * seconds, rank.rank, svg::escaped(names[i]), seconds,
        100.0 * seconds / whole);
    x += scale * seconds;
  }
  return out + svg::text(x + 8.0, y + 16.0, fmt::format("{:.3g} s", whole), "start", "faint");
}

}  // namespace

std::vector<RankPhases> phase_seconds(std::string_view trace) {
  std::map<int64_t, std::map<std::string, double>> ranks;
  try {
    const Value value = Value::from_json(trace);
    for (const Value& event : value.at("traceEvents").as_array()) {
      if (event.at("ph").as_string() != "X" || event.at("cat").as_string() != "training") continue;
      ranks[event.at("pid").as_int()][event.at("name").as_string()] +=
          event.at("dur").as_double() * 1e-6;
    }
  } catch (const Error& error) {
    throw DataError::corrupt(
        "trace.json", fmt::format("{}; run the fit again with profiler: trace", error.what()));
  }
  std::vector<RankPhases> phases;
  for (const auto& [rank, seconds] : ranks) phases.push_back({rank, sorted_phases(seconds)});
  return phases;
}

double seconds_of_all(const PhaseSeconds& phases) {
  double whole = 0.0;
  for (const auto& [name, seconds] : phases) whole += seconds;
  return whole;
}

std::optional<double> seconds_of_part(const PhaseSeconds& phases, std::string_view part) {
  for (const auto& [name, seconds] : phases) {
    if (name == part) return seconds;
  }
  return std::nullopt;
}

std::vector<std::string> phase_names(const std::vector<RunPhases>& runs) {
  std::map<std::string, double> all;
  for (const auto& run : runs) {
    for (const auto& rank : run.ranks) {
      for (const auto& [name, seconds] : rank.seconds) all[name] += seconds;
    }
  }
  std::vector<std::string> names;
  for (const auto& [name, seconds] : sorted_phases(all)) names.push_back(name);
  return names;
}

std::string draw_phases(std::string_view title, const PhaseSeconds& phases, bool with_style) {
  const double whole = seconds_of_all(phases);
  std::vector<PlotBar> bars;
  for (const auto& [name, seconds] : phases) {
    bars.push_back(
        {name, seconds,
         fmt::format("{:.3g} s ({:.1f} %)", seconds, whole > 0.0 ? 100.0 * seconds / whole : 0.0)});
  }
  return draw_bars(title, bars, with_style);
}

std::string draw_phases_of_ranks(std::string_view title, const std::vector<RunPhases>& runs,
                                 bool with_style) {
  const auto names = coloured_phases(runs);
  double most = 0.0;
  for (const auto& run : runs) {
    for (const auto& rank : run.ranks) most = std::max(most, seconds_of_all(rank.seconds));
  }
  const double scale = most > 0.0 ? kLongestPhaseBar / most : 0.0;
  double top = 56.0;
  std::string body = draw_title(title) + draw_phase_legend(names, top);
  for (const auto& run : runs) {
    if (!run.name.empty()) {
      for (const auto& line : svg::wrapped(run.name, kPhaseRunLetters)) {
        body += svg::text(28.0, top + 14.0, line, "start", "text", 15);
        top += kPhaseRunName;
      }
    }
    for (const auto& rank : run.ranks) {
      body += draw_rank(rank, names, scale, top);
      top += kPhaseRow;
    }
  }
  return svg::begin(kPhasePlotWidth, static_cast<int>(top) + 10, title, with_style, true) + body +
         std::string(svg::end());
}

}  // namespace levin
