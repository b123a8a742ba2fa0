#include <levin/framework/report/status_parts.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/first_bytes.h>
#include <levin/framework/plots/svg.h>
#include <levin/framework/report/report_text.h>

namespace levin::report_parts {
namespace {

using namespace report_text;

constexpr size_t kLongestMessage = 4000;
constexpr size_t kMostNamed = 5;

std::string counted_with_commas(const Value& count, std::string_view noun) {
  return fmt::format("{} {}{}", count_shown(count), noun, count == Value(1) ? "" : "s");
}

/// A message of the record, which may be longer than what other members are cut to.
std::string message_shown(const Value& fit, std::string_view name) {
  const Value& text = member(fit, name);
  if (!text.is_string()) return shown(text);
  if (text.as_string().size() <= kLongestMessage) return text.as_string();
  return std::string(first_bytes(text.as_string(), kLongestMessage)) + "...";
}

/// A box with a message; each of its lines is a line of the box.
std::string problem(std::string_view title, std::string_view message) {
  std::string lines;
  while (true) {
    const size_t end = message.find('\n');
    lines += svg::escaped(message.substr(0, end));
    if (end == std::string_view::npos) break;
    lines += "<br>\n";
    message.remove_prefix(end + 1);
  }
  return fmt::format("<p class=\"problem\"><strong>{}:</strong> {}</p>\n", svg::escaped(title),
                     lines);
}

/// " after 3 epochs and 135 steps, in 1.5 s"
std::string extent_shown(const Value& fit) {
  std::string text;
  const Value& epochs = member(fit, "epochs");
  const Value& steps = member(fit, "global_step");
  if (epochs.is_int() && steps.is_int()) {
    text = steps == Value(0) ? " before its first step"
           : epochs == Value(0)
               ? fmt::format(" in its first epoch, after {}", counted_with_commas(steps, "step"))
               : fmt::format(" after {} and {}", counted_with_commas(epochs, "epoch"),
                             counted_with_commas(steps, "step"));
  }
  const std::string time = duration_shown(fit);
  if (!time.empty()) text += ", in " + time;
  const auto first = whole_number_of(member(fit, "first_step")).value_or(0);
  return first > 0 ? fmt::format("{} from step {} on", text, count_shown(Value(first))) : text;
}

/// A sentence on the checkpoint that a fit which ended too early can go on from.
std::string checkpoint_sentence(const RunReport& report) {
  const auto last = std::find_if(report.checkpoints.begin(), report.checkpoints.end(),
                                 [](const CheckpointFile& each) { return each.is_last; });
  if (report.checkpoints.empty()) return " It has left no checkpoint.";
  if (last == report.checkpoints.end()) return {};
  return fmt::format(" It can go on from {}.", last->name);
}

/// The last epoch that any metric has.
std::string last_epoch_sentence(const RunReport& report) {
  double last = -1.0;
  for (const auto& series : report.metrics) {
    if (!series.points.empty()) last = std::max(last, series.points.back().first);
  }
  if (last < 0.0) return " It has logged no metrics yet.";
  return fmt::format(" Its last metrics are those of epoch {}.",
                     count_shown(Value(static_cast<int64_t>(last))));
}

std::string status_sentence(const RunReport& report, const Value& fit) {
  const std::string status = shown(fit, "status");
  if (status == "running") {
    return "The fit is running, or its process ended without saying how." +
           last_epoch_sentence(report);
  }
  const std::string reason = message_shown(fit, "stop_reason");
  const std::string extent = extent_shown(fit);
  if (status == "failed") return "The fit failed" + extent + "." + checkpoint_sentence(report);
  if (status == "interrupted") {
    return "The fit was interrupted by a signal" + extent + "." + checkpoint_sentence(report);
  }
  if (status != "done") return status + extent + ".";
  const bool is_limit = reason.starts_with("max_");
  return fmt::format("The fit {}{}{}.", is_limit || reason.empty() ? "is done" : "ended", extent,
                     is_limit         ? ": " + reason + " was reached"
                     : reason.empty() ? ""
                                      : ": " + reason);
}

}  // namespace

std::optional<std::pair<double, double>> best_point(const MetricSeries& series) {
  std::optional<std::pair<double, double>> best;
  for (const auto& point : series.points) {
    if (!std::isfinite(point.second)) continue;
    const bool is_better = !best || (series.lower_is_better ? point.second < best->second
                                                            : point.second > best->second);
    if (is_better) best = point;
  }
  return best;
}

std::string status_part(const RunReport& report, const Value& fit) {
  const std::string status = shown(fit, "status");
  std::string out;
  if (!status.empty()) {
    out = fmt::format("<p><span class=\"status{}\">{}</span> {}</p>\n",
                      status == "failed" ? " failed" : "", svg::escaped(status),
                      svg::escaped(status_sentence(report, fit)));
  }
  const std::string error = message_shown(fit, "error");
  return error.empty() ? out : out + problem("The error", error);
}

std::string not_finite_part(const RunReport& report) {
  std::vector<std::string> named;
  for (const auto& series : report.metrics) {
    const auto finite = std::find_if(series.points.rbegin(), series.points.rend(),
                                     [](const auto& each) { return std::isfinite(each.second); });
    if (finite == series.points.rbegin()) continue;
    if (named.size() == kMostNamed) {
      named.emplace_back("and others");
      break;
    }
    named.push_back(fmt::format("{} is {:g} (since epoch {:g})", cut(series.name),
                                series.points.back().second, finite.base()->first));
  }
  if (named.empty()) return {};
  return problem("Values that aren't finite", fmt::format("{}", fmt::join(named, ", ")));
}

}  // namespace levin::report_parts
