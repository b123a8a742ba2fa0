#include <levin/cli/plot_command.h>

#include <algorithm>
#include <cstdlib>

#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <levin/cli/past_runs.h>
#include <levin/cli/run_predictions.h>
#include <levin/cli/shipped_classes.h>
#include <levin/framework/metrics/ranking.h>
#include <levin/framework/plots/metrics_csv.h>

#include "cli/program.h"
#include "framework/python.h"

namespace levin::test::plot_command_test {

constexpr const char* kRun = "levin_logs/version_0";

/// A run of a regression on the digits' images.
class PlotCommand : public ProgramTest {
 protected:
  void SetUp() override {
    const Outcome fit =
        run({"fit", "--model", "LogisticRegression", "--data", "DigitsDataModule",
             "--trainer.max_epochs=3", "--trainer.profiler=trace", "--trainer.callbacks+",
             "LearningRateMonitor", "--trainer.enable_progress_bar=false", "--trainer.accelerator",
             "cpu"});
    ASSERT_EQ(fit.status, 0) << fit.err;
  }

  /// How many files have `part` in their names.
  size_t contents_named(const std::string& part) const {
    const auto names = contents();
    return static_cast<size_t>(std::count_if(
        names.begin(), names.end(),
        [&](const std::string& name) { return name.find(part) != std::string::npos; }));
  }
  std::string file(const std::string& name) const { return read_file(folder_ / name); }
};

/// The value of `metric` that the run logged last.
double last_value(const std::string& csv, const std::string& metric) {
  return read_curve(csv, metric).back().second;
}

TEST_F(PlotCommand, draws_every_picture_of_a_run_and_each_is_well_formed) {
  const Outcome plot = run({"plot", kRun, "--kind", "all", "--output", "pictures"});
  ASSERT_EQ(plot.status, 0) << plot.err;
  std::vector<std::string> files;
  for (const char* kind : {"curves", "learning-rate", "confusion", "roc", "time", "weights"}) {
    files.push_back(folder_ / "pictures" / (std::string(kind) + ".svg"));
    EXPECT_TRUE(fs::exists(files.back())) << plot.err;
  }
  EXPECT_EQ(read_file(files[2]).find("nan"), std::string::npos);
  const auto before = contents();
  EXPECT_EQ(std::count_if(before.begin(), before.end(),
                          [](const std::string& name) { return name.ends_with("version_1"); }),
            0)
      << "drawing makes no run";
  const PythonResult parsed = run_python("well_formed.py", files);
  if (parsed.status == 77) GTEST_SKIP() << "there is no Python";
  EXPECT_EQ(parsed.status, 0) << parsed.output;
  EXPECT_EQ(lines_of(parsed.output).size(), 6U) << parsed.output;
}

TEST_F(PlotCommand, the_confusion_matrix_and_the_curves_are_those_of_the_best_checkpoint) {
  const RunPredictions found =
      predict_run(folder_ / kRun, "last", Stage::validate, shipped_classes());
  ASSERT_EQ(found.confusion.size(), 10U);
  double right = 0.0;
  double rows = 0.0;
  for (size_t i = 0; i < 10; ++i) {
    for (size_t j = 0; j < 10; ++j) rows += found.confusion[i][j];
    right += found.confusion[i][i];
  }
  EXPECT_EQ(rows, static_cast<double>(found.targets.size()));
  EXPECT_NEAR(right / rows, last_value(file(std::string(kRun) + "/metrics.csv"), "val_acc"), 1e-9);
  const LinePlot plot = roc_plot(found);
  ASSERT_EQ(plot.lines.size(), 10U);
  for (size_t i = 0; i < 10; ++i) {
    const auto scores = at::tensor(found.scores[i], at::kDouble);
    std::vector<int64_t> is_class;
    for (const size_t target : found.targets) is_class.push_back(target == i ? 1 : 0);
    const double area = roc_auc(scores, at::tensor(is_class, at::kLong).to(at::kBool));
    EXPECT_EQ(plot.lines[i].name, fmt::format("{}: AUC {:.4f}", i, area));
  }
}

TEST_F(PlotCommand, shows_the_pictures_as_text_too) {
  EXPECT_EQ(run({"plot", kRun}).out.rfind("val_acc: ", 0), 0U);
  EXPECT_EQ(run({"plot", kRun, "--kind", "learning-rate"}).out.rfind("learning rate\n", 0), 0U);
  const auto matrix = lines_of(run({"plot", kRun, "--kind", "confusion"}).out);
  EXPECT_EQ(matrix.size(), 11U);
  EXPECT_EQ(lines_of(run({"plot", kRun, "--kind", "roc"}).out).size(), 10U);
  EXPECT_NE(run({"plot", kRun, "--kind", "time"}).out.find("forward"), std::string::npos);
}

/// Two runs that differ in max_epochs.
class PlotCommandRuns : public PlotCommand {
 protected:
  void SetUp() override {
    PlotCommand::SetUp();
    fs::copy(folder_ / kRun, folder_ / kOther, fs::copy_options::recursive);
    std::string config = file(std::string(kOther) + "/config.yaml");
    const size_t at = config.find("max_epochs: 3");
    ASSERT_NE(at, std::string::npos) << config;
    config.replace(at, 13, "max_epochs: 4");
    write(std::string(kOther) + "/config.yaml", config);
  }

  static constexpr const char* kOther = "levin_logs/version_1";
};

TEST_F(PlotCommandRuns, are_told_apart_by_the_settings_in_which_they_differ) {
  const Outcome plot = run({"plot", kRun, kOther, "--output", "runs.svg"});
  ASSERT_EQ(plot.status, 0) << plot.err;
  const std::string svg = file("runs.svg");
  EXPECT_NE(svg.find(">max_epochs=3, validation</text>"), std::string::npos);
  EXPECT_NE(svg.find(">max_epochs=4, training</text>"), std::string::npos);
  const std::string text = run({"plot", kRun, kOther}).out;
  EXPECT_NE(text.find("\no max_epochs=4: "), std::string::npos) << text;
}

TEST_F(PlotCommandRuns, share_a_picture_of_each_kind) {
  const Outcome plot = run({"plot", kRun, kOther, "--kind", "all", "--output", "pictures"});
  ASSERT_EQ(plot.status, 0) << plot.err;
  EXPECT_EQ(plot.err.find("is left out"), std::string::npos) << plot.err;
  const auto count = [&](const std::string& name, const std::string& part) {
    const std::string svg = file("pictures/" + name + ".svg");
    size_t found = 0;
    for (size_t at = svg.find(part); at != std::string::npos; at = svg.find(part, at + 1)) ++found;
    return found;
  };
  EXPECT_EQ(count("confusion", "predicted as"), 200U);
  EXPECT_EQ(count("roc", ">max_epochs=4: mean AUC "), 2U) << "in the legend and as a title";
  EXPECT_EQ(count("roc", "<polyline"), 2U) << "a curve for each run";
  EXPECT_EQ(count("time", ">rank 0</text>"), 2U);
  EXPECT_EQ(count("weights", ">max_epochs=4</text>"), 1U);
  EXPECT_EQ(count("weights", "<g transform"), 20U);
}

TEST_F(PlotCommandRuns, are_told_apart_in_text_too) {
  const auto matrices = lines_of(run({"plot", kRun, kOther, "--kind", "confusion"}).out);
  ASSERT_EQ(matrices.size(), 25U);
  EXPECT_EQ(matrices[13], "max_epochs=4");
  const auto areas = lines_of(run({"plot", kRun, kOther, "--kind", "roc"}).out);
  ASSERT_EQ(areas.size(), 2U);
  EXPECT_EQ(areas[0].rfind("max_epochs=3: mean AUC 0.", 0), 0U) << areas[0];
  const auto times = lines_of(run({"plot", kRun, kOther, "--kind", "time"}).out);
  ASSERT_EQ(times.size(), 3U);
  EXPECT_EQ(times[2].rfind("max_epochs=4, rank 0 ", 0), 0U) << times[2];
}

TEST_F(PlotCommand, shows_the_times_of_every_rank) {
  write(std::string(kRun) + "/trace.json", R"({"traceEvents":[
      {"name":"forward","cat":"training","ph":"X","ts":0,"dur":2e6,"pid":0,"args":{}},
      {"name":"idle","cat":"training","ph":"X","ts":0,"dur":1e6,"pid":1,"args":{}}]})");
  EXPECT_EQ(run({"plot", kRun, "--kind", "time"}).out,
            "seconds  forward  idle\n"
            "rank 0   2.000    -\n"
            "rank 1   -        1.000\n");
}

TEST_F(PlotCommand, says_what_is_wrong) {
  expect_error({"plot", kRun, "--kind", "rok"}, 2, "did you mean 'roc'?");
  expect_error({"plot", kRun, "--kid", "roc"}, 2, "did you mean '--kind'?");
  expect_error({"plot", "levin_logs/version_7", "--kind", "roc"}, 1,
               "can't read 'levin_logs/version_7': there is no such file or folder");
  expect_error({"plot", kRun, "--split", "tests"}, 2, "did you mean 'test'?");
  expect_error({"plot", kRun, "--kind", "weights"}, 2, "--output weights.svg");
  expect_error({"plot", kRun, "--kind", "all", "--output", "a.svg"}, 2, "--output FOLDER");
  expect_error({"plot", kRun, "--kind", "roc", "--metric", "val_acc"}, 2, "--kind curves");
  expect_error({"plot", kRun, "--output", "a.pdf"}, 2, "must end in .svg or .png");
  fs::remove(folder_ / kRun / "config.yaml");
  expect_error({"plot", kRun, "--kind", "roc"}, 1, "has no config.yaml");
  fs::remove(folder_ / kRun / "trace.json");
  expect_error({"plot", kRun, "--kind", "time"}, 1, "--trainer.profiler=trace");
  write("empty.csv", "epoch,step\n0,1\n");
  expect_error({"plot", "empty.csv"}, 1, "empty.csv holds no metrics");
}

TEST_F(PlotCommand, a_png_is_twice_as_wide_as_the_drawing_and_names_the_program_it_needs) {
  const std::string path = std::getenv("PATH") != nullptr ? std::getenv("PATH") : "";
  ::setenv("PATH", "/nowhere", 1);
  expect_error({"plot", kRun, "--output", "a.png"}, 2, "librsvg2-bin");
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(contents_named("a.png"), 0U) << "nothing is left behind";
  if (std::system("command -v rsvg-convert > /dev/null") != 0) {
    GTEST_SKIP() << "rsvg-convert (librsvg2-bin) isn't installed";
  }
  const Outcome plot = run({"plot", kRun, "--output", "a.png"});
  ASSERT_EQ(plot.status, 0) << plot.err;
  const std::string png = file("a.png");
  ASSERT_GT(png.size(), 24U);
  EXPECT_EQ(png.substr(1, 3), "PNG");
  EXPECT_EQ(png.substr(16, 4), std::string("\x00\x00\x05\x00", 4)) << "1,280 pixels";
  EXPECT_EQ(contents_named("a.png"), 1U) << "nothing else is left behind";
}

}  // namespace levin::test::plot_command_test
