// `threads` in a run: the trial of `threads = "auto"`, its traces, and what later runs take over.
#include <levin/framework/loops/thread_choice.h>

#include "framework/support.h"

#include <gtest/gtest.h>

#include <ATen/Parallel.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/tensor/random.h>

#include "framework/message_of.h"

namespace levin::thread_choice_test {

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
}

TEST(TrainerThreads, without_a_number_small_steps_run_on_one_thread_after_the_first) {
  const test::TemporaryFolder folder;
  for (const int faster : {1, 2}) {  // no clock is read
    const TwoThreads machine(faster);
    Counting model;
    const Result result = fit(model, options_in(folder, ""));
    EXPECT_EQ(model.threads, 1);
    EXPECT_EQ(model.evaluation_threads, 1);
    EXPECT_EQ(model.training_steps, 2 * 7);
    EXPECT_EQ(result.threads_after, 2);
    EXPECT_EQ(result.state.child("loop").values.at("threads").as_int(), 1);
    EXPECT_EQ(result.printed, "");
  }
}

/// Multiplies matrices so large that threads pay.
class Large : public Counting {
 public:
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    square_.mm(square_);
    return Counting::training_step(batch, step);
  }
  void test_step(const Batch& batch, Step& step) override {
    square_.mm(square_);
    Counting::test_step(batch, step);
  }

 private:
  torch::Tensor square_ = torch::rand({500, 500});
};

TEST(TrainerThreads, without_a_number_large_steps_use_all_threads_which_sleep_while_they_wait) {
  const TwoThreads machine(1);
  const test::TemporaryFolder folder;
  Large model;
  const Result result = fit(model, options_in(folder, ""));
  EXPECT_EQ(model.threads, 2);
  EXPECT_EQ(result.state.child("loop").values.at("threads").as_int(), 2);

  ThreadScope scope;
  DefaultThreads threads(scope);
  threads.begin();
  threads.run([] { torch::rand({500, 500}).mm(torch::rand({500, 500})); });
  EXPECT_EQ(scope.setting(),
            (ThreadSetting{.threads = 2, .short_waits = ShortWaits::are_an_option()}));
}

TEST(TrainerThreads, without_a_number_a_test_by_itself_goes_by_its_first_batch) {
  const TwoThreads machine(2);
  const test::TemporaryFolder folder;
  test::PointsModule data(8, {});
  Counting small;
  Trainer(options_in(folder, "")).test(small, data);
  EXPECT_EQ(small.evaluation_threads, 1);
  Large large;
  Trainer(options_in(folder, "")).test(large, data);
  EXPECT_EQ(large.evaluation_threads, 2);
}

TEST(TrainerThreads, without_a_number_a_resumed_run_takes_the_saved_one) {
  const TwoThreads machine(2);
  const test::TemporaryFolder folder;
  auto options = options_in(folder, "");
  Large large;
  fit(large, options);
  options.max_epochs = 3;
  Counting small;
  const auto result = fit(small, options, (folder.path() / "state.ckpt").string());
  EXPECT_EQ(small.threads, 2);
  EXPECT_EQ(result.state.child("loop").values.at("threads").as_int(), 2);
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
    EXPECT_TRUE(
        test::says(result.printed, {"threads = auto: took " + std::to_string(winner) + " thread",
                                    "the times of a step were 1 thread: ", "2 threads: "}));
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
  // A number given wins over the saved one, which later checkpoints don't have.
  options.threads = 1;
  options.max_epochs = 4;
  Counting other;
  const Result given = fit(other, options, checkpoint);
  EXPECT_EQ(other.threads, 1);
  EXPECT_FALSE(given.state.child("loop").values.contains("threads"));
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

}  // namespace levin::thread_choice_test
