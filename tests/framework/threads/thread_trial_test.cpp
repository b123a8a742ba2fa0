#include <levin/framework/threads/thread_trial.h>

#include <gtest/gtest.h>

#include <map>

#include <levin/framework/core/error.h>

namespace levin::thread_trial_test {

constexpr ThreadSetting kOne{.threads = 1};
constexpr ThreadSetting kTwo{.threads = 2};
constexpr ThreadSetting kTwoShort{.threads = 2, .short_waits = true};
constexpr double kMargin = 0.05;

/// A machine whose steps take as long as the test says for 1 thread, 2 and so on.
class Machine {
 public:
  explicit Machine(std::map<int, double> step_seconds) : step_seconds_(std::move(step_seconds)) {}

  ThreadTrialOptions options() {
    ThreadTrialOptions options;
    options.clock = [this] { return now += 1e-9; };
    options.set = [this](ThreadSetting setting) { threads = setting.threads; };
    return options;
  }
  ThreadTrial trial(std::vector<int> candidates) { return trial(std::move(candidates), options()); }
  ThreadTrial trial(std::vector<int> candidates, const ThreadTrialOptions& options) {
    std::vector<ThreadSetting> settings;
    for (const int one : candidates) settings.push_back({.threads = one});
    const auto step = [this] {
      now += step_seconds_.at(threads);
      ++steps[threads];
    };
    return time_threads(settings, step, options);
  }
  int best(std::vector<int> candidates) {
    return trial(std::move(candidates)).best(kMargin).setting.threads;
  }

  double now = 5.0;
  int threads = 0;
  std::map<int, int64_t> steps;

 private:
  std::map<int, double> step_seconds_;
};

TEST(ThreadCandidates, are_one_the_powers_of_two_and_all) {
  const auto counts = [](int most) {
    std::vector<int> result;
    for (const auto& setting : thread_candidates(most, /*short_waits=*/false)) {
      EXPECT_FALSE(setting.short_waits);
      result.push_back(setting.threads);
    }
    return result;
  };
  EXPECT_EQ(counts(1), std::vector<int>({1}));
  EXPECT_EQ(counts(2), std::vector<int>({1, 2}));
  EXPECT_EQ(counts(3), std::vector<int>({1, 2, 3}));
  EXPECT_EQ(counts(6), std::vector<int>({1, 2, 4, 6}));
  EXPECT_EQ(counts(8), std::vector<int>({1, 2, 4, 8}));
  EXPECT_EQ(thread_candidates(2, /*short_waits=*/true),
            std::vector<ThreadSetting>({kOne, kTwoShort, kTwo}));
}

TEST(ThreadTrial, takes_the_fastest_but_fewer_threads_where_more_win_little) {
  EXPECT_EQ(Machine({{1, 1e-4}, {2, 6e-5}}).best({1, 2}), 2);
  EXPECT_EQ(Machine({{1, 1e-4}, {2, 2e-4}}).best({1, 2}), 1);
  EXPECT_EQ(Machine({{1, 1e-4}, {2, 9.6e-5}}).best({1, 2}), 1);
  EXPECT_EQ(Machine({{1, 1e-4}, {2, 9.4e-5}}).best({1, 2}), 2);
  EXPECT_EQ(Machine({{1, 4e-3}, {2, 2e-3}, {4, 1.2e-3}, {6, 1.3e-3}}).best({1, 2, 4, 6}), 4);
}

TEST(ThreadTrial, decides_by_medians_of_rounds) {
  ThreadTrial trial;
  trial.timings = {{.setting = kOne, .seconds_a_step = {1.0, 1.1, 9.0}},
                   {.setting = kTwoShort, .seconds_a_step = {0.9, 7.0, 8.0}},
                   {.setting = kTwo, .seconds_a_step = {}, .tried = true}};
  EXPECT_EQ(trial.timings[0].median(), 1.1);
  EXPECT_EQ(trial.best(kMargin).setting, kOne);
  EXPECT_EQ(trial.summary(),
            "1 thread: 1100000.0 us, 2 threads: 7000000.0 us, 2 threads that spin while they wait: "
            "more than 4 times as long as the fastest");
  trial.timings[2].tried = false;
  EXPECT_NE(trial.summary().find("2 threads that spin while they wait: not tried because other "
                                 "programs use the cores"),
            std::string::npos);
}

// A machine busy for a while slows whoever is being timed: taking turns shares that out.
TEST(ThreadTrial, is_not_misled_by_a_machine_that_is_busy_for_a_while) {
  for (const int slower : {1, 2}) {
    double now = 0.0;
    int threads = 0;
    ThreadTrialOptions options;
    options.clock = [&] { return now += 1e-9; };
    options.set = [&](ThreadSetting setting) { threads = setting.threads; };
    const auto step = [&] {
      const bool busy = now > 0.02 && now < 0.1;
      now += (threads == slower ? 2e-4 : 1e-4) * (busy ? 5.0 : 1.0);
    };
    const ThreadTrial trial = time_threads({kOne, kTwo}, step, options);
    EXPECT_EQ(trial.best(kMargin).setting.threads, slower == 1 ? 2 : 1);
  }
}

TEST(ThreadTrial, takes_no_longer_than_it_may) {
  for (const double second : {0.9e-4, 1e-4, 3e-4}) {  // clear, close, and clear the other way
    Machine machine({{1, 1e-4}, {2, second}});
    const double before = machine.now;
    machine.trial({1, 2});
    EXPECT_LT(machine.now - before, 0.31);
    EXPECT_GE(machine.steps[1], 5);
    EXPECT_GE(machine.steps[2], 5);
  }
  // A run of a hundred steps of 0.1 ms isn't worth more than the least that says something.
  Machine machine({{1, 1e-4}, {2, 0.98e-4}});
  auto options = machine.options();
  options.steps = 100;
  const double before = machine.now;
  machine.trial({1, 2}, options);
  EXPECT_LT(machine.now - before, 0.025);
}

TEST(ThreadTrial, tries_slow_steps_a_few_times_only) {
  Machine machine({{1, 6.0}, {2, 4.2}, {4, 2.0}, {8, 1.96}});
  EXPECT_EQ(machine.best({1, 2, 4, 8}), 4);
  EXPECT_EQ(machine.steps, (std::map<int, int64_t>{{1, 3}, {2, 3}, {4, 3}, {8, 3}}));
}

TEST(ThreadTrial, gives_a_hopeless_candidate_no_more_than_a_step_of_its_share) {
  Machine machine({{1, 1e-4}, {2, 0.2}});
  const ThreadTrial trial = machine.trial({1, 2});
  EXPECT_EQ(trial.best(kMargin).setting, kOne);
  EXPECT_NEAR(trial.best(kMargin).median(), 1e-4, 1e-8);
  EXPECT_EQ(machine.steps[2], 1);
  Machine other({{1, 0.2}, {2, 1e-3}});
  EXPECT_EQ(other.best({1, 2}), 2);
  EXPECT_LE(other.steps[1], 2);
}

// Threads that keep their cores while they wait are tried on a machine of one's own only.
TEST(ThreadTrial, does_not_spin_where_others_want_the_cores) {
  for (const bool crowded : {false, true}) {
    double now = 0.0;
    ThreadSetting setting;
    int spinning_steps = 0;
    ThreadTrialOptions options;
    options.clock = [&] { return now += 1e-9; };
    options.set = [&](ThreadSetting one) { setting = one; };
    options.lost_cores = [&] { return static_cast<int64_t>(now / (crowded ? 0.004 : 0.5)); };
    const auto step = [&] {
      now += setting.threads == 1 ? 1e-4 : setting.short_waits ? 9e-5 : 5e-5;
      if (setting == kTwo) ++spinning_steps;
    };
    const ThreadTrial trial = time_threads({kOne, kTwoShort, kTwo}, step, options);
    EXPECT_EQ(trial.best(kMargin).setting, crowded ? kTwoShort : kTwo);
    EXPECT_EQ(spinning_steps > 0, !crowded);
  }
}

// One step that lost its core says nothing.
TEST(ThreadTrial, does_not_give_up_a_candidate_for_one_slow_step) {
  double now = 0.0;
  ThreadSetting setting;
  int steps_of_two = 0;
  ThreadTrialOptions options;
  options.clock = [&] { return now += 1e-9; };
  options.set = [&](ThreadSetting one) { setting = one; };
  const auto step = [&] {
    if (setting.threads == 1) now += 1e-4;
    if (setting.threads == 2) now += ++steps_of_two == 1 ? 0.01 : 5e-5;
  };
  EXPECT_EQ(time_threads({kOne, kTwo}, step, options).best(kMargin).setting, kTwo);
}

TEST(ThreadTrial, passes_errors_of_the_step_through) {
  EXPECT_THROW(time_threads({kOne, kTwo}, [] { throw DataError::empty("x", "y"); },
                            {.set = [](ThreadSetting) {}}),
               DataError);
}

}  // namespace levin::thread_trial_test
