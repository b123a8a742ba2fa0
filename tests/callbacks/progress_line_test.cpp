#include <levin/callbacks/progress_line.h>

#include "callbacks/fixture.h"

namespace levin::test::progress_line_test {

const ProgressPass kPass{
    .label = "Epoch 0/1", .total = 100, .done = 50, .start = 100.0, .rate = 25.0};

/// The line of kPass on a terminal with this number of columns.
std::string line_of(int columns, const std::vector<std::string>& metrics = {},
                    const Sparkline* losses = nullptr) {
  return progress_line(kPass, 165.0, false, metrics, {.columns = columns, .losses = losses});
}

TEST(ProgressLine, shows_the_share_times_and_rate) {
  EXPECT_EQ(line_of(0, {"loss=0.5", "acc=1"}),
            "Epoch 0/1  50% 50/100 [01:05<00:02, 25.0 it/s] loss=0.5, acc=1");
}

TEST(ProgressLine, the_last_one_has_the_average_rate_since_a_resume_and_no_time_left) {
  ProgressPass pass = kPass;
  pass.first = 40;
  pass.total = 50;
  EXPECT_EQ(progress_line(pass, 120.0, true, {}), "Epoch 0/1 100% 50/50 [00:20, 2.00 s/it]");
  pass.first = 0;
  EXPECT_EQ(progress_line(pass, 100.0 + 7265.0, true, {}),
            "Epoch 0/1 100% 50/50 [2:01:05, 145.30 s/it]");
}

TEST(ProgressLine, without_a_total_there_is_no_share) {
  EXPECT_EQ(
      progress_line({.label = "Test", .done = 3, .start = 0.0}, 2.0, false, {}, {.columns = 80}),
      "Test 3 [00:02, ? it/s]");
}

TEST(ProgressLine, the_bar_takes_the_room_that_is_left_up_to_20_columns) {
  const std::string tail = " 50/100 [01:05<00:02, 25.0 it/s]";
  EXPECT_EQ(line_of(200),
            "Epoch 0/1  50%|" + std::string(10, '#') + std::string(10, ' ') + "|" + tail);
  const int others = 14 + 2 + static_cast<int>(tail.size());
  EXPECT_EQ(line_of(others + 4), "Epoch 0/1  50%|##  |" + tail);
  EXPECT_EQ(line_of(others + 3), "Epoch 0/1  50%" + tail);
}

TEST(ProgressLine, on_a_narrow_terminal_parts_are_left_out_and_no_number_is_cut) {
  const std::vector<std::string> metrics = {"loss=0.25", "acc=0.93"};
  EXPECT_EQ(line_of(66, metrics),
            "Epoch 0/1  50% 50/100 [01:05<00:02, 25.0 it/s] loss=0.25, acc=0.93");
  EXPECT_EQ(line_of(65, metrics),
            "Epoch 0/1  50%|###    | 50/100 [01:05<00:02, 25.0 it/s] loss=0.25");
  EXPECT_EQ(line_of(55, metrics), "Epoch 0/1  50%|##  | [01:05<00:02, 25.0 it/s] loss=0.25");
  EXPECT_EQ(line_of(40, metrics), "Epoch 0/1  50% 00:02 left loss=0.25");
  EXPECT_EQ(line_of(25, metrics), "Epoch 0/1  50% loss=0.25");
  EXPECT_EQ(line_of(19, metrics), "Epoch 0/1  50%");
  for (int columns = 1; columns < 120; ++columns) {
    EXPECT_LE(text_columns(line_of(columns, metrics)), std::max(columns, 14)) << columns;
  }
}

TEST(ProgressLine, the_losses_have_what_room_the_bar_leaves) {
  Sparkline losses;
  for (int i = 0; i < 16; ++i) losses.add(15 - i);
  const std::string head = "Epoch 0/1  50%|#####     |";
  const std::string tail = " 50/100 [01:05<00:02, 25.0 it/s]";
  const int others = static_cast<int>(head.size() + tail.size()) + 6;
  EXPECT_EQ(line_of(others + 8, {}, &losses), head + tail + " loss @#*+=-:.");
  EXPECT_EQ(line_of(others + 7, {}, &losses).find(" loss "), std::string::npos);
  EXPECT_EQ(line_of(others + 16, {}, &losses), head + tail + " loss " + losses.text(16, false));
}

TEST(ProgressLine, colors_take_no_columns_and_are_switched_off_again) {
  Sparkline losses;
  losses.add(1.0);
  ProgressLook look{.columns = 100, .losses = &losses};
  const std::string plain = progress_line(kPass, 165.0, false, {"loss=0.25"}, look);
  look.terminal.color = true;
  EXPECT_EQ(progress_line(kPass, 165.0, false, {"loss=0.25"}, look),
            "\x1b[1mEpoch 0/1\x1b[0m  50%|\x1b[32m##########\x1b[0m          | 50/100 "
            "[01:05<00:02, 25.0 it/s] loss=0.25 loss \x1b[35m.\x1b[0m");
  EXPECT_EQ(text_columns(progress_line(kPass, 165.0, false, {"loss=0.25"}, look)),
            static_cast<int>(plain.size()));
}

TEST(ProgressLine, the_newest_rate_has_a_weight_of_three_tenths) {
  ProgressPass pass{.label = "Test"};
  pass.done = 10;
  pass.update_rate(1.0);
  EXPECT_DOUBLE_EQ(pass.rate, 10.0);
  pass.update_rate(5.0);  // nothing was done since
  EXPECT_DOUBLE_EQ(pass.rate, 10.0);
  pass.done = 50;
  pass.update_rate(3.0);
  EXPECT_DOUBLE_EQ(pass.rate, 0.7 * 10.0 + 0.3 * 20.0);
}

}  // namespace levin::test::progress_line_test
