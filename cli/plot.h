#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace levin {

/// One metric of a run: (epoch, value), in order.
using Curve = std::vector<std::pair<double, double>>;

/// A metric's last value in each epoch, from the text of a metrics.csv. Throws ConfigError, naming
/// the nearest, where there is no such column, and DataError for a broken file.
Curve read_curve(std::string_view csv, std::string_view metric);

/// The metrics a metrics.csv has, without its columns epoch and step.
std::vector<std::string> metric_names(std::string_view csv);

/// A chart in plain text, `width` by `height` characters without its axes.
std::string draw_chart(std::string_view metric, const Curve& curve, int width = 64,
                       int height = 16);

/// The charts of `levin plot RUN`: RUN is a run folder or a metrics.csv. Without `metrics`, what
/// was validated (val_acc, else val_loss, else the first there is).
std::string plot_run(const std::filesystem::path& run, std::vector<std::string> metrics);

}  // namespace levin
