#include <levin/framework/plots/run_plots.h>

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/plots/metrics_csv.h>

namespace levin {
namespace {

constexpr size_t kMostMetricPlots = 8;
constexpr std::string_view kTrain = "train_";
constexpr std::string_view kValidation = "val_";

bool has_name(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// "loss" of "train_loss" or "val_loss"; nothing for other names and for the values of single
/// steps.
std::optional<std::string> measured_name(const std::string& metric) {
  if (metric.ends_with("_step")) return std::nullopt;
  for (const auto prefix : {kTrain, kValidation}) {
    if (metric.starts_with(prefix)) return metric.substr(prefix.size());
  }
  return std::nullopt;
}

std::vector<std::string> all_metric_names(const std::vector<RunMetrics>& runs) {
  std::vector<std::string> all;
  for (const auto& run : runs) {
    for (auto& name : metric_names(run.csv)) {
      if (!has_name(all, name)) all.push_back(std::move(name));
    }
  }
  return all;
}

/// Adds a curve for each run that has values of the metric.
void add_metric(LinePlot& plot, const std::vector<RunMetrics>& runs, const std::string& metric,
                std::string_view kind) {
  for (size_t i = 0; i < runs.size(); ++i) {
    if (!has_name(metric_names(runs[i].csv), metric)) continue;
    PlotLine line{.points = read_curve(runs[i].csv, metric), .is_dashed = kind == "training"};
    if (line.points.empty()) continue;
    const bool is_alone = runs.size() == 1;
    line.colour = is_alone && !line.is_dashed ? 0 : is_alone ? 3 : i;
    line.name = is_alone       ? std::string(kind)
                : kind.empty() ? runs[i].name
                               : fmt::format("{}, {}", runs[i].name, kind);
    plot.lines.push_back(std::move(line));
  }
}

LinePlot epoch_plot(std::string label) {
  return {.y_label = std::move(label), .x_label = "epoch", .lines = {}, .is_whole_x = true};
}

/// The names of the plots that show what was measured, with the loss in front.
std::vector<std::string> measured_names(const std::vector<std::string>& metrics) {
  std::vector<std::string> names;
  for (const auto& metric : metrics) {
    const auto name = measured_name(metric);
    if (name && !has_name(names, *name)) names.push_back(*name);
  }
  std::stable_partition(names.begin(), names.end(),
                        [](const std::string& name) { return name == "loss"; });
  if (names.size() > kMostMetricPlots) names.resize(kMostMetricPlots);
  return names;
}

}  // namespace

std::vector<LinePlot> metric_plots(const std::vector<RunMetrics>& runs,
                                   const std::vector<std::string>& metrics) {
  const auto known = all_metric_names(runs);
  std::vector<LinePlot> plots;
  for (const auto& metric : metrics) {
    if (!has_name(known, metric)) throw ConfigError::unknown_name("metric", metric, known);
    plots.push_back(epoch_plot(metric));
    add_metric(plots.back(), runs, metric, "");
  }
  if (!metrics.empty() || known.empty()) return plots;
  for (const auto& name : measured_names(known)) {
    LinePlot plot = epoch_plot(name);
    add_metric(plot, runs, fmt::format("{}{}", kTrain, name), "training");
    add_metric(plot, runs, fmt::format("{}{}", kValidation, name), "validation");
    if (!plot.lines.empty()) plots.push_back(std::move(plot));
  }
  return plots.empty() ? metric_plots(runs, {known.front()}) : plots;
}

std::vector<LinePlot> learning_rate_plots(const std::vector<RunMetrics>& runs) {
  LinePlot plot{.y_label = "learning rate", .x_label = "step", .lines = {}, .is_whole_x = true};
  for (const auto& run : runs) {
    for (const auto& name : metric_names(run.csv)) {
      if (!name.starts_with("lr-") || name.ends_with("-momentum") ||
          name.ends_with("-weight_decay")) {
        continue;
      }
      PlotLine line{.name = runs.size() == 1 ? name : fmt::format("{}, {}", run.name, name),
                    .points = read_step_curve(run.csv, name),
                    .colour = plot.lines.size()};
      if (!line.points.empty()) plot.lines.push_back(std::move(line));
    }
  }
  if (plot.lines.empty()) return {};
  return {std::move(plot)};
}

std::string usual_metric(const std::vector<std::string>& names) {
  for (const char* usual : {"val_acc", "val_loss"}) {
    if (has_name(names, usual)) return usual;
  }
  return names.empty() ? std::string() : names.front();
}

}  // namespace levin
