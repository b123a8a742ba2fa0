#include <levin/framework/plots/line_plot.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/framework/core/error.h>
#include <levin/framework/plots/image_plot.h>
#include <levin/framework/plots/matrix_plot.h>
#include <levin/framework/plots/metrics_csv.h>
#include <levin/framework/plots/phase_plot.h>
#include <levin/framework/plots/roc_curve.h>
#include <levin/framework/plots/run_plots.h>
#include <levin/framework/plots/svg.h>

#include "framework/message_of.h"

namespace levin::plots_test {

using test::message_of;

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

/// The points of the n-th polyline.
std::vector<std::pair<double, double>> polyline(const std::string& svg, size_t n) {
  size_t at = 0;
  for (size_t i = 0; i <= n; ++i) at = svg.find("<polyline", at + 1);
  const size_t from = svg.find("points=\"", at) + 8;
  std::istringstream text(svg.substr(from, svg.find('"', from) - from));
  std::vector<std::pair<double, double>> points;
  char comma = 0;
  for (double x = 0.0, y = 0.0; text >> x >> comma >> y;) points.emplace_back(x, y);
  return points;
}

constexpr const char* kMetrics =
    "epoch,step,train_loss,val_loss,train_loss_step,val_acc,test_acc,lr-Adam,lr-Adam-momentum\n"
    "0,9,,,0.9,,,0.1,0.9\n"
    "0,19,0.8,,,,,0.1,0.9\n"
    "0,19,,0.75,,0.5,,,\n"
    "1,29,,,0.7,,,0.05,0.9\n"
    "1,39,0.6,,,,,0.01,0.9\n"
    "1,39,,0.7,,0.75,,,\n"
    "2,59,0.5,0.6,,1,,,\n"
    "2,59,,,,,0.9,,\n";

TEST(LinePlots, a_curve_has_a_point_for_each_finite_value_and_higher_ones_lie_higher) {
  const std::string svg =
      draw_lines("run", {{.y_label = "loss",
                          .x_label = "epoch",
                          .lines = {{"training", {{0, 4.0}, {1, std::nan("")}, {2, 1.0}}}}}});
  const auto points = polyline(svg, 0);
  ASSERT_EQ(points.size(), 2U);
  EXPECT_LT(points[0].first, points[1].first);
  EXPECT_LT(points[0].second, points[1].second) << "pixels are counted from the top";
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("no finite values yet"), std::string::npos);
}

TEST(LinePlots, a_plot_without_finite_values_says_so) {
  for (const std::vector<PlotLine>& lines :
       {std::vector<PlotLine>{}, std::vector<PlotLine>{{"a", {{0, std::nan("")}}}}}) {
    const std::string svg = draw_lines("run", {{.y_label = "loss", .lines = lines}});
    EXPECT_NE(svg.find(">no finite values yet<"), std::string::npos) << svg;
  }
}

TEST(LinePlots, a_long_curve_keeps_its_lowest_and_its_highest_value) {
  PlotLine line{.name = "steps", .points = {}};
  for (int i = 0; i < 100'000; ++i) line.points.emplace_back(i, i == 54'321 ? 9.0 : i % 2);
  const auto points = polyline(draw_lines("run", {{"loss", "step", {line}}}), 0);
  EXPECT_LE(points.size(), 2000U);
  const auto high = [](const auto& a, const auto& b) { return a.second > b.second; };
  const auto peak = *std::max_element(points.begin(), points.end(), high);
  EXPECT_NEAR(peak.first, 84.0 + 0.54321 * 532.0, 0.3);
}

TEST(LinePlots, the_legend_names_each_look_once_and_what_it_names_is_escaped) {
  const PlotLine curve{"a <b> & c", {{0, 1.0}, {1, 2.0}}};
  const std::string svg =
      draw_lines("x < y", {{"loss", "epoch", {curve}}, {"acc", "epoch", {curve}}});
  EXPECT_EQ(count_of(svg, ">a &lt;b&gt; &amp; c</text>"), 1U);
  EXPECT_EQ(count_of(svg, "<title>x &lt; y</title>"), 1U);
  EXPECT_EQ(svg.find("<b>"), std::string::npos);
  EXPECT_NE(svg.find("role=\"img\""), std::string::npos);
}

TEST(LinePlots, a_long_name_goes_on_in_the_next_line_of_the_legend) {
  const std::string name = "learning_rate=0.01, hidden_sizes=[32, 32], batch_size=64, training";
  const std::string svg = draw_lines("runs", {{"loss", "epoch", {{name, {{0, 1.0}, {1, 2.0}}}}}});
  EXPECT_NE(svg.find(">learning_rate=0.01, hidden_sizes=[32, 32],</text>"), std::string::npos)
      << svg;
  EXPECT_NE(svg.find(">batch_size=64, training</text>"), std::string::npos);
}

TEST(SvgTexts, are_utf8_whatever_they_are_made_of) {
  EXPECT_EQ(svg::escaped("Gr\xc3\xb6\xc3\x9f"
                         "e\xff\x01"),
            "Gr\xc3\xb6\xc3\x9f"
            "e\xef\xbf\xbd ");
  EXPECT_EQ(svg::wrapped("a bc def", 4), (std::vector<std::string>{"a bc", "def"}));
  EXPECT_EQ(svg::wrapped("\xc3\xb6\xc3\xb6\xc3\xb6", 2),
            (std::vector<std::string>{"\xc3\xb6\xc3\xb6", "\xc3\xb6"}));
  EXPECT_EQ(svg::wrapped("", 4), std::vector<std::string>{""});
}

TEST(RunPlots, training_and_validation_share_a_plot_and_the_loss_comes_first) {
  const auto plots = metric_plots({{"", kMetrics}});
  ASSERT_EQ(plots.size(), 2U);
  EXPECT_EQ(plots[0].y_label, "loss");
  ASSERT_EQ(plots[0].lines.size(), 2U);
  EXPECT_EQ(plots[0].lines[0].name, "training");
  EXPECT_TRUE(plots[0].lines[0].is_dashed);
  EXPECT_EQ(plots[0].lines[0].points, (Curve{{0, 0.8}, {1, 0.6}, {2, 0.5}}));
  EXPECT_EQ(plots[0].lines[1].points, (Curve{{0, 0.75}, {1, 0.7}, {2, 0.6}}));
  EXPECT_NE(plots[0].lines[0].colour, plots[0].lines[1].colour);
  EXPECT_EQ(plots[1].y_label, "acc");
}

TEST(RunPlots, several_runs_have_a_colour_each_and_names) {  // row 30
  const auto plots = metric_plots({{"lr=0.1", kMetrics}, {"lr=0.2", kMetrics}}, {"val_acc"});
  ASSERT_EQ(plots.size(), 1U);
  ASSERT_EQ(plots[0].lines.size(), 2U);
  EXPECT_EQ(plots[0].lines[1].name, "lr=0.2");
  EXPECT_EQ(plots[0].lines[1].colour, 1U);
  EXPECT_NE(message_of<ConfigError>([] {
              metric_plots({{"", kMetrics}}, {"val_ac"});
            }).find("did you mean 'val_acc'?"),
            std::string::npos);
}

TEST(RunPlots, learning_rates_are_drawn_over_steps) {
  const auto plots = learning_rate_plots({{"", kMetrics}});
  ASSERT_EQ(plots.size(), 1U);
  ASSERT_EQ(plots[0].lines.size(), 1U) << "a momentum is no learning rate";
  EXPECT_EQ(plots[0].lines[0].points, (Curve{{9, 0.1}, {19, 0.1}, {29, 0.05}, {39, 0.01}}));
  EXPECT_TRUE(learning_rate_plots({{"", "epoch,step,a\n0,1,2\n"}}).empty());
}

constexpr const char* kTrace =
    R"({"traceEvents":[{"name":"process_name","ph":"M","pid":0,"args":{"name":"rank 0"}},
    {"name":"data","cat":"training","ph":"X","ts":0.0,"dur":500000,"pid":0,"tid":0,"args":{}},
    {"name":"forward","cat":"training","ph":"X","ts":1,"dur":1500000.0,"pid":0,"args":{}},
    {"name":"data","cat":"training","ph":"X","ts":2,"dur":250000.0,"pid":0,"args":{}},
    {"name":"idle","cat":"training","ph":"X","ts":2,"dur":7e6,"pid":1,"args":{}},
    {"name":"layers","cat":"communication","ph":"X","ts":2,"dur":9e6,"pid":0,"args":{}}]})";

TEST(PhasePlots, the_time_of_each_phase_is_the_sum_of_its_events_on_a_rank) {
  const auto ranks = phase_seconds(kTrace);
  ASSERT_EQ(ranks.size(), 2U);
  EXPECT_EQ(ranks[0].seconds, (PhaseSeconds{{"forward", 1.5}, {"data", 0.75}}));
  EXPECT_EQ(ranks[1].rank, 1);
  EXPECT_EQ(ranks[1].seconds, (PhaseSeconds{{"idle", 7.0}}));
  EXPECT_NE(draw_phases("run", ranks[0].seconds).find(">1.5 s (66.7 %)</text>"), std::string::npos);
  EXPECT_NE(message_of<DataError>([] { phase_seconds("[]"); }).find("profiler: trace"),
            std::string::npos);
}

TEST(PhasePlots, of_several_ranks_are_a_bar_for_each_on_one_scale) {
  const std::vector<RunPhases> runs = {{"", phase_seconds(kTrace)}};
  EXPECT_EQ(phase_names(runs), (std::vector<std::string>{"idle", "forward", "data"}));
  const std::string svg = draw_phases_of_ranks("run", runs);
  EXPECT_NE(svg.find("width=\"89.1\" height=\"22\"><title>rank 0, forward: 1.5 s (66.7 %)"),
            std::string::npos)
      << svg;
  EXPECT_NE(svg.find("width=\"416.0\" height=\"22\"><title>rank 1, idle: 7 s (100.0 %)"),
            std::string::npos);
  EXPECT_EQ(count_of(svg, ">rank 1</text>"), 1U);
}

TEST(PhasePlots, the_parts_that_took_least_share_a_colour_if_there_are_many) {
  PhaseSeconds phases;
  for (int i = 0; i < 9; ++i) phases.emplace_back("part" + std::to_string(i), 9.0 - i);
  const std::string svg = draw_phases_of_ranks("run", {{"", {{0, phases}}}});
  EXPECT_EQ(count_of(svg, "<title>rank 0, "), 7U);
  EXPECT_NE(svg.find("<title>rank 0, other parts: 6 s (13.3 %)</title>"), std::string::npos) << svg;
  EXPECT_EQ(svg.find("d7"), std::string::npos);
}

TEST(RocCurves, have_the_points_and_the_area_of_a_small_case) {
  // Of 3 x 2 pairs, four are in order and one has equal scores.
  const RocCurve curve = roc_curve({0.9, 0.4, 0.4, 0.8, 0.1}, {true, true, false, false, true});
  EXPECT_EQ(curve.points.front(), (std::pair{0.0, 0.0}));
  EXPECT_EQ(curve.points.back(), (std::pair{1.0, 1.0}));
  EXPECT_DOUBLE_EQ(curve.area, 2.5 / 6.0);
  EXPECT_EQ(curve.points.size(), 5U);
  EXPECT_TRUE(std::isnan(roc_curve({0.5}, {true}).area));
}

TEST(RocCurves, leave_out_points_within_a_straight_part) {
  const RocCurve best = roc_curve({0.9, 0.8, 0.7, 0.2, 0.1}, {true, true, true, false, false});
  EXPECT_EQ(best.points, (std::vector<std::pair<double, double>>{{0, 0}, {0, 1}, {1, 1}}));
  EXPECT_EQ(best.area, 1.0);
}

TEST(RocCurves,
     their_mean_goes_straight_up_where_one_of_them_does_and_has_the_mean_of_their_areas) {
  const RocCurve first = roc_curve({0.9, 0.8, 0.7, 0.2}, {true, false, true, false});
  const RocCurve second = roc_curve({0.9, 0.8, 0.7, 0.2, 0.1}, {false, true, false, true, false});
  const RocCurve mean = mean_roc_curve({first, {}, second});
  EXPECT_DOUBLE_EQ(mean.area, (first.area + second.area) / 2.0);
  double area = 0.0;
  for (size_t i = 1; i < mean.points.size(); ++i) {
    const auto& [x, y] = mean.points[i - 1];
    area += (mean.points[i].first - x) * (mean.points[i].second + y) / 2.0;
  }
  EXPECT_DOUBLE_EQ(area, mean.area);
  EXPECT_EQ(mean.points.front(), (std::pair{0.0, 0.0}));
  EXPECT_EQ(mean.points[1], (std::pair{0.0, 0.25})) << "the first curve goes up by a half at 0";
  EXPECT_EQ(mean.points.back(), (std::pair{1.0, 1.0}));
  EXPECT_TRUE(std::isnan(mean_roc_curve({{}}).area));
}

TEST(ConfusionPlots, have_a_cell_for_each_pair_of_classes) {
  const std::string svg = draw_confusion_matrix("digits", {"cat", "dog"}, {{9, 1}, {0, 4}});
  EXPECT_EQ(count_of(svg, "predicted as"), 4U);
  EXPECT_NE(svg.find("<title>cat predicted as dog: 1 of 10</title>"), std::string::npos);
  EXPECT_NE(svg.find("fill-opacity=\"0.522\"><title>cat predicted as cat"), std::string::npos);
  EXPECT_EQ(count_of(svg, ">0</text>"), 0U) << "zeros aren't written";
}

TEST(ConfusionPlots, cut_long_names_between_letters) {
  const std::string name =
      "\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6";
  EXPECT_NE(draw_confusion_matrix("a", {name, "b"}, {{1, 0}, {0, 1}}).find(">" + name + "</text>"),
            std::string::npos);
  EXPECT_NE(draw_confusion_matrix("a", {name + "o", "b"}, {{1, 0}, {0, 1}})
                .find(">" + name.substr(0, 16) + "..</text>"),
            std::string::npos);
}

/// The left edge of the n-th cell of a matrix.
double cell_left(const std::string& svg, size_t n) {
  size_t at = 0;
  for (size_t i = 0; i <= n; ++i) at = svg.find("fill-opacity", at + 1);
  return std::stod(svg.substr(svg.rfind(" x=\"", at) + 4));
}

TEST(ConfusionPlots, of_several_runs_stand_beside_each_other_if_their_counts_can_be_read_there) {
  const ConfusionPlot few{"rate=0.1", {"cat", "dog"}, {{9, 1}, {0, 4}}};
  const std::string beside = draw_confusion_matrices("2 runs", {few, few});
  EXPECT_EQ(count_of(beside, ">rate=0.1</text>"), 2U);
  EXPECT_GT(cell_left(beside, 4), cell_left(beside, 0) + 200.0);
  ConfusionPlot many{"rate=0.1", {}, {10, std::vector<double>(10, 1234.0)}};
  const std::string below = draw_confusion_matrices("2 runs", {many, many});
  EXPECT_EQ(cell_left(below, 100), cell_left(below, 0));
  EXPECT_EQ(count_of(below, "predicted as"), 200U);
}

TEST(ImagePlots, groups_have_names_and_one_scale) {
  const std::string svg = draw_image_groups(
      "weights", {{"rate=0.1", {{"0", 1, 1, {1.0}}}}, {"rate=0.2", {{"0", 1, 1, {-2.0}}}}});
  EXPECT_NE(svg.find("blue: up to 2; orange: down to -2"), std::string::npos) << svg;
  EXPECT_EQ(count_of(svg, "<path fill=\"#00548a\""), 0U) << "1 isn't the strongest blue";
  EXPECT_EQ(count_of(svg, "<path fill=\"#a64600\""), 1U);
  EXPECT_LT(svg.find(">rate=0.1</text>"), svg.find(">rate=0.2</text>"));
}

TEST(ImagePlots, draw_each_pixel_in_the_colour_of_its_sign) {
  const std::string svg = draw_images("weights", {{"0", 2, 2, {1.0, -1.0, 0.0, 0.0}}});
  EXPECT_NE(svg.find("<path fill=\"#00548a\" d=\"M0 0h1v1h-1z\"/>"), std::string::npos) << svg;
  EXPECT_NE(svg.find("<path fill=\"#a64600\" d=\"M1 0h1v1h-1z\"/>"), std::string::npos);
  EXPECT_NE(svg.find("<path fill=\"#f7f7f7\" d=\"M0 1h2v1h-2z\"/>"), std::string::npos);
}

TEST(ImagePlots, large_images_are_drawn_by_the_means_of_their_pixels) {
  PlotImage image{"0", 128, 128, std::vector<double>(128 * 128, 0.0)};
  image.values[0] = 4.0;
  const std::string svg = draw_images("weights", {image});
  EXPECT_NE(svg.find("scale(3.7500)"), std::string::npos) << "240 pixels for 64";
}

}  // namespace levin::plots_test
