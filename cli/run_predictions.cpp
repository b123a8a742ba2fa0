#include <levin/cli/run_predictions.h>

#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include <ATen/ops/cat.h>
#include <fmt/format.h>

#include <levin/cli/find_checkpoint.h>
#include <levin/cli/session.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/config/job.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/data/batch.h>
#include <levin/framework/metrics/class_scores.h>
#include <levin/framework/plots/roc_curve.h>
#include <levin/framework/plots/svg.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/module.h>

namespace levin {
namespace {

constexpr size_t kMostRocCurves = 20;
constexpr int64_t kMostWeightImages = 32;
/// Inputs of fewer numbers than this, if they aren't a matrix, aren't taken for images.
constexpr int64_t kLeastImagePixels = 64;

/// Keeps what the module predicts for the rows of an evaluation.
class PredictionCollector : public Callback {
 public:
  explicit PredictionCollector(Module& module) : module_(module) {}

  void on_validation_batch_end(const Batch& batch, Step& /*step*/) override { collect(batch); }
  void on_test_batch_end(const Batch& batch, Step& /*step*/) override { collect(batch); }

  /// [rows, classes] and [rows]; undefined if there were no rows.
  torch::Tensor probabilities() const {
    return probabilities_.empty() ? torch::Tensor() : at::cat(probabilities_);
  }
  torch::Tensor targets() const { return targets_.empty() ? torch::Tensor() : at::cat(targets_); }

 private:
  void collect(const Batch& batch) {
    for (const auto& [name, tensor] : module_.predict(batch)) {
      if (name != "probability" || tensor.dim() != 2) continue;
      probabilities_.push_back(tensor.detach().cpu().to(at::kDouble));
      targets_.push_back(batch.target().detach().cpu().reshape({-1}).to(at::kLong));
      return;
    }
    throw ModuleError::contract("predict", "it returned no probabilities of classes",
                                "draw a confusion matrix and ROC curves of classifiers only");
  }

  Module& module_;
  std::vector<torch::Tensor> probabilities_;
  std::vector<torch::Tensor> targets_;
};

/// The job of a run, without what writes files, and on one device.
Job evaluation_job(const std::filesystem::path& run, const std::string& checkpoint,
                   const Registry& registry) {
  const auto config = run / "config.yaml";
  if (!files::exists(config)) {
    throw DataError(
        fmt::format("'{}' has no config.yaml, which says what data a run had; name the "
                    "folder of a run that `levin fit` made",
                    run.string()));
  }
  Job job = read_job(registry, read_configuration({config.string()}, {}));
  job.callbacks.clear();
  job.default_callbacks.clear();
  job.loggers.clear();
  *job.trainer = TrainerOptions{.accelerator = job.trainer->accelerator,
                                .devices = 1,
                                .precision = job.trainer->precision,
                                .limit_val_batches = job.trainer->limit_val_batches,
                                .limit_test_batches = job.trainer->limit_test_batches};
  job.ckpt_path = checkpoint;
  return job;
}

std::vector<double> doubles_of(const torch::Tensor& tensor) {
  const torch::Tensor plain = tensor.to(at::kDouble).contiguous();
  const double* first = plain.const_data_ptr<double>();
  return {first, first + plain.numel()};
}

std::string class_name_of(const std::vector<std::string>& names, size_t i) {
  return i < names.size() ? names[i] : std::to_string(i);
}

/// Rows and columns of the images that rows of `shape` are; nothing if they aren't images. Colours
/// come first and are a factor of their own.
std::optional<std::pair<int64_t, int64_t>> image_sizes(const std::vector<int64_t>& shape) {
  if (shape.size() == 3) return std::pair(shape[1], shape[2]);
  if (shape.size() == 2) return std::pair(shape[0], shape[1]);
  if (shape.size() != 1 || shape[0] < kLeastImagePixels) return std::nullopt;
  const auto side = std::lround(std::sqrt(static_cast<double>(shape[0])));
  if (side * side != shape[0]) return std::nullopt;
  return std::pair<int64_t, int64_t>(side, side);
}

LinePlot empty_roc_plot() {
  return {.y_label = "true positive rate",
          .x_label = "false positive rate",
          .lines = {},
          .is_unit_square = true};
}

/// The curve of each class against the rest, or that of class 1 alone if there are two.
std::vector<RocCurve> roc_curves(const RunPredictions& predictions) {
  std::vector<RocCurve> curves;
  for (size_t i = 0; i < predictions.scores.size(); ++i) {
    const size_t positive_class = predictions.scores.size() == 1 ? 1 : i;
    std::vector<bool> positive;
    for (const size_t target : predictions.targets) positive.push_back(target == positive_class);
    curves.push_back(roc_curve(predictions.scores[i], positive));
  }
  return curves;
}

}  // namespace

RunPredictions predict_run(const std::filesystem::path& run, const std::string& ckpt_path,
                           Stage stage, const Registry& registry) {
  Session session(evaluation_job(run, checkpoint_of_run(ckpt_path, run), registry), registry);
  auto owned = std::make_unique<PredictionCollector>(session.module());
  const PredictionCollector& collector = *owned;
  session.add_callback(std::move(owned));
  if (stage == Stage::test) {
    session.trainer().test(session.module(), session.data(), session.ckpt_path());
  } else {
    session.trainer().validate(session.module(), session.data(), session.ckpt_path());
  }
  const torch::Tensor probabilities = collector.probabilities();
  if (!probabilities.defined()) {
    throw DataError::empty("the data set", fmt::format("{} needs rows", stage_name(stage)));
  }
  const torch::Tensor targets = collector.targets();
  RunPredictions result;
  result.class_names = class_names_in(session.module().data_state());
  ConfusionMatrix confusion;
  confusion.update(probabilities, targets);
  const torch::Tensor matrix = confusion.matrix();
  for (int64_t i = 0; i < matrix.size(0); ++i) result.confusion.push_back(doubles_of(matrix[i]));
  const bool is_binary = probabilities.size(1) == 2;
  for (int64_t i = is_binary ? 1 : 0; i < probabilities.size(1); ++i) {
    result.scores.push_back(doubles_of(probabilities.select(1, i)));
  }
  const int64_t* first = targets.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < targets.size(0); ++i) {
    result.targets.push_back(static_cast<size_t>(first[i]));
  }
  return result;
}

LinePlot roc_plot(const RunPredictions& predictions) {
  LinePlot plot = empty_roc_plot();
  const auto curves = roc_curves(predictions);
  for (size_t i = 0; i < curves.size() && plot.lines.size() < kMostRocCurves; ++i) {
    if (curves[i].points.empty()) continue;
    const size_t positive_class = curves.size() == 1 ? 1 : i;
    plot.lines.push_back(
        {.name =
             fmt::format("{}: AUC {:.4f}", class_name_of(predictions.class_names, positive_class),
                         curves[i].area),
         .points = curves[i].points,
         .colour = i,
         .is_dashed = i >= svg::kColours});
  }
  return plot;
}

LinePlot roc_plot_of_runs(const std::vector<RunPredictions>& runs,
                          const std::vector<std::string>& names) {
  LinePlot plot = empty_roc_plot();
  for (size_t i = 0; i < runs.size(); ++i) {
    const auto curves = roc_curves(runs[i]);
    RocCurve curve = mean_roc_curve(curves);
    if (curve.points.empty()) continue;
    plot.lines.push_back({.name = fmt::format("{}: {} {:.4f}", names.at(i),
                                              curves.size() > 1 ? "mean AUC" : "AUC", curve.area),
                          .points = std::move(curve.points),
                          .colour = i,
                          .is_dashed = i >= svg::kColours});
  }
  return plot;
}

std::vector<PlotImage> weight_images(const std::filesystem::path& checkpoint) {
  const StateDict state = load_checkpoint(checkpoint);
  const auto description = naming_checkpoint(checkpoint, [&] { return module_description(state); });
  const auto shape =
      description && description->input ? description->input->shape : std::vector<int64_t>();
  const auto sizes = image_sizes(shape);
  for (const auto& [name, tensor] : module_weights(state).tensors) {
    if (!sizes || tensor.dim() != 2 || !tensor.is_floating_point()) continue;
    const auto [rows, columns] = *sizes;
    if (rows < 1 || columns < 1 || tensor.size(1) % (rows * columns) != 0) break;
    const torch::Tensor images =
        tensor.to(at::kDouble).reshape({tensor.size(0), -1, rows, columns}).mean(1);
    const auto& names = description->class_names;
    std::vector<PlotImage> result;
    for (int64_t i = 0; i < std::min(images.size(0), kMostWeightImages); ++i) {
      const size_t number = static_cast<size_t>(images.size(0) == 1 ? 1 : i);
      const bool is_class =
          names.size() == static_cast<size_t>(std::max<int64_t>(images.size(0), 2));
      result.push_back({is_class ? names[number] : std::to_string(number),
                        static_cast<size_t>(rows), static_cast<size_t>(columns),
                        doubles_of(images[i])});
    }
    return result;
  }
  throw DataError(
      fmt::format("'{}' isn't of a model whose first weights belong to the pixels of "
                  "images; draw the weights of a regression on images",
                  checkpoint.string()));
}

}  // namespace levin
