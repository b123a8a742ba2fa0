#include <levin/framework/loops/stopping.h>

#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <string>

#include <levin/framework/core/files.h>
#include <levin/framework/loops/stop_signal.h>

#include "framework/stub_ranks.h"

namespace levin::stopping_test {

/// Ranks of which this process is one: what the others have raised is up to the test.
class TestRanks : public test::StubRanks {
 public:
  TestRanks() : StubRanks(0, 2) {}
  bool any(bool flag) override {
    ++meetings;
    return flag || another_rank_asks;
  }
  bool any_after_step(std::string_view key, bool raised) override {
    told[std::string(key)] = raised;
    return agree[std::string(key)] || (raised && all_at_once);
  }

  std::map<std::string, bool> told;   // what this rank has raised
  std::map<std::string, bool> agree;  // all ranks know
  bool all_at_once = true;            // as with one process
  bool another_rank_asks = false;
  int meetings = 0;
};

/// One fit's decisions.
struct Fit {
  explicit Fit(TrainerOptions given = {})
      : options(std::move(given)), stopping(options, ranks, run) {
    run.progress() = Progress{.num_batches = 10};
    stopping.set_limits(run.progress());
  }
  /// A boundary at which a callback of this rank asks to stop, if there is a reason.
  void ask(const std::string& reason, bool in_step) {
    if (!reason.empty()) stopping.hold({{.text = reason}});
    stopping.judge(in_step);
  }
  bool is_done_after(int64_t epochs, int64_t steps) {
    run.progress().epoch = epochs;
    run.progress().global_step = steps;
    return stopping.is_done();
  }
  TrainerOptions options;
  RunControl run;
  TestRanks ranks;
  Stopping stopping;
};

TEST(Stopping, ends_at_the_limit_reached_first_and_names_it) {
  Fit fit({.max_epochs = 3, .max_steps = 25});
  EXPECT_FALSE(fit.is_done_after(0, 0));
  EXPECT_FALSE(fit.is_done_after(2, 24));
  EXPECT_EQ(fit.stopping.reason(), "");
  EXPECT_TRUE(fit.is_done_after(2, 25));
  EXPECT_EQ(fit.stopping.reason(), "max_steps");
  Fit other({.max_epochs = 3, .max_steps = 100});
  EXPECT_TRUE(other.is_done_after(3, 30));
  EXPECT_EQ(other.stopping.reason(), "max_epochs");
}

TEST(Stopping, has_a_limit_of_1000_epochs_if_the_options_have_none) {
  EXPECT_EQ(Fit().run.progress().max_epochs, 1000);
  EXPECT_EQ(Fit({.max_steps = 5}).run.progress().max_epochs, std::nullopt);
  EXPECT_EQ(Fit({.max_epochs = -1}).run.progress().max_epochs, std::nullopt);
  EXPECT_EQ(Fit({.max_time = "01:00"}).run.progress().max_epochs, std::nullopt);
}

TEST(Stopping, ends_before_the_first_epoch_without_batches) {
  Fit fit({.max_epochs = 3});
  fit.run.progress().num_batches = 0;
  EXPECT_TRUE(fit.is_done_after(0, 0));
  EXPECT_EQ(fit.stopping.reason(), "limit_train_batches");
}

TEST(Stopping, a_request_waits_for_the_minima_and_keeps_its_reason) {
  Fit fit({.max_epochs = 9, .min_epochs = 2, .min_steps = 25});
  fit.ask("no improvement", /*in_step=*/true);
  EXPECT_FALSE(fit.stopping.is_requested());
  EXPECT_EQ(fit.stopping.held_reason(), "no improvement");
  EXPECT_FALSE(fit.is_done_after(1, 30));
  EXPECT_FALSE(fit.is_done_after(2, 20));
  fit.ask("another reason", /*in_step=*/true);
  EXPECT_FALSE(fit.is_done_after(2, 25));
  fit.ask("", /*in_step=*/true);
  EXPECT_TRUE(fit.stopping.is_requested());
  EXPECT_TRUE(fit.is_done_after(2, 25));
  EXPECT_EQ(fit.stopping.reason(), "no improvement");
}

TEST(Stopping, a_request_whose_reason_goes_is_dropped_and_the_next_one_counts) {
  Fit fit({.max_epochs = 9, .min_epochs = 2});
  std::string wish = "worse";
  fit.stopping.hold({{.reason_now = [&] { return wish; }}});
  fit.ask("", /*in_step=*/false);
  EXPECT_EQ(fit.stopping.held_reason(), std::nullopt) << "whoever judges anew has its own state";
  wish.clear();
  fit.ask("", /*in_step=*/false);
  wish = "too late";
  EXPECT_FALSE(fit.is_done_after(2, 20));
  fit.ask("", /*in_step=*/false);
  EXPECT_FALSE(fit.is_done_after(2, 20));
  fit.stopping.hold({{.reason_now = [&] { return wish; }}});
  fit.ask("", /*in_step=*/false);
  EXPECT_TRUE(fit.is_done_after(2, 20));
  EXPECT_EQ(fit.stopping.reason(), "too late");
}

TEST(Stopping, max_time_counts_the_time_before_a_resume_and_only_while_training) {
  double now = 100.0;
  files::inject_clock([&] { return now; });
  Fit fit({.max_time = "00:00:01:00"});
  EXPECT_EQ(fit.stopping.seconds(), 0.0);
  fit.stopping.set_seconds_before(20.0);
  now = 200.0;
  EXPECT_EQ(fit.stopping.seconds(), 20.0);
  fit.stopping.start_clock();
  now = 239.0;
  EXPECT_FALSE(fit.is_done_after(0, 1));
  EXPECT_EQ(fit.stopping.seconds(), 59.0);
  now = 240.0;
  EXPECT_TRUE(fit.is_done_after(0, 2));
  EXPECT_EQ(fit.stopping.reason(), "max_time");
  EXPECT_EQ(Fit({.max_epochs = 1}).stopping.seconds(), std::nullopt);
  files::inject_clock({});
}

// In a step ranks don't wait for each other: the request counts once all know of it, and is raised
// until then. Elsewhere they ask each other.
TEST(Stopping, a_request_within_a_step_counts_once_all_ranks_know_of_it) {
  Fit fit({.max_epochs = 9});
  fit.ranks.all_at_once = false;
  fit.ask("mine", /*in_step=*/true);
  EXPECT_FALSE(fit.is_done_after(0, 1));
  EXPECT_TRUE(fit.ranks.told["Stopping/request"]);
  fit.ranks.agree["Stopping/request"] = true;
  fit.ask("", /*in_step=*/true);
  EXPECT_TRUE(fit.is_done_after(0, 2));
  EXPECT_EQ(fit.stopping.reason(), "mine");
  EXPECT_EQ(fit.ranks.meetings, 0);
}

TEST(Stopping, another_ranks_request_between_steps_counts_at_once) {
  Fit fit({.max_epochs = 9});
  fit.ranks.another_rank_asks = true;
  fit.ask("", /*in_step=*/true);
  EXPECT_FALSE(fit.is_done_after(0, 1));
  fit.ask("", /*in_step=*/false);
  EXPECT_TRUE(fit.is_done_after(0, 1));
  EXPECT_EQ(fit.stopping.reason(), "a callback of another rank asked to stop");
  EXPECT_EQ(fit.ranks.meetings, 1);
}

TEST(Stopping, a_signal_interrupts_once_whatever_the_minima) {
  const StopSignal signal;
  Fit fit({.max_epochs = 9, .min_epochs = 5});
  EXPECT_FALSE(fit.stopping.notice_interrupt());
  std::raise(SIGTERM);
  EXPECT_TRUE(fit.stopping.notice_interrupt());
  EXPECT_FALSE(fit.stopping.notice_interrupt());
  EXPECT_TRUE(fit.run.history().interrupted);
  EXPECT_TRUE(fit.is_done_after(0, 1));
  EXPECT_EQ(fit.stopping.reason(), "interrupted");
}

}  // namespace levin::stopping_test
