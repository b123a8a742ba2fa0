#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/core/value.h>

namespace levin {

/// The values that a metric had in a run.
struct MetricSeries {
  std::string name{};
  /// (epoch, value), in the order of the epochs, which count from 0. Values may be NaN or infinite.
  std::vector<std::pair<double, double>> points{};
  bool lower_is_better = false;
};

/// A checkpoint in a run's folder.
struct CheckpointFile {
  /// Its path in the folder.
  std::string name{};
  uint64_t bytes = 0;
  bool is_best = false;
  bool is_last = false;
};

/// A drawing of a run.
struct RunPicture {
  /// What it shows, in a few words.
  std::string title{};
  /// An SVG element that uses the classes of svg::style and has no rules of its own.
  std::string svg{};
};

/// All that a report shows of a run.
struct RunReport {
  /// The folder's name, "version_3".
  std::string name{};
  /// The fits that run.json has, the latest one last; empty if the run has no such file.
  Value::Array fits{};
  std::vector<MetricSeries> metrics{};
  std::vector<RunPicture> pictures{};
  std::vector<CheckpointFile> checkpoints{};
};

/// Returns the report as an HTML page: one file that loads nothing and runs no script, with the
/// results, the settings, the machine, the data's checksums, the layers and the checkpoints. What
/// isn't known is left out. Long lists are cut, and say so, so that the page stays below 2 MB.
std::string report_page(const RunReport& report);

}  // namespace levin
