#include <levin/callbacks/live_line.h>
#include <levin/callbacks/progress_line.h>

#include "callbacks/fixture.h"

namespace levin::test::progress_line_test {

const ProgressPass kPass{.label = "Epoch 0/1", .done = 50, .start = 100.0, .rate = 25.0};

TEST(ProgressLine, shows_the_share_times_and_rate) {
  EXPECT_EQ(progress_line(kPass, 100, 165.0, false, " loss=0.5", 0),
            "Epoch 0/1  50% 50/100 [01:05<00:02, 25.0 it/s] loss=0.5");
}

TEST(ProgressLine, the_last_one_has_the_average_rate_since_a_resume_and_no_time_left) {
  ProgressPass pass = kPass;
  pass.first = 40;
  EXPECT_EQ(progress_line(pass, 50, 120.0, true, "", 0), "Epoch 0/1 100% 50/50 [00:20, 2.00 s/it]");
  EXPECT_EQ(progress_line(kPass, 50, 100.0 + 7265.0, true, "", 0),
            "Epoch 0/1 100% 50/50 [2:01:05, 145.30 s/it]");
}

TEST(ProgressLine, without_a_total_there_is_no_share) {
  EXPECT_EQ(progress_line({.label = "Test", .done = 3, .start = 0.0}, 0, 2.0, false, "", 80),
            "Test 3 [00:02, ? it/s]");
}

TEST(ProgressLine, the_bar_takes_the_room_that_is_left_up_to_20_columns) {
  const std::string tail = " 50/100 [01:05<00:02, 25.0 it/s]";
  EXPECT_EQ(progress_line(kPass, 100, 165.0, false, "", 200),
            "Epoch 0/1  50%|" + std::string(10, '#') + std::string(10, ' ') + "|" + tail);
  const int others = 14 + 2 + static_cast<int>(tail.size()) + 1;
  EXPECT_EQ(progress_line(kPass, 100, 165.0, false, "", others + 4), "Epoch 0/1  50%|##  |" + tail);
  EXPECT_EQ(progress_line(kPass, 100, 165.0, false, "", others + 3), "Epoch 0/1  50%" + tail);
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

TEST(LiveLine, takes_the_place_of_the_one_before_on_a_terminal) {
  Capture out;
  LiveLine line(out.file(), /*live=*/true, /*width=*/6);
  line.end();  // no line has begun
  line.write("äöüäöüäöü");
  line.write("b");
  line.end();
  line.end();
  EXPECT_EQ(out.text(), "\räöüäö\x1b[K\rb\x1b[K\n") << "cut to characters, not bytes";
}

TEST(LiveLine, is_a_line_of_its_own_in_a_file) {
  Capture out;
  LiveLine line(out.file(), /*live=*/false, /*width=*/6);
  EXPECT_EQ(line.columns(), 0);
  line.write("a long line");
  line.write("b");
  line.end();
  EXPECT_EQ(out.text(), "a long line\nb\n");
  EXPECT_FALSE(is_live_terminal(out.file()));
}

}  // namespace levin::test::progress_line_test
