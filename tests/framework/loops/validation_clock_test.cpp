#include <levin/framework/loops/validation_clock.h>

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include <levin/framework/checkpoint/checkpoint.h>

#include "framework/stub_ranks.h"
#include "framework/support.h"

// Validation when a time has passed. No test waits: clocks are told what has passed already.

namespace levin::validation_clock_test {

constexpr double kHour = 3600.0;

/// What ranks have raised, which all of them are told some steps later.
struct Flags {
  explicit Flags(size_t delay) : in_flight(delay) {}
  /// After all ranks have asked: what was raised moves on by a step.
  void end_step() {
    told = in_flight.empty() ? raised : in_flight.front();
    for (size_t i = 1; i < in_flight.size(); ++i) in_flight[i - 1] = in_flight[i];
    if (!in_flight.empty()) in_flight.back() = raised;
    raised = false;
  }
  std::vector<bool> in_flight;
  bool raised = false;
  bool told = false;
};

/// One of two ranks that learn of each other's flags by the next steps.
class LateRanks : public test::StubRanks {
 public:
  explicit LateRanks(Flags& flags) : StubRanks(0, 2), flags_(flags) {}
  bool any_after_step(std::string_view /*key*/, bool raised) override {
    flags_.raised = flags_.raised || raised;
    return flags_.told;
  }

 private:
  Flags& flags_;
};

TEST(ValidationClock, is_used_only_if_the_interval_is_a_time) {
  EXPECT_FALSE(ValidationClock({.val_check_interval = 5}, single_rank()).is_used());
  EXPECT_FALSE(ValidationClock({.val_check_interval = 0.5}, single_rank()).seconds().has_value());
  EXPECT_TRUE(ValidationClock({.val_check_interval = "01:00:00"}, single_rank()).is_used());
}

TEST(ValidationClock, begins_anew_after_each_validation) {
  ValidationClock clock({.val_check_interval = "01:00:00"}, single_rank());
  clock.start();
  EXPECT_FALSE(clock.is_due(true));
  clock.set_seconds_before(kHour);
  EXPECT_FALSE(clock.is_due(/*is_allowed=*/false));
  EXPECT_TRUE(clock.is_due(true));
  clock.restart();
  EXPECT_FALSE(clock.is_due(true));
  EXPECT_LT(*clock.seconds(), kHour);
}

TEST(ValidationClock, of_any_rank_makes_all_validate_once_and_after_the_same_step) {
  for (const size_t delay : {size_t{0}, size_t{1}}) {  // the answer comes a step later, or two
    Flags flags(delay);
    LateRanks ranks(flags);
    const TrainerOptions options{.val_check_interval = "01:00:00"};
    std::array<ValidationClock, 2> clocks{ValidationClock(options, ranks),
                                          ValidationClock(options, ranks)};
    for (auto& clock : clocks) clock.start();
    std::vector<std::vector<int64_t>> validated(2);
    for (int64_t step = 0; step < 20; ++step) {
      if (step == 3) clocks[0].set_seconds_before(kHour);
      if (step == 4) clocks[1].set_seconds_before(kHour);  // also, but a step later
      if (step == 12) clocks[1].set_seconds_before(kHour);
      std::array<bool, 2> due{};
      for (size_t rank = 0; rank < 2; ++rank) due[rank] = clocks[rank].is_due(true);
      flags.end_step();
      for (size_t rank = 0; rank < 2; ++rank) {
        if (!due[rank]) continue;
        validated[rank].push_back(step);
        clocks[rank].restart();
      }
    }
    EXPECT_EQ(validated[0], validated[1]);
    const auto late = static_cast<int64_t>(delay) + 1;
    EXPECT_EQ(validated[0], (std::vector<int64_t>{3 + late, 12 + late}));
  }
}

/// Saves after a step, and notes after which steps there were validations.
class Watcher : public Callback {
 public:
  std::string state_key() const override { return "Watcher"; }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    if (step.global_step() != save_at) return;
    step.run().save(path);
    save_at = -1;
  }
  void on_validation_start(Run& run) override { validated.push_back(run.global_step()); }
  int64_t save_at = -1;
  std::filesystem::path path;
  std::vector<int64_t> validated;
};

TEST(TimedValidation, follows_the_step_at_which_its_time_is_over_and_resumes_its_clock) {
  const test::TemporaryFolder folder;
  const TrainerOptions options{.accelerator = "cpu",
                               .max_epochs = 2,
                               .val_check_interval = "01:00:00",
                               .num_sanity_val_steps = 0,
                               .accumulate_grad_batches = 2,
                               .default_root_dir = folder.string()};
  test::PointsModule data(48, {.batch_size = 6});  // 4 steps an epoch
  const auto saved = folder.path() / "saved.ckpt";
  {
    test::Classifier model;
    Trainer trainer(options);
    auto& watcher = trainer.add<Watcher>();
    watcher.save_at = 2;
    watcher.path = saved;
    trainer.fit(model, data);
    EXPECT_TRUE(watcher.validated.empty()) << "an hour hasn't passed";
  }
  StateDict state = load_checkpoint(saved);
  EXPECT_GT(state.child("loop").values.at("seconds_since_validation").as_double(), 0.0);
  state.values["loop"]["seconds_since_validation"] = kHour;
  const auto later = folder.path() / "later.ckpt";
  save_checkpoint(later, state);
  test::Classifier model;
  Trainer trainer(options);
  auto& watcher = trainer.add<Watcher>();
  trainer.fit(model, data, later.string());
  EXPECT_EQ(watcher.validated, (std::vector<int64_t>{3})) << "the next step, and then no longer";
}

}  // namespace levin::validation_clock_test
