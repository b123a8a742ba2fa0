#pragma once

#include <string>

#include <levin/cli/command.h>
#include <levin/framework/core/options.h>

namespace levin {

struct PlotOptions {
  /// Which picture: "curves", "learning-rate", "confusion", "roc", "time", "weights", or "all".
  std::string kind = "curves";
  /// The checkpoint whose predictions or weights are drawn: a file, or the run's "best" or "last".
  std::string ckpt_path = "best";
  /// The data of the confusion matrix and the ROC curves: "validation" or "test".
  std::string split = "validation";
};
Fields describe(PlotOptions& options);

/// The command `levin plot RUN... [--kind KIND] [--output FILE|FOLDER]`, which draws pictures of
/// past runs: as text, or as SVG or PNG files. RUN is the folder of a run or its metrics.csv.
Command plot_command();

}  // namespace levin
