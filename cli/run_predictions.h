#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <levin/framework/config/registry.h>
#include <levin/framework/core/stage.h>
#include <levin/framework/plots/image_plot.h>
#include <levin/framework/plots/line_plot.h>

namespace levin {

/// What a classifier of a past run says of its data, row by row.
struct RunPredictions {
  std::vector<std::string> class_names{};
  /// How many rows of class i were predicted to be of class j.
  std::vector<std::vector<double>> confusion{};
  /// [classes][rows]: the probability of each class; [1][rows] of class 1 if there are two.
  std::vector<std::vector<double>> scores{};
  /// [rows]: the class of each row.
  std::vector<size_t> targets{};
};

/// Makes the module and the data of a run again, from its config.yaml and a checkpoint (a file, or
/// the run's "best" or "last"), and predicts the rows of `stage`, Stage::validate or Stage::test.
/// Nothing is written. Throws DataError if the run has no config.yaml, ModuleError if the module
/// predicts no "probability" of classes, and what Session and Trainer throw.
RunPredictions predict_run(const std::filesystem::path& run, const std::string& ckpt_path,
                           Stage stage, const Registry& registry);

/// The ROC curves of each class against the rest, or of class 1 if there are two, with the areas
/// in their names. Classes without rows are left out, as are those after the first 20.
LinePlot roc_plot(const RunPredictions& predictions);

/// A ROC curve for each of several runs, which `names` name: that of class 1 if there are two, and
/// otherwise the mean of the curves of all classes. Runs without curves are left out.
LinePlot roc_plot_of_runs(const std::vector<RunPredictions>& runs,
                          const std::vector<std::string>& names);

/// The weights of each class as pictures, for a linear model of images: the rows of the
/// checkpoint's first matrix, 32 at most. Colours are averaged. Throws DataError if the rows of the
/// model's input aren't images.
std::vector<PlotImage> weight_images(const std::filesystem::path& checkpoint);

}  // namespace levin
