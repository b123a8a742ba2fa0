#include <levin/cli/plot.h>

#include <gtest/gtest.h>

#include <fstream>

#include <levin/framework/core/error.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

namespace levin::plot_test {

using test::message_of;

constexpr const char* kMetrics =
    "epoch,step,train_loss,val_acc\n"
    "0,9,0.9,\n"
    "0,19,0.7,\n"
    "0,19,,0.5\n"
    "1,29,0.6,\n"
    "1,39,,0.75\n"
    "2,59,nan,1\n";

TEST(Plot, a_curve_is_the_last_value_of_each_epoch) {
  EXPECT_EQ(read_curve(kMetrics, "train_loss"), (Curve{{0, 0.7}, {1, 0.6}}));
  EXPECT_EQ(read_curve(kMetrics, "val_acc"), (Curve{{0, 0.5}, {1, 0.75}, {2, 1.0}}));
  EXPECT_EQ(metric_names(kMetrics), (std::vector<std::string>{"train_loss", "val_acc"}));
}

TEST(Plot, a_chart_shows_every_epoch) {  // row 30
  EXPECT_EQ(draw_chart("val_acc", read_curve(kMetrics, "val_acc"), 21, 5),
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

TEST(Plot, one_value_and_equal_values_are_drawn_too) {
  EXPECT_NE(draw_chart("a", {{0, 3.0}}).find('*'), std::string::npos);
  EXPECT_NE(draw_chart("a", {{0, 3.0}, {1, 3.0}}).find('*'), std::string::npos);
  EXPECT_EQ(draw_chart("a", {}), "a: no values yet\n");
}

TEST(Plot, a_metric_that_is_not_there_names_the_nearest) {
  EXPECT_THROW(read_curve(kMetrics, "val_ac"), ConfigError);
}

TEST(Plot, a_file_that_cannot_be_drawn_is_refused_with_the_line) {
  EXPECT_EQ(message_of<DataError>([] { read_curve("", "val_acc"); }),
            "metrics.csv is empty; plot a run that has logged a metric");
  EXPECT_EQ(message_of<DataError>([] { read_curve("epoch,step,a\n0,1\n", "a"); }),
            "'metrics.csv' is damaged or of another format: line 2 has 2 cells, but the header has "
            "3; remove the line");
  EXPECT_EQ(message_of<DataError>([] { read_curve("epoch,step,a\n0,1,x\n", "a"); }),
            "metrics.csv, line 2, column a: the cell is 'x'; it must be a number or empty. Correct "
            "it, or remove the line.");
  const test::TemporaryFolder folder;
  const auto file = folder / "metrics.csv";
  std::ofstream(file) << "epoch,step\n0,1\n";
  EXPECT_EQ(message_of<DataError>([&] { plot_run(file, {}); }),
            file.string() + " holds no metrics; plot a run that has logged a metric");
}

}  // namespace levin::plot_test
