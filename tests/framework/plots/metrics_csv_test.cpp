#include <levin/framework/plots/metrics_csv.h>

#include <gtest/gtest.h>

#include <cmath>

#include <levin/framework/core/error.h>
#include <levin/framework/plots/text_chart.h>

#include "framework/message_of.h"

namespace levin::metrics_csv_test {

using test::message_of;

constexpr const char* kMetrics =
    "epoch,step,train_loss,val_acc\n"
    "0,9,0.9,\n"
    "0,19,0.7,\n"
    "0,19,,0.5\n"
    "1,29,0.6,\n"
    "1,39,,0.75\n"
    "2,59,nan,1\n";

TEST(MetricsCsv, a_curve_is_the_last_value_of_each_epoch) {
  EXPECT_EQ(read_curve(kMetrics, "train_loss"), (Curve{{0, 0.7}, {1, 0.6}}));
  EXPECT_EQ(read_curve(kMetrics, "val_acc"), (Curve{{0, 0.5}, {1, 0.75}, {2, 1.0}}));
  EXPECT_EQ(metric_names(kMetrics), (std::vector<std::string>{"train_loss", "val_acc"}));
}

TEST(MetricsCsv, a_whole_curve_has_nan_too_but_no_empty_cells) {
  const Curve curve = read_whole_curve(kMetrics, "train_loss");
  ASSERT_EQ(curve.size(), 3U);
  EXPECT_EQ(curve[1], (Curve::value_type{1, 0.6}));
  EXPECT_TRUE(std::isnan(curve[2].second));
  EXPECT_EQ(read_whole_curve(kMetrics, "val_acc"), read_curve(kMetrics, "val_acc"));
}

TEST(MetricsCsv, a_chart_shows_every_epoch) {  // row 30
  EXPECT_EQ(draw_chart("val_acc", read_curve(kMetrics, "val_acc"), {.width = 21, .height = 5}),
            "val_acc: 1 in epoch 2, lowest 0.5 in epoch 0, highest 1 in epoch 2\n"
            "\n"
            "1 |                   ..*\n"
            "  |              .....\n"
            "  |         ..*..\n"
            "  |    .....\n"
            "  | *..\n"
            "  +----------------------\n"
            "    0       epoch       2\n");
}

TEST(MetricsCsv, several_runs_share_a_chart_and_have_marks_of_their_own) {
  const std::string chart =
      draw_common_chart("val_acc", {{"a", {{0, 0.0}, {2, 1.0}}}, {"b", {{0, 1.0}, {1, 0.5}}}},
                        {.width = 21, .height = 3, .x_label = "step"});
  EXPECT_EQ(chart,
            "val_acc\n"
            "* a: 1 in step 2, lowest 0 in step 0, highest 1 in step 2\n"
            "o b: 0.5 in step 1, lowest 0.5 in step 1, highest 1 in step 0\n"
            "\n"
            "1 | o....          .....*\n"
            "  |      .....o....\n"
            "  | *....\n"
            "  +----------------------\n"
            "    0       step        2\n");
}

TEST(MetricsCsv, one_value_and_equal_values_are_drawn_too) {
  EXPECT_NE(draw_chart("a", {{0, 3.0}}).find('*'), std::string::npos);
  const std::string equal = draw_chart("a", {{0, 3.0}, {1, 3.0}}, {.width = 20, .height = 3});
  EXPECT_NE(equal.find("\n  |\n3 | *..................*\n  |\n"), std::string::npos) << equal;
  EXPECT_EQ(draw_chart("a", {}), "a: no finite values yet\n");
}

TEST(MetricsCsv, a_metric_that_is_not_there_names_the_nearest) {
  EXPECT_THROW(read_curve(kMetrics, "val_ac"), ConfigError);
}

TEST(MetricsCsv, a_file_that_cannot_be_drawn_is_refused_with_the_line) {
  EXPECT_EQ(message_of<DataError>([] { read_curve("", "val_acc"); }),
            "metrics.csv is empty; plot a run that has logged a metric");
  EXPECT_EQ(message_of<DataError>([] { read_curve("epoch,step,a\n0,1\n", "a"); }),
            "'metrics.csv' is damaged or of another format: line 2 has 2 cells, but the header has "
            "3; remove the line");
  EXPECT_EQ(message_of<DataError>([] { read_curve("epoch,step,a\n0,1,x\n", "a"); }),
            "metrics.csv, line 2, column a: the cell is 'x'; it must be a number or empty. Correct "
            "it, or remove the line.");
}

}  // namespace levin::metrics_csv_test
