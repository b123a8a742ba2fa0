#include <levin/framework/profiling/profiler.h>

#include "framework/meeting.h"
#include "framework/support.h"

#include <gtest/gtest.h>

#include <cmath>
#include <regex>
#include <set>
#include <thread>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/loggers/csv_logger.h>
#include <levin/framework/run/callback.h>

namespace levin::profiler_test {

using test::in_threads;
using test::lines_of;
using test::Meeting;
using test::ThreadClocks;

/// A clock the test moves; each look at it may take time too.
class FakeClock {
 public:
  explicit FakeClock(double a_look = 0.0) {
    files::inject_clock([this, a_look] {
      ++looks;
      return now += a_look;
    });
  }
  ~FakeClock() { files::inject_clock({}); }
  double now = 100.0;
  int64_t looks = 0;
};

double sum_of_rows(const Profile& profile) {
  double sum = 0.0;
  for (const auto& row : profile.rows) sum += row.seconds;
  return sum;
}

TEST(SimpleProfiler, an_inner_part_stops_the_clock_of_the_outer_one) {
  FakeClock clock;
  SimpleProfiler profiler(nullptr);
  profiler.begin_run(Stage::fit);
  clock.now += 1;
  {
    const ProfilePart optimizer(&profiler, Part::optimizer);
    clock.now += 2;
    {
      const ProfilePart forward(&profiler, Part::forward);
      clock.now += 4;
    }
    clock.now += 8;
    {
      const ProfilePart backward(&profiler, Part::backward);
      clock.now += 16;
      const ProfilePart callbacks(&profiler, Part::callbacks);
      clock.now += 32;
    }
  }
  clock.now += 64;
  profiler.end_run(/*failed=*/false);
  clock.now += 1000;
  const Profile profile = profiler.profile();
  EXPECT_EQ(profile.row(Part::optimizer).seconds, 10);
  EXPECT_EQ(profile.row(Part::forward).seconds, 4);
  EXPECT_EQ(profile.row(Part::backward).seconds, 16);
  EXPECT_EQ(profile.row(Part::callbacks).seconds, 32);
  EXPECT_EQ(profile.row(Part::rest).seconds, 65);
  EXPECT_EQ(profile.seconds, 127);
  EXPECT_EQ(profile.row(Part::optimizer).calls, 1);
  EXPECT_EQ(profile.row(Part::data).calls, 0);
}

TEST(SimpleProfiler, what_a_validation_reads_and_computes_is_the_validations) {
  FakeClock clock;
  SimpleProfiler profiler(nullptr);
  profiler.begin_run(Stage::fit);
  {
    const ProfilePart validation(&profiler, Part::validation);
    clock.now += 1;
    for (const Part part : {Part::data, Part::transfer, Part::forward, Part::callbacks}) {
      const ProfilePart inner(&profiler, part);
      clock.now += 2;
    }
  }
  profiler.end_run(/*failed=*/false);
  const Profile profile = profiler.profile();
  EXPECT_EQ(profile.row(Part::validation).seconds, 7);
  EXPECT_EQ(profile.row(Part::validation).calls, 1);
  EXPECT_EQ(profile.row(Part::forward).calls, 0);
  EXPECT_EQ(profile.row(Part::callbacks).seconds, 2);
}

TEST(ProfileTable, shares_add_up_to_100_and_columns_are_aligned) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Profile profile;
    KeyedGenerator generator(seed);
    for (auto& row : profile.rows) {
      row = {static_cast<int64_t>(generator.below(1'000'000)),
             std::exp(12 * generator.uniform() - 8)};
      profile.seconds += row.seconds;
    }
    const auto lines = lines_of(profile.table());
    ASSERT_EQ(lines.size(), kNumParts + 3) << profile.table();
    int64_t tenths = 0;
    for (size_t i = 2; i < lines.size(); ++i) {
      EXPECT_EQ(lines[i].size(), lines[1].size()) << profile.table();
      std::smatch share;
      ASSERT_TRUE(std::regex_search(lines[i], share, std::regex(" (\\d+)\\.(\\d)$"))) << lines[i];
      if (i + 1 < lines.size()) tenths += std::stoll(share[1]) * 10 + std::stoll(share[2]);
    }
    EXPECT_EQ(tenths, 1000) << profile.table();
    EXPECT_TRUE(lines.back().ends_with(" 100.0")) << lines.back();
  }
}

TEST(ProfileTable, says_what_ran_how_long_and_with_how_many_threads) {
  Profile profile;
  profile.stage = Stage::test;
  profile.seconds = 2.0;
  profile.threads = 3;
  profile.row(Part::forward) = {4, 1.5};
  profile.row(Part::rest) = {0, 0.5};
  EXPECT_EQ(profile.table(),
            "test: 2.000 s, LibTorch's threads: 3\n"
            "part                     calls     seconds       mean us        %\n"
            "forward                      4       1.500     375000.00     75.0\n"
            "the rest                             0.500                   25.0\n"
            "all                                  2.000                  100.0\n");
}

// --- several ranks ---

/// Of a step whose gradients were complete at `ready`: one collective hidden behind backward, one
/// that overlaps it and ends with the waiting.
Reduction reduction(double ready, double end) {
  return {.collectives = {{ready - 3, ready - 1, 100}, {ready - 2, end, 50}},
          .ready = ready,
          .end = end};
}

TEST(Communication, counts_what_overlaps_once_and_tells_hidden_from_waited_for) {
  Communication sum;
  sum.add(reduction(10, 14));
  sum.add(reduction(20, 21));
  EXPECT_EQ(sum.steps, 2);
  EXPECT_EQ(sum.bytes, 300);
  EXPECT_EQ(sum.seconds, 7 + 4);
  EXPECT_EQ(sum.hidden, 3 + 3);
  EXPECT_EQ(sum.waiting, 4 + 1);
  EXPECT_NEAR(sum.overlap_percent(), 100.0 * 6 / 11, 1e-9);
}

TEST(Communication, a_gap_between_collectives_is_no_communication) {
  Communication sum;
  sum.add({.collectives = {{1, 2, 1}, {5, 6, 1}, {5.5, 5.75, 1}}, .ready = 5, .end = 7});
  EXPECT_EQ(sum.seconds, 2);
  EXPECT_EQ(sum.hidden, 1);
  EXPECT_EQ(sum.waiting, 2);
}

TEST(Communication, who_waited_longest_waited_for_the_slower_ranks) {
  std::vector<Communication> ranks(3);
  const double ready[2][3] = {{1, 5, 3}, {4, 2, 6}};  // step by rank; sums are there at 7
  for (const auto& step : ready) {
    for (size_t r = 0; r < 3; ++r) ranks[r].add({.collectives = {}, .ready = step[r], .end = 7});
  }
  tell_slower_apart(ranks);
  EXPECT_NEAR(ranks[0].for_slower, (5 - 1) + (6 - 4), 1e-6);
  EXPECT_NEAR(ranks[1].for_slower, (5 - 5) + (6 - 2), 1e-6);
  EXPECT_NEAR(ranks[2].for_slower, (5 - 3) + (6 - 6), 1e-6);
}

TEST(Communication, keeps_a_bounded_number_of_steps_spread_over_the_run) {
  std::vector<Communication> ranks(2);
  constexpr int kSteps = 50'000;
  for (int i = 0; i < kSteps; ++i) {
    ranks[0].add({.collectives = {}, .ready = 0, .end = 3});
    ranks[1].add({.collectives = {}, .ready = i < kSteps / 2 ? 0 : 2.0, .end = 3});
  }
  EXPECT_LE(ranks[0].waits.size(), Communication::kMaxWaits);
  EXPECT_GT(ranks[0].waits.size(), Communication::kMaxWaits / 2);
  EXPECT_EQ(ranks[0].waits.size(), ranks[1].waits.size());
  EXPECT_EQ(ranks[0].stride, 16);
  tell_slower_apart(ranks);
  EXPECT_NEAR(ranks[0].for_slower, 2.0 * kSteps / 2, 1e-3 * kSteps);
  EXPECT_EQ(ranks[1].for_slower, 0.0);
}

/// Two steps of a rank whose backward takes `seconds`; the profile it ends with.
Profile profile_of_rank(Meeting& meeting, size_t rank, double seconds, std::FILE* out) {
  double& now = ThreadClocks::now() = 100;
  test::ThreadRank ranks(meeting, rank);
  SimpleProfiler profiler(out);
  profiler.begin_run(Stage::fit);
  profiler.joined(ranks, nullptr, {});
  for (double step = 0; step < 2; ++step) {
    const ProfilePart optimizer(&profiler, Part::optimizer);
    {
      const ProfilePart forward(&profiler, Part::forward);
      now += 1;
    }
    {
      const ProfilePart backward(&profiler, Part::backward);
      now = 110 + 10 * step;
      profiler.reduced({.collectives = {{now - 9 + seconds, now, 1 << 20}},
                        .ready = now - 8 + seconds,
                        .end = now});
    }
    now += 0.5;
  }
  profiler.end_run(/*failed=*/false);
  return profiler.profile();
}

// Row 37.
TEST(SimpleProfiler, has_a_line_a_rank_that_rank_0_prints) {
  const ThreadClocks clocks;
  Meeting meeting(2);
  std::vector<Profile> profiles(2);
  testing::internal::CaptureStderr();
  in_threads(
      2, [&](size_t r) { profiles[r] = profile_of_rank(meeting, r, r == 0 ? 2.0 : 5.0, stderr); });
  const std::string printed = testing::internal::GetCapturedStderr();
  EXPECT_EQ(printed, profiles[0].table());
  ASSERT_EQ(profiles[1].ranks.size(), 2U);
  for (size_t r = 0; r < 2; ++r) {
    const Communication& own = profiles[r].communication;
    EXPECT_EQ(own.waiting, r == 0 ? 12 : 6);
    EXPECT_EQ(own.for_slower, r == 0 ? 6 : 0);
    for (const auto& at : profiles) {  // the same on every rank
      EXPECT_EQ(at.ranks[r].communication.waiting, own.waiting);
      EXPECT_EQ(at.ranks[r].row(Part::forward).seconds, 2);
    }
  }
  const auto lines = lines_of(printed);
  const std::vector<std::string> last(lines.end() - 3, lines.end());
  const std::vector<std::string> expected = {
      "rank    MiB sent  communication s  overlap %  waiting s  for slower s  forward s  backward s"
      "  update s",
      "0           2.00           14.000       14.3     12.000         6.000      2.000       5.500"
      "     1.000",
      "1           2.00            8.000       25.0      6.000         0.000      2.000      11.500"
      "     1.000"};
  EXPECT_EQ(last, expected) << printed;
}

/// A rank that waits for a layer within forward and within backward, and passes on outputs in a
/// pipeline; the profile it ends with.
Profile profile_with_exchanges(Meeting& meeting, size_t rank) {
  double& now = ThreadClocks::now() = 100;
  test::ThreadRank ranks(meeting, rank);
  SimpleProfiler profiler(nullptr);
  profiler.begin_run(Stage::fit);
  profiler.joined(ranks, nullptr, {});
  const auto layers = [&](double waiting, int64_t bytes) {
    profiler.exchanged({ExchangeKind::layers, now - waiting - 1, now, waiting, bytes});
  };
  {
    const ProfilePart forward(&profiler, Part::forward);
    now += 4;
    layers(2, 1 << 20);
    now += 4;
  }
  {
    const ProfilePart backward(&profiler, Part::backward);
    now += 8;
    layers(3, 1 << 20);
    profiler.reduced({.collectives = {{now - 5, now, 1 << 20}}, .ready = now - 4, .end = now});
  }
  {
    const ProfilePart forward(&profiler, Part::forward);
    now += 10;
    profiler.pipelined({.passes = {{now - 6, now - 1, true, 0, 0}},
                        .begin = now - 10,
                        .end = now,
                        .waiting = 5,
                        .for_outputs = 3,
                        .for_gradients = 1,
                        .messages = 6,
                        .bytes = 3 << 20,
                        .scheduled_bubble = 0.25});
  }
  {
    const ProfilePart backward(&profiler, Part::backward);
    now += 2;  // until the other ranks have made their last passes
    profiler.exchanged({ExchangeKind::metrics, now - 2, now, 2, 32});
    profiler.pipelined({.passes = {}, .begin = now - 2, .end = now, .waiting = 2});
  }
  profiler.exchanged({ExchangeKind::metrics, now, now, 0, 64});
  profiler.end_run(/*failed=*/false);
  return profiler.profile();
}

// Rows 42 and 44.
TEST(SimpleProfiler, tells_what_ranks_exchanged_besides_gradients_and_who_waited) {
  const ThreadClocks clocks;
  Meeting meeting(2);
  std::vector<Profile> profiles(2);
  in_threads(2, [&](size_t r) { profiles[r] = profile_with_exchanges(meeting, r); });
  const Profile& own = profiles[1].ranks[1];
  EXPECT_EQ(own.row(Part::forward).seconds, 8 + 10);
  EXPECT_EQ(own.row(Part::forward).waiting, 2 + 5);
  EXPECT_EQ(own.row(Part::backward).waiting, 4 + 2)
      << "the layer's wait lies within the gradients'";
  EXPECT_EQ(own.communication.waiting, 1) << "the rest was for the layer";
  const auto& layers = own.exchanges[static_cast<size_t>(ExchangeKind::layers)];
  EXPECT_EQ(layers.calls, 2);
  EXPECT_EQ(layers.waiting, 5);
  const auto lines = lines_of(profiles[0].table());
  const std::vector<std::string> last(lines.end() - 10, lines.end());
  const std::vector<std::string> expected = {
      "0           1.00            5.000       20.0      1.000         0.000     11.000       4.000"
      "     0.000",
      "1           1.00            5.000       20.0      1.000         0.000     11.000       4.000"
      "     0.000",
      "pipeline    batches  messages   MiB sent  in pipeline s  waiting s  for outputs s"
      "  for gradients s  bubble %  scheduled %",
      "rank 0            1         6       3.00         12.000      7.000          3.000"
      "            1.000      58.3         25.0",
      "rank 1            1         6       3.00         12.000      7.000          3.000"
      "            1.000      58.3         25.0",
      "exchange                    calls   MiB sent  waiting s",
      "layers        rank 0            2       2.00      5.000",
      "layers        rank 1            2       2.00      5.000",
      "metrics       rank 0            2       0.00      2.000",
      "metrics       rank 1            2       0.00      2.000"};
  EXPECT_EQ(last, expected) << profiles[0].table();
}

// --- in a run ---

class SavesOnce : public Callback {
 public:
  struct Options {};
  explicit SavesOnce(Options) {}
  std::string state_key() const override { return "SavesOnce"; }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    if (step.global_step() == 3) step.run().save("checkpoints/three.ckpt");
  }
};

// The clock ticks at every look, so each part's time is a number of looks.
TEST(TrainerProfile, tells_of_every_part_and_adds_up_to_the_whole_run) {
  const test::TemporaryFolder folder;
  test::PointsModule data(20, {.batch_size = 4});
  test::Classifier model;
  Trainer trainer({.accelerator = "cpu",
                   .max_epochs = 2,
                   .num_sanity_val_steps = 1,
                   .log_every_n_steps = 5,
                   .profiler = "simple",
                   .default_root_dir = folder.string()});
  trainer.add<SavesOnce>();
  trainer.add_logger<CsvLogger>();
  testing::internal::CaptureStderr();
  Profile profile;
  {
    const FakeClock clock(1.0);
    trainer.fit(model, data);
    profile = trainer.profile();
  }
  const std::string printed = testing::internal::GetCapturedStderr();
  EXPECT_EQ(printed, profile.table());
  EXPECT_EQ(profile.stage, Stage::fit);
  EXPECT_EQ(profile.threads, at::get_num_threads());
  EXPECT_EQ(profile.row(Part::data).calls, 2 * 5);
  for (const Part part : {Part::transfer, Part::forward, Part::backward, Part::optimizer}) {
    EXPECT_EQ(profile.row(part).calls, 2 * 5) << part_name(part);
  }
  EXPECT_EQ(profile.row(Part::validation).calls, 1 + 2);
  EXPECT_EQ(profile.row(Part::files).calls, 1);
  EXPECT_EQ(profile.row(Part::loggers).calls, 1 + 2 + 2 + 2 + 1);  // start, steps, val, epochs, end
  EXPECT_GT(profile.row(Part::callbacks).calls, 2 * 5 * 6);
  EXPECT_EQ(profile.row(Part::forward).seconds, 10);
  EXPECT_GT(profile.row(Part::validation).seconds, 0);
  EXPECT_EQ(sum_of_rows(profile), profile.seconds);
}

TEST(TrainerProfile, is_there_for_every_stage) {
  test::PointsModule data(20, {.batch_size = 4}, /*val_rows=*/30);
  test::Classifier model;
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1});
  EXPECT_EQ(trainer.profile().seconds, 0.0);
  trainer.set_profiler(std::make_unique<SimpleProfiler>(nullptr));
  trainer.validate(model, data);
  EXPECT_EQ(trainer.profile().stage, Stage::validate);
  EXPECT_EQ(trainer.profile().row(Part::forward).calls, 4);
  EXPECT_EQ(trainer.profile().row(Part::validation).calls, 0);
  trainer.test(model, data);
  EXPECT_EQ(trainer.profile().stage, Stage::test);
  EXPECT_EQ(trainer.profile().row(Part::transfer).calls, 4);
  trainer.predict(model, data);
  EXPECT_EQ(trainer.profile().stage, Stage::predict);
  EXPECT_EQ(trainer.profile().row(Part::forward).calls, 4);
  EXPECT_EQ(trainer.profile().row(Part::data).calls, 4);
}

/// Writes down what it is told.
class Recorder : public Profiler {
 public:
  explicit Recorder(std::vector<std::string>& problems) : problems_(problems) {}
  void begin_run(Stage) override { open_.clear(); }
  void begin(Part part) override {
    threads_.insert(std::this_thread::get_id());
    open_.push_back(part);
    ++begun_;
  }
  void end(Part part) override {
    if (open_.empty() || open_.back() != part) problems_.emplace_back(part_name(part));
    if (!open_.empty()) open_.pop_back();
  }
  void end_run(bool) override {
    if (!open_.empty()) problems_.push_back("left open");
    if (threads_.size() != 1) problems_.push_back("several threads");
    if (begun_ == 0) problems_.push_back("nothing begun");
  }

 private:
  std::vector<std::string>& problems_;
  std::vector<Part> open_;
  std::set<std::thread::id> threads_;
  int64_t begun_ = 0;
};

TEST(TrainerProfile, a_profiler_of_ones_own_sees_parts_nest_on_one_thread) {
  std::vector<std::string> problems;
  test::PointsModule data(40, {.batch_size = 4, .shuffle = true, .num_workers = 2});
  test::Classifier model;
  Trainer trainer({.accelerator = "cpu", .max_epochs = 2});
  trainer.set_profiler(std::make_unique<Recorder>(problems));
  trainer.fit(model, data);
  trainer.test(model, data);
  EXPECT_EQ(problems, std::vector<std::string>());
}

TEST(TrainerProfile, a_failed_run_closes_its_parts_and_prints_no_table) {
  class Fails : public test::Classifier {
    torch::Tensor training_step(const Batch&, Step& step) override {
      throw ModuleError::contract("training_step", "failed", std::to_string(step.batch_index()));
    }
  };
  test::PointsModule data(40, {.batch_size = 4});
  Fails model;
  std::vector<std::string> problems;
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1});
  trainer.set_profiler(std::make_unique<Recorder>(problems));
  EXPECT_THROW(trainer.fit(model, data), ModuleError);
  EXPECT_EQ(problems, std::vector<std::string>());

  trainer.set_profiler(std::make_unique<SimpleProfiler>());
  testing::internal::CaptureStderr();
  EXPECT_THROW(trainer.fit(model, data), ModuleError);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  const Profile profile = trainer.profile();
  EXPECT_EQ(profile.row(Part::forward).calls, 1);
  EXPECT_NEAR(sum_of_rows(profile), profile.seconds, 1e-9);
}

TEST(TrainerProfile, off_a_step_looks_at_no_clock) {
  const auto looks = [](int64_t steps, const char* profiler) {
    test::PointsModule data(steps * 4, {.batch_size = 4});
    test::Classifier model;
    Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .profiler = profiler});
    const FakeClock clock(1e-6);
    testing::internal::CaptureStderr();
    trainer.fit(model, data);
    testing::internal::GetCapturedStderr();
    return clock.looks;
  };
  EXPECT_EQ(looks(100, ""), looks(10, ""));
  EXPECT_GT(looks(100, "simple"), looks(10, "simple") + 90 * 10);
}

}  // namespace levin::profiler_test
