#include <levin/callbacks/progress_bar.h>

#include "callbacks/fixture.h"
#include "framework/screen.h"

namespace levin::test::progress_bar_options_test {

/// What a fit of three epochs leaves on a terminal: the text of each line that is still there.
std::vector<std::string> left_on_a_terminal(bool leave) {
  PointsModule data(16, {.batch_size = 8});
  Classifier model;
  Capture out;
  Trainer trainer({.accelerator = "cpu", .max_epochs = 3, .num_sanity_val_steps = 0});
  trainer.add(std::make_unique<ProgressBar>(ProgressBarOptions{.leave = leave}, out.file(),
                                            Terminal{.live = true, .width = 80}));
  trainer.fit(model, data);
  Screen screen(80);
  screen.send(out.text());
  return screen.lines();
}

TEST(ProgressBarOptions, ALineIsDrawnOverByTheNextEpochs) {
  const auto lines = left_on_a_terminal(false);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].find("Epoch 2/2 100%|"), 0U) << lines[0];
}

TEST(ProgressBarOptions, LeaveKeepsEachEpochsLastLine) {
  const auto lines = left_on_a_terminal(true);
  ASSERT_EQ(lines.size(), 3U);
  for (size_t epoch = 0; epoch < 3; ++epoch) {
    const std::string start = "Epoch " + std::to_string(epoch) + "/2 100%|";
    EXPECT_EQ(lines[epoch].find(start), 0U) << lines[epoch];
  }
}

}  // namespace levin::test::progress_bar_options_test
