#include <levin/framework/threads/thread_policy.h>

#include "framework/support.h"

#include <gtest/gtest.h>

#include <ATen/Parallel.h>

#include <map>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/tensor/random.h>

#include "framework/message_of.h"

namespace levin::thread_policy_test {

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
  EXPECT_EQ(trial.summary(), "1: 1100000.0 us, 2: 7000000.0 us, 2 spinning: far slower");
  trial.timings[2].tried = false;
  EXPECT_NE(trial.summary().find("2 spinning: not tried"), std::string::npos);
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

TEST(ThreadScope, puts_back_the_number_of_threads) {
  const int before = at::get_num_threads();
  {
    ThreadScope scope;
    scope.set({.threads = before + 1, .short_waits = true});
    EXPECT_EQ(at::get_num_threads(), before + 1);
    scope.set({.threads = before + 2});
    EXPECT_EQ(at::get_num_threads(), before + 2);
  }
  EXPECT_EQ(at::get_num_threads(), before);
}

TEST(ShortWaits, come_and_go_and_change_no_results) {
  const auto x = torch::rand({300, 300});
  ThreadScope scope;
  scope.set(kTwo);
  const auto expected = x.mm(x);
  for (int i = 0; i < 20; ++i) {
    const ShortWaits waits;
    EXPECT_TRUE(test::same_bits(x.mm(x), expected));
  }
  EXPECT_TRUE(test::same_bits(x.mm(x), expected));
}

TEST(CrowdWatch, notices_that_steps_are_slow_for_a_while_and_then_looks_away) {
  CrowdWatch watch;
  EXPECT_FALSE(watch.is_watching());
  watch.start(1e-3);
  for (int i = 0; i < 10'000; ++i) EXPECT_FALSE(watch.is_crowded_after(3e-3));
  for (int i = 0; i < 5'000; ++i) EXPECT_FALSE(watch.is_crowded_after(i % 100 == 0 ? 0.1 : 1e-3));
  EXPECT_TRUE(watch.is_watching());
  bool crowded = false;
  int steps = 0;
  for (; !crowded && steps < 1000; ++steps) crowded = watch.is_crowded_after(0.05);
  EXPECT_TRUE(crowded);
  EXPECT_LE(steps, 16);
  EXPECT_FALSE(watch.is_watching());
}

TEST(TrainerThreads, a_bad_value_is_an_error_that_names_it) {
  const auto refusal = [](CountOrName threads) {
    return test::message_of<ConfigError>([&] { Trainer({.threads = threads}); });
  };
  EXPECT_TRUE(test::says(refusal(0), {"threads", "0", "at least 1"}));
  EXPECT_TRUE(test::says(refusal(-2), {"threads", "-2"}));
  EXPECT_TRUE(test::says(refusal("many"), {"threads", "many", "auto"}));
  const std::string profiler =
      test::message_of<ConfigError>([] { Trainer({.profiler = "simpel"}); });
  EXPECT_TRUE(test::says(profiler, {"profiler", "simpel", "simple"}));
}

// --- in a run ---

/// Lets LibTorch have two threads, whatever the machine, and `winner` be the faster number: a look
/// at the clock takes ten times as long with the other one.
class TwoThreads {
 public:
  explicit TwoThreads(int winner) {
    at::set_num_threads(2);
    files::inject_clock(
        [this, winner] { return now_ += at::get_num_threads() == winner ? 1e-4 : 1e-3; });
  }
  ~TwoThreads() { files::inject_clock({}); }

 private:
  ThreadScope scope_;
  double now_ = 0.0;
};

/// Counts what it is asked for; draws for dropout, and keeps statistics in a buffer.
class Counting : public test::Classifier {
 public:
  explicit Counting(std::string optimizer = "Adam")
      : Classifier(/*dropout=*/0.3), optimizer_(std::move(optimizer)) {
    register_buffer("seen", seen_);
  }
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    ++training_steps;
    threads = at::get_num_threads();
    seen_.add_(batch.rows());
    return Classifier::training_step(batch, step);
  }
  void on_train_batch_start(const Batch& batch, Step&) override {
    rows.insert(rows.end(), batch.row_ids().begin(), batch.row_ids().end());
  }
  void on_before_backward(const torch::Tensor&, Step&) override { ++hooks; }
  void validation_step(const Batch&, Step&) override { evaluation_threads = at::get_num_threads(); }
  void test_step(const Batch&, Step&) override { evaluation_threads = at::get_num_threads(); }
  Optimizers configure_optimizers() override {
    if (optimizer_.empty()) return {};
    if (optimizer_ == "SGD") {
      return {SGD(parameters(), {.learning_rate = 1e-2, .momentum = 0.9}),
              StepLR({.step_size = 1, .gamma = 0.9})};
    }
    if (optimizer_ == "torch::optim") {
      return TorchAdapter(std::make_unique<torch::optim::Adam>(parameters()));
    }
    if (optimizer_ == "LBFGS") return LBFGS(parameters(), {.learning_rate = 1e-3});
    return Adam(parameters(), {.learning_rate = 1e-2});
  }

  int64_t training_steps = 0;
  int64_t hooks = 0;
  int threads = 0;
  int evaluation_threads = 0;
  std::vector<int64_t> rows;

 private:
  std::string optimizer_;
  torch::Tensor seen_ = torch::zeros({}, torch::kLong);
};

class SavesAndStops : public Callback {
 public:
  struct Options {
    int64_t step = 8;
  };
  explicit SavesAndStops(Options options) : options_(options) {}
  std::string state_key() const override { return "SavesAndStops"; }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    if (step.global_step() != options_.step) return;
    step.run().save("checkpoints/stop.ckpt");
    step.run().stop("as planned");
  }

 private:
  Options options_;
};

struct Result {
  std::string printed;
  StateDict state;
  MetricMap metrics;
  int threads_after = 0;
};

Result fit(Counting& model, const TrainerOptions& options, const std::string& ckpt_path = {}) {
  Result result;
  test::PointsModule data(50, {.batch_size = 8, .shuffle = true, .num_workers = 1});
  Trainer trainer(options);
  testing::internal::CaptureStderr();
  trainer.fit(model, data, ckpt_path);
  result.printed = testing::internal::GetCapturedStderr();
  result.threads_after = at::get_num_threads();
  const auto path = std::filesystem::path(options.default_root_dir) / "state.ckpt";
  trainer.save_checkpoint(path);
  result.state = load_checkpoint(path);
  result.metrics = trainer.run().metrics();
  return result;
}

TrainerOptions options_in(const test::TemporaryFolder& folder, CountOrName threads) {
  return {.accelerator = "cpu",
          .max_epochs = 2,
          .threads = std::move(threads),
          .default_root_dir = folder.string()};
}

TEST(TrainerThreads, a_number_is_in_force_while_the_trainer_works) {
  const TwoThreads machine(1);
  const test::TemporaryFolder folder;
  for (const int threads : {1, 2, 3}) {
    Counting model;
    EXPECT_EQ(fit(model, options_in(folder, threads)).threads_after, 2);
    EXPECT_EQ(model.threads, threads);
    test::PointsModule data(8, {});
    Trainer(options_in(folder, threads)).test(model, data);
    EXPECT_EQ(model.evaluation_threads, threads);
    EXPECT_EQ(at::get_num_threads(), 2);
  }
  Counting model;
  fit(model, options_in(folder, ""));
  EXPECT_EQ(model.threads, 2);
}

TEST(TrainerThreads, auto_takes_the_faster_number_says_so_and_puts_back_what_was) {
  const test::TemporaryFolder folder;
  for (const int winner : {1, 2}) {
    const TwoThreads machine(winner);
    Counting model;
    const Result result = fit(model, options_in(folder, "auto"));
    EXPECT_EQ(model.threads, winner);
    EXPECT_EQ(model.evaluation_threads, winner);
    EXPECT_EQ(result.threads_after, 2);
    EXPECT_EQ(result.state.child("loop").values.at("threads").as_int(), winner);
    EXPECT_TRUE(test::says(result.printed, {"threads: " + std::to_string(winner), "1: ", "2: "}));
  }
}

// Dropout, momentum, a schedule, a buffer, shuffling from the run's seed: all of it as if the trial
// had not been.
TEST(TrainerThreads, a_trial_leaves_no_trace) {
  for (const std::string optimizer : {"Adam", "SGD", "torch::optim"}) {
    const test::TemporaryFolder folder;
    const TwoThreads machine(1);
    const auto run = [&](CountOrName threads) {
      seed_everything(7);
      Counting model(optimizer);
      Result result = fit(model, options_in(folder, std::move(threads)));
      return std::pair(std::move(result), std::move(model.rows));
    };
    auto [plain, plain_rows] = run(1);
    auto [tried, tried_rows] = run("auto");
    EXPECT_EQ(plain_rows, tried_rows);
    EXPECT_EQ(plain.metrics, tried.metrics);
    EXPECT_EQ(plain.state.tensors.size(), tried.state.tensors.size());
    for (const auto& [name, tensor] : plain.state.tensors) {
      EXPECT_TRUE(test::same_bits(tensor, tried.state.tensor(name))) << optimizer << " " << name;
    }
    tried.state.values["loop"].as_object().erase("threads");
    EXPECT_EQ(plain.state.values, tried.state.values);
  }
}

TEST(TrainerThreads, a_trial_runs_steps_but_no_hook) {
  const TwoThreads machine(1);
  const test::TemporaryFolder folder;
  Counting model;
  fit(model, options_in(folder, "auto"));
  EXPECT_EQ(model.hooks, 2 * 7);
  EXPECT_GT(model.training_steps, 2 * 7);
}

TEST(TrainerThreads, a_resumed_run_takes_the_saved_number_without_a_trial) {
  const test::TemporaryFolder folder;
  const auto checkpoint = (folder.path() / "state.ckpt").string();
  {
    const TwoThreads machine(2);
    Counting model;
    fit(model, options_in(folder, "auto"));
    EXPECT_EQ(model.threads, 2);
  }
  const TwoThreads machine(1);
  auto options = options_in(folder, "auto");
  options.max_epochs = 3;
  Counting model;
  const Result result = fit(model, options, checkpoint);
  EXPECT_EQ(model.training_steps, 7);
  EXPECT_EQ(model.threads, 2);
  EXPECT_EQ(result.printed, "");
  EXPECT_EQ(result.state.child("loop").values.at("threads").as_int(), 2);
  // A number given wins over the saved one.
  options.threads = 1;
  options.max_epochs = 4;
  Counting other;
  fit(other, options, checkpoint);
  EXPECT_EQ(other.threads, 1);
}

TEST(TrainerThreads, nothing_is_tried_where_it_must_not_or_cannot_be) {
  const TwoThreads machine(1);
  const test::TemporaryFolder folder;
  auto options = options_in(folder, "auto");
  options.max_epochs = 1;
  Counting without_optimizer("");
  fit(without_optimizer, options);
  EXPECT_EQ(without_optimizer.training_steps, 7);
  Counting lbfgs("LBFGS");
  EXPECT_EQ(fit(lbfgs, options).printed, "");
  options.deterministic = true;
  Counting deterministic;
  fit(deterministic, options);
  EXPECT_EQ(deterministic.training_steps, 7);
  EXPECT_EQ(deterministic.threads, 2);  // LibTorch's own
}

TEST(TrainerThreads, later_stages_use_what_fit_found) {
  const TwoThreads machine(1);
  test::PointsModule data(50, {.batch_size = 8});
  Counting model;
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .threads = "auto"});
  trainer.test(model, data);
  EXPECT_EQ(model.evaluation_threads, 2);
  testing::internal::CaptureStderr();
  trainer.fit(model, data);
  testing::internal::GetCapturedStderr();
  trainer.test(model, data);
  EXPECT_EQ(model.evaluation_threads, 1);
  EXPECT_EQ(at::get_num_threads(), 2);
}

TEST(TrainerThreads, an_error_in_a_trial_leaves_weights_and_generators_as_they_were) {
  class Fails : public Counting {
    torch::Tensor training_step(const Batch& batch, Step& step) override {
      if (training_steps == 5) throw ModuleError::contract("training_step", "failed", "no more");
      return Counting::training_step(batch, step);
    }
  };
  const TwoThreads machine(1);
  seed_everything(3);
  Fails model;
  const StateDict before = static_cast<const Module&>(model).state_dict().clone();
  test::PointsModule data(50, {.batch_size = 8});
  Trainer trainer(
      {.accelerator = "cpu", .max_epochs = 1, .num_sanity_val_steps = 0, .threads = "auto"});
  const StateDict random = random_state().clone();
  EXPECT_THROW(trainer.fit(model, data), ModuleError);
  for (const auto& [name, tensor] : before.tensors) {
    EXPECT_TRUE(test::same_bits(model.state_dict().tensor(name), tensor)) << name;
  }
  EXPECT_TRUE(test::same_bits(random_state().tensor("cpu"), random.tensor("cpu")));
  EXPECT_EQ(at::get_num_threads(), 2);
}

}  // namespace levin::thread_policy_test
