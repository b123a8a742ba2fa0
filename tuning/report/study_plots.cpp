#include <levin/tuning/report/study_plots.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include <fmt/format.h>

#include <levin/framework/core/terminal.h>
#include <levin/framework/plots/plot_frame.h>
#include <levin/framework/plots/plot_scale.h>
#include <levin/framework/plots/svg.h>
#include <levin/tuning/report/parameter_importance.h>
#include <levin/tuning/report/study_report.h>

namespace levin {
namespace {

constexpr int kWidth = 860;
constexpr int kLongestLabel = 18;
constexpr double kLeft = 78.0;
/// The trials with a finite first value.
std::vector<const Trial*> plotted_trials(const Study& study) {
  std::vector<const Trial*> trials;
  for (const Trial& trial : study.trials) {
    if (!trial.values.empty() && std::isfinite(trial.values[0])) trials.push_back(&trial);
  }
  return trials;
}

PlotScale scale_of_values(const std::vector<const Trial*>& trials) {
  std::vector<double> values;
  for (const Trial* trial : trials) values.push_back(trial->values[0]);
  return PlotScale::of_values(values);
}

/// The distribution that each parameter had last.
std::map<std::string, Distribution> last_distributions(const std::vector<const Trial*>& trials) {
  std::map<std::string, Distribution> found;
  for (const Trial* trial : trials) {
    for (const auto& [name, distribution] : trial->distributions) {
      found.insert_or_assign(name, distribution);
    }
  }
  return found;
}

bool is_better(const Study& study, double a, double b) {
  return study.directions[0] == StudyDirection::maximize ? a > b : a < b;
}

/// The axis of a parameter.
PlotScale scale_of_parameter(const Distribution& distribution) {
  if (!distribution.is_categorical()) {
    using Kind = PlotScale::Kind;
    return PlotScale::of_range(distribution.low(), distribution.high(),
                               distribution.is_log()   ? Kind::logarithmic
                               : distribution.is_int() ? Kind::whole
                                                       : Kind::linear);
  }
  std::vector<std::string> names;
  for (const Value& choice : distribution.choices()) {
    const std::string text = choice.is_string() ? choice.as_string() : choice.to_json();
    const bool is_long = text_columns(text) > kLongestLabel;
    names.push_back(is_long ? cut_to_columns(text, kLongestLabel - 3) + "..." : text);
  }
  return PlotScale::of_names(names);
}

std::string title_of(const Study& study, std::string_view what) {
  return fmt::format("{}: {}", study.name, what);
}

/// A point with a text that browsers show beside the pointer.
std::string draw_trial(double x, double y, const Study& study, const Trial& trial) {
  const char* const style = trial.state == TrialState::complete ? "d0" : "faint";
  return fmt::format(
      "<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill-opacity=\"0.75\"><title>{}"
      "</title></circle>\n",
      style, x, y, svg::escaped(trial_line(study, trial)));
}

std::string draw_empty(std::string_view title, bool with_style) {
  std::string out = svg::begin(kWidth, 120, title, with_style);
  out += svg::text(28.0, 30.0, title, "start", "text", 17);
  out += svg::text(28.0, 70.0, "No trial has a value yet.", "start", "faint");
  return out.append(svg::end());
}

}  // namespace

std::string draw_history(const Study& study, bool with_style) {
  const std::string title = title_of(study, "history");
  const auto trials = plotted_trials(study);
  if (trials.empty()) return draw_empty(title, with_style);
  const PlotFrame frame;
  const PlotScale values = scale_of_values(trials);
  const PlotScale numbers =
      PlotScale::of_range(0.0, static_cast<double>(std::max<int64_t>(trials.back()->number, 1)),
                          PlotScale::Kind::whole);
  std::string out = svg::begin(kWidth, 420, title, with_style) + draw_title(title);
  out += draw_vertical_axis(frame, values, objective_names(study).front());
  out += draw_horizontal_axis(frame, numbers, "trial");
  std::string line;
  std::optional<double> best;
  for (const Trial* trial : trials) {
    const double value = trial->values[0];
    const double x = frame.x(numbers.place(static_cast<double>(trial->number)));
    if (trial->state == TrialState::complete && (!best || is_better(study, value, *best))) {
      if (best) line += fmt::format(" {:.1f},{:.1f}", x, frame.y(values.place(*best)));
      best = value;
      line += fmt::format(" {:.1f},{:.1f}", x, frame.y(values.place(value)));
    }
  }
  if (best) {
    line += fmt::format(" {:.1f},{:.1f}", frame.right, frame.y(values.place(*best)));
    out += fmt::format("<polyline class=\"c3\" points=\"{}\" fill=\"none\" stroke-width=\"2\"/>\n",
                       line.substr(1));
  }
  for (const Trial* trial : trials) {
    out += draw_trial(frame.x(numbers.place(static_cast<double>(trial->number))),
                      frame.y(values.place(trial->values[0])), study, *trial);
  }
  return out.append(svg::end());
}

std::string draw_parallel_coordinates(const Study& study, bool with_style) {
  const std::string title = title_of(study, "parallel coordinates");
  auto trials = plotted_trials(study);
  if (trials.empty()) return draw_empty(title, with_style);
  std::stable_sort(trials.begin(), trials.end(), [&](const Trial* a, const Trial* b) {
    return is_better(study, b->values[0], a->values[0]);  // the best ones are drawn last
  });
  std::vector<std::string> names;
  std::vector<PlotScale> scales;
  for (const auto& [name, distribution] : last_distributions(trials)) {
    names.push_back(name);
    scales.push_back(scale_of_parameter(distribution));
  }
  names.push_back(objective_names(study).front());
  scales.push_back(scale_of_values(trials));
  const auto columns = static_cast<double>(std::max<size_t>(names.size() - 1, 1));
  const int width = std::max(kWidth, static_cast<int>(150.0 * columns) + 170);
  PlotFrame frame;
  frame.top = 84.0;
  frame.right = width - 90.0;
  const auto x_of = [&](size_t column) { return frame.x(static_cast<double>(column) / columns); };
  std::string out = svg::begin(width, 390, title, with_style) + draw_title(title);
  const size_t first_best = trials.size() - (trials.size() + 9) / 10;
  for (size_t i = 0; i < trials.size(); ++i) {
    std::string points;
    for (size_t column = 0; column < names.size(); ++column) {
      const bool is_value = column + 1 == names.size();
      const auto value = trials[i]->parameters.find(names[column]);
      if (!is_value && value == trials[i]->parameters.end()) continue;
      const double place = scales[column].place(is_value ? trials[i]->values[0] : value->second);
      points += fmt::format(" {:.1f},{:.1f}", x_of(column), frame.y(place));
    }
    out += fmt::format(
        "<polyline class=\"{}\" points=\"{}\" fill=\"none\" stroke-opacity=\"{}\"><title>{}</title>"
        "</polyline>\n",
        i < first_best ? "c0" : "c3", points.substr(1), i < first_best ? "0.3" : "0.9",
        svg::escaped(trial_line(study, *trials[i])));
  }
  for (size_t column = 0; column < names.size(); ++column) {
    out += svg::line(x_of(column), frame.top, x_of(column), frame.bottom, "axis");
    const double y = frame.top - (column % 2 == 0 ? 12.0 : 30.0);  // long names don't touch
    out += svg::text(x_of(column), y, names[column], "middle", "text", 12);
    for (const auto& [place, mark] : scales[column].marks()) {
      out += svg::text(x_of(column) - 5.0, frame.y(place) + 4.0, mark, "end", "faint", 11);
    }
  }
  return out.append(svg::end());
}

std::string draw_slices(const Study& study, bool with_style) {
  const std::string title = title_of(study, "slices");
  const auto trials = plotted_trials(study);
  if (trials.empty()) return draw_empty(title, with_style);
  const auto distributions = last_distributions(trials);
  const PlotScale values = scale_of_values(trials);
  constexpr double kRowHeight = 270.0;
  const auto rows = static_cast<int>((distributions.size() + 1) / 2);
  std::string out =
      svg::begin(kWidth, 60 + static_cast<int>(kRowHeight) * std::max(rows, 1), title, with_style) +
      draw_title(title);
  int index = 0;
  for (const auto& [name, distribution] : distributions) {
    PlotFrame frame;
    frame.left = index % 2 == 0 ? kLeft : 500.0;
    frame.right = frame.left + 330.0;
    frame.top = 72.0 + kRowHeight * (index / 2);
    frame.bottom = frame.top + 190.0;
    ++index;
    const PlotScale scale = scale_of_parameter(distribution);
    out += draw_vertical_axis(frame, values, objective_names(study).front());
    out += draw_horizontal_axis(frame, scale, name);
    for (const Trial* trial : trials) {
      const auto value = trial->parameters.find(name);
      if (value == trial->parameters.end()) continue;
      out += draw_trial(frame.x(scale.place(value->second)),
                        frame.y(values.place(trial->values[0])), study, *trial);
    }
  }
  return out.append(svg::end());
}

std::string draw_importances(const Study& study, bool with_style) {
  const std::string title = title_of(study, "importance of the parameters");
  const auto importances = parameter_importances(study);
  if (importances.empty()) return draw_empty(title, with_style);
  const int height = 70 + 30 * static_cast<int>(importances.size());
  std::string out = svg::begin(kWidth, height, title, with_style) + draw_title(title);
  double y = 54.0;
  for (const auto& [name, importance] : importances) {
    out += svg::text(296.0, y + 14.0, name, "end");
    out +=
        fmt::format("<rect class=\"d0\" x=\"304\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"18\"/>\n",
                    y, 480.0 * importance);
    out += svg::text(312.0 + 480.0 * importance, y + 14.0, fmt::format("{:.2f}", importance),
                     "start", "faint");
    y += 30.0;
  }
  return out.append(svg::end());
}

}  // namespace levin
