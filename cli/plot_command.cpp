#include <levin/cli/plot_command.h>

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <levin/cli/arguments.h>
#include <levin/cli/exit_status.h>
#include <levin/cli/find_checkpoint.h>
#include <levin/cli/output.h>
#include <levin/cli/past_runs.h>
#include <levin/cli/plot_text.h>
#include <levin/cli/run_predictions.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/home.h>
#include <levin/framework/core/near_files.h>
#include <levin/framework/plots/image_plot.h>
#include <levin/framework/plots/line_plot.h>
#include <levin/framework/plots/matrix_plot.h>
#include <levin/framework/plots/metrics_csv.h>
#include <levin/framework/plots/phase_plot.h>
#include <levin/framework/plots/png.h>
#include <levin/framework/plots/run_plots.h>

namespace levin {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kPlotKinds = {"curves", "learning-rate", "confusion",
                                             "roc",    "time",          "weights"};

constexpr const char* kPlotNotes = R"(
  levin plot levin_logs/version_0
  levin plot levin_logs/version_0 levin_logs/version_1 --metric val_acc --output runs.svg
  levin plot levin_logs/version_0 --kind roc --split test --output roc.png
  levin plot levin_logs/version_0 --kind all --output pictures

RUN is the folder of a run, such as levin_logs/version_0, or its metrics.csv. Without --output, the
picture is text. --output FILE ends in .svg or .png; any other path is a folder, which gets a file
KIND.svg. PNGs are drawn by rsvg-convert (librsvg2-bin).

  curves         the metrics over epochs
  learning-rate  over steps, if the callback LearningRateMonitor logged it
  confusion      which classes are taken for which; roc: ROC curves and the areas under them. Both
                 predict the data of the run's config.yaml by its best checkpoint
  time           how long each part of a run took on each rank, if it had profiler: trace
  weights        of each class as an image, for a linear model of images
  all            each of these that can be drawn; needs --output FOLDER

All kinds take several runs, whose names are the settings in which they differ. Of several runs, ROC
curves are one for each run: that of the second of two classes, or the mean of those of all classes.

--metric NAME draws these metrics; by default all that were measured, and as text val_acc or, if
there is none, val_loss or else the first metric.
)";

/// One command line: what is drawn, of which runs, and where it goes.
class Plotter {
 public:
  Plotter(const Arguments& arguments, const Registry& registry)
      : arguments_(arguments), registry_(registry) {
    set_options(describe(options_), arguments);
    auto known = kPlotKinds;
    known.emplace_back("all");
    if (std::find(known.begin(), known.end(), options_.kind) == known.end()) {
      throw ConfigError::unknown_name("kind", options_.kind, known);
    }
    if (options_.split != "validation" && options_.split != "test") {
      throw ConfigError::unknown_name("split", options_.split, {"validation", "test"});
    }
    if (!arguments.metrics.empty() && options_.kind != "curves" && options_.kind != "all") {
      throw ConfigError::conflict(
          fmt::format("--metric has no meaning for --kind {}", options_.kind),
          "leave it out, or draw --kind curves");
    }
    if (arguments.words.empty()) {
      throw ConfigError(
          fmt::format("{0} plot takes the folders of runs, but got none; see {0} "
                      "plot --help",
                      arguments.program));
    }
    for (const auto& word : arguments.words) {
      runs_.emplace_back(expand_home(word, "run"));
      if (!files::exists(runs_.back())) {
        throw CheckpointError::io("read", runs_.back().string(), "there is no such file or folder");
      }
    }
    read_output();
  }

  int run() {
    if (arguments_.output.empty()) {
      write_output(text_of(options_.kind));
      return kDone;
    }
    if (options_.kind != "all") {
      draw(options_.kind);
      return kDone;
    }
    size_t drawn = 0;
    for (const auto& kind : kPlotKinds) {
      try {
        draw(kind);
        ++drawn;
      } catch (const Error& error) {
        diagnostics::print(fmt::format("note: {} is left out: {}\n", kind, error.what()));
      }
    }
    if (drawn == 0) throw DataError("none of the pictures can be drawn; the notes above say why");
    return kDone;
  }

 private:
  void read_output() {
    const fs::path output = arguments_.output;
    is_folder_ = output.extension() != ".svg" && output.extension() != ".png";
    // A name such as "curves.gif" is meant to be a file, unless there is such a folder.
    if (is_folder_ && output.has_extension() && !files::is_folder(output)) {
      const auto meant = nearest_ending(output.string(), {".svg", ".png"});
      throw ConfigError::invalid_value(
          "--output", output.string(),
          "must end in .svg or .png, or be a folder" +
              (meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant)));
    }
    if (options_.kind == "all" && (!is_folder_ || output.empty())) {
      throw ConfigError::conflict("--kind all makes several pictures",
                                  "name a folder for them: --output FOLDER");
    }
  }

  static fs::path metrics_file(const fs::path& run) {
    return files::is_folder(run) ? run / "metrics.csv" : run;
  }
  static fs::path folder_of(const fs::path& run) {
    return files::is_folder(run) ? run : run.has_parent_path() ? run.parent_path() : fs::path(".");
  }

  /// What tells the runs apart; an empty name if there is one run only.
  const std::vector<std::string>& names() {
    if (names_.empty()) {
      std::vector<PastRun> past;
      for (const auto& run : runs_) {
        if (runs_.size() > 1) past.push_back(read_past_run(folder_of(run)));
      }
      names_ = past.empty() ? std::vector<std::string>(1) : run_labels(past);
    }
    return names_;
  }

  std::vector<RunMetrics> metrics_of_runs() {
    std::vector<RunMetrics> all;
    for (size_t i = 0; i < runs_.size(); ++i) {
      const auto file = metrics_file(runs_[i]);
      all.push_back({names()[i], files::read_text(file)});
      if (metric_names(all.back().csv).empty()) {
        throw DataError(
            fmt::format("{} holds no metrics; plot a run that has logged a metric", file.string()));
      }
    }
    return all;
  }

  const std::vector<RunPredictions>& predictions() {
    const Stage stage = options_.split == "test" ? Stage::test : Stage::validate;
    while (predictions_.size() < runs_.size()) {
      predictions_.push_back(
          predict_run(folder_of(runs_[predictions_.size()]), options_.ckpt_path, stage, registry_));
    }
    return predictions_;
  }

  std::vector<RunPhases> phases() {
    std::vector<RunPhases> all;
    for (size_t i = 0; i < runs_.size(); ++i) {
      const fs::path file = folder_of(runs_[i]) / "trace.json";
      if (!files::exists(file)) {
        throw DataError(fmt::format("there is no {}; run the fit with --trainer.profiler=trace",
                                    file.string()));
      }
      all.push_back({names()[i], phase_seconds(files::read_text(file))});
      if (all.back().ranks.empty()) {
        throw DataError(fmt::format("{} holds no times; run a longer fit", file.string()));
      }
    }
    return all;
  }

  std::vector<LinePlot> learning_rates() {
    auto plots = learning_rate_plots(metrics_of_runs());
    if (!plots.empty()) return plots;
    throw DataError(
        fmt::format("{} has no learning rates; run the fit with the callback "
                    "LearningRateMonitor",
                    metrics_file(runs_.front()).string()));
  }

  std::string text_of(const std::string& kind) {
    if (kind == "curves") return chart_text(metrics_of_runs(), arguments_.metrics);
    if (kind == "learning-rate") return line_plot_text(learning_rates().front());
    if (kind == "confusion") return confusion_texts();
    if (kind == "roc") return roc_text(roc_curves_plot());
    if (kind == "time") return phases_text(phases());
    throw ConfigError::conflict("weights are drawn as images, which text can't show",
                                "name a file for them: --output weights.svg");
  }

  std::string confusion_texts() {
    std::string text;
    for (size_t i = 0; i < predictions().size(); ++i) {
      if (runs_.size() > 1) text += fmt::format("{}{}\n", i > 0 ? "\n" : "", names()[i]);
      text += confusion_text(predictions()[i]);
    }
    return text;
  }

  LinePlot roc_curves_plot() {
    return runs_.size() == 1 ? roc_plot(predictions().front())
                             : roc_plot_of_runs(predictions(), names());
  }

  std::string title_of(std::string_view what) const {
    const std::string name = fs::absolute(folder_of(runs_.front())).lexically_normal().filename();
    return runs_.size() == 1 ? fmt::format("{}: {}", name, what)
                             : fmt::format("{} runs: {}", runs_.size(), what);
  }

  std::string svg_of(const std::string& kind) {
    if (kind == "curves") {
      return draw_lines(title_of("metrics"), metric_plots(metrics_of_runs(), arguments_.metrics));
    }
    if (kind == "learning-rate") return draw_lines(title_of("learning rate"), learning_rates());
    if (kind == "confusion") return confusion_svg();
    if (kind == "roc") return draw_lines(title_of("ROC, " + options_.split), {roc_curves_plot()});
    if (kind == "time") return phases_svg();
    std::vector<ImageGroup> groups;
    for (size_t i = 0; i < runs_.size(); ++i) {
      groups.push_back(
          {names()[i], weight_images(checkpoint_of_run(options_.ckpt_path, folder_of(runs_[i])))});
    }
    return draw_image_groups(title_of("weights"), groups);
  }

  std::string confusion_svg() {
    std::vector<ConfusionPlot> matrices;
    for (size_t i = 0; i < predictions().size(); ++i) {
      matrices.push_back({names()[i], predictions()[i].class_names, predictions()[i].confusion});
    }
    return draw_confusion_matrices(title_of("confusion matrix, " + options_.split), matrices);
  }

  std::string phases_svg() {
    const auto runs = phases();
    const std::string title = title_of("time per phase");
    return runs.size() == 1 && runs.front().ranks.size() == 1
               ? draw_phases(title, runs.front().ranks.front().seconds)
               : draw_phases_of_ranks(title, runs);
  }

  void draw(const std::string& kind) {
    const std::string svg = svg_of(kind);
    fs::path path = arguments_.output;
    if (is_folder_) path /= kind + ".svg";
    if (path.has_parent_path()) files::create_folder(path.parent_path());
    if (path.extension() == ".png") {
      write_png(path, svg);
    } else {
      files::write_atomically(path, svg);
    }
    diagnostics::print(fmt::format("{} in {}\n", kind, path.string()));
  }

  const Arguments& arguments_;
  const Registry& registry_;
  PlotOptions options_;
  std::vector<fs::path> runs_;
  bool is_folder_ = false;
  std::vector<std::string> names_;
  std::vector<RunPredictions> predictions_;
};

}  // namespace

Fields describe(PlotOptions& o) {
  return fields_of<PlotOptions>(
      {{"kind", &o.kind, "curves, learning-rate, confusion, roc, time, weights or all"},
       {"ckpt_path", &o.ckpt_path, "whose predictions or weights are drawn: a file, best or last"},
       {"split", &o.split, "the data of confusion and roc: validation or test"}});
}

Command plot_command() {
  return {.name = "plot",
          .usage = "RUN... [--kind KIND] [--metric NAME ...] [--output FILE|FOLDER]",
          .help = "draw runs: metrics, learning rate, confusion matrix, ROC, time, weights",
          .run = [](const Arguments& arguments,
                    const Registry& registry) { return Plotter(arguments, registry).run(); },
          .with_options = options_of<PlotOptions>(),
          .shared_options = {"metric", "output"},
          .notes = kPlotNotes};
}

}  // namespace levin
