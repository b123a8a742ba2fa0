// Runs of a Trainer that goes on without late ranks (TrainerOptions::gradient_deadline).
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include <torch/torch.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/optimizers/all.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/step.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>

#include "distributed/run_ranks.h"

namespace levin::test::deadline_runs_test {

using DeadlineRuns = RanksTest;

Value deadline(const std::string& name, Value::Object settings = {}) {
  Value value = std::move(settings);
  value["name"] = name;
  return value;
}

// Row 43 of the requirements: a deadline that nobody misses changes nothing.
TEST_F(DeadlineRuns, in_which_nobody_is_late_have_the_bits_of_ddp_and_resume_with_them) {
  Value settings;
  settings["global_batch_size"] = 16;  // the last batch of an epoch has 7 rows
  settings["trainer"]["accumulate_grad_batches"] = 2;
  const auto plain = run_on(2, "plain", settings);
  settings["trainer"]["gradient_deadline"] = deadline("fold", {{"seconds", 3600.0}});
  const auto whole = run_on(2, "whole", settings);
  for (const int64_t rank : {0, 1}) {
    EXPECT_EQ(difference(whole.rank(rank).child("model"), plain.rank(0).child("model")), 0.0);
  }
  EXPECT_EQ(whole.values().at("global_step"), plain.values().at("global_step"));
  const auto& fit = whole.values().at("fit");
  EXPECT_EQ(fit.at("val_loss"), plain.values().at("fit").at("val_loss"));
  for (const char* name : {"late_steps", "late_steps_rank_0", "late_steps_rank_1"}) {
    EXPECT_EQ(fit.at(name).as_double(), 0.0) << name;
  }
  auto first = settings;
  first["trainer"]["max_steps"] = 6;  // in the second epoch
  first["save"] = (folder_ / "first.ckpt").string();
  run_on(2, "first", first);
  settings["ckpt_path"] = first.at("save");
  const auto rest = run_on(2, "rest", settings);
  EXPECT_EQ(difference(rest.rank(1).child("model"), whole.rank(0).child("model")), 0.0);
}

/// Marks that rank 0 has taken a step, for rank 1.
std::string mark(const Value& settings, int64_t step) {
  return settings.at("out").as_string() + "/taken-" + std::to_string(step);
}

/// A net whose rank 1 computes its part of steps 2 and 9 until rank 0 has taken steps 5 and 10.
class Slow : public Module {
 public:
  explicit Slow(const Value& settings)
      : settings_(settings),
        linear_(register_module("linear", torch::nn::Linear(4, 3))),
        norm_(register_module("norm", torch::nn::BatchNorm1d(4))) {}
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    const int64_t now = step.run().global_step();
    if (step.run().ranks().rank() == 1 && (now == 2 || now == 9)) {
      const auto awaited = mark(settings_, now == 2 ? 5 : 10);
      EXPECT_TRUE(eventually([&] { return fs::exists(awaited); })) << awaited;
    }
    ++computed_;
    return torch::cross_entropy_loss(linear_(norm_(batch.input())), batch.target());
  }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    if (!step.run().is_global_zero()) return;
    std::ofstream(mark(settings_, step.run().global_step() - 1)) << "taken";
  }
  void validation_step(const Batch& batch, Step& step) override {
    step.log("val_loss", torch::cross_entropy_loss(linear_(norm_(batch.input())), batch.target()));
  }
  Optimizers configure_optimizers() override { return Adam(parameters(), {.learning_rate = 1e-2}); }
  int64_t computed() const { return computed_; }

 private:
  Value settings_;
  torch::nn::Linear linear_;
  torch::nn::BatchNorm1d norm_;
  int64_t computed_ = 0;
};

class Points : public DataModule {
 public:
  DataLoaders train_dataloader() override { return loader(96, 1, true); }
  DataLoaders val_dataloader() override { return loader(16, 2, false); }

 private:
  static DataLoader loader(int64_t rows, uint64_t seed, bool shuffle) {
    const auto generator = at::detail::createCPUGenerator(seed);
    const auto target = torch::randint(3, {rows}, generator, torch::kLong);
    const auto input = torch::randn({rows, 4}, generator) + 2.0 * torch::one_hot(target, 4);
    return {std::make_shared<TensorDataset>(input, target),
            {.global_batch_size = 16, .shuffle = shuffle}};
  }
};

int train_slowly(const Value& settings) {
  seed_everything(7);
  torch::set_num_threads(1);
  TrainerOptions options{.accelerator = "cpu", .max_epochs = 3};
  options.default_root_dir = settings.at("out").as_string();
  from_value(describe(options), settings.at("trainer"), "trainer");
  Slow model(settings);
  Points data;
  Trainer trainer(options);
  const auto history = trainer.fit(model, data);
  StateDict result;
  result.add("model", model.state_dict());
  result.values["steps"] = history.epochs.back().global_step;
  result.values["computed"] = model.computed();
  result.values["val_loss"] = history.last("val_loss");
  result.values["late_at_first"] = history.epochs.at(0).metrics.at("late_steps_rank_1");
  result.values["late_then"] = history.epochs.at(1).metrics.at("late_steps_rank_1");
  const auto rank = std::string(std::getenv("RANK"));
  save_checkpoint(settings.at("out").as_string() + "/rank-" + rank + ".ckpt", result);
  return ::testing::Test::HasFailure() ? 1 : 0;
}

TEST_F(DeadlineRuns, go_on_without_a_late_rank_and_meet_it_at_the_end_of_an_epoch) {
  for (const std::string name : {"drop", "fold"}) {
    SCOPED_TRACE(name);
    Value settings;
    settings["trainer"]["gradient_deadline"] = deadline(name, {{"seconds", 0.05}});
    const auto run = run_on(2, name, settings, train_slowly);
    const auto zero = run.rank(0);
    const auto one = run.rank(1);
    // The weights, and the running means, which rank 1 has of fewer batches by itself.
    EXPECT_EQ(difference(one.child("model"), zero.child("model")), 0.0);
    for (const auto* each : {&zero, &one}) EXPECT_EQ(each->values.at("steps").as_int(), 18);
    // It is late in steps 2 to 5, 9 and 10, and computes the first ones of them.
    EXPECT_LE(one.values.at("computed").as_int(), 18 - 3 - 1);
    EXPECT_EQ(one.values.at("val_loss"), zero.values.at("val_loss"));
    for (const auto* each : {&zero, &one}) {
      EXPECT_GE(each->values.at("late_at_first").as_double(), 4.0);
      EXPECT_GE(each->values.at("late_then").as_double(), 2.0);
    }
  }
}

TEST_F(DeadlineRuns, end_with_the_name_of_a_rank_that_dies_or_fails) {
  Value settings;
  settings["global_batch_size"] = 16;
  settings["trainer"]["gradient_deadline"] = deadline("drop", {{"seconds", 0.05}});
  settings["fail_rank"] = 1;
  settings["fail_step"] = 5;
  for (const std::string how : {"kill", "throw"}) {
    settings["fail"] = how;
    const Value all = this->settings(how, settings);
    const auto run = wait_all(fork_ranks(2, all), all);
    EXPECT_NE(run.status, 0) << how;
    EXPECT_NE(run.err.find(how == "kill" ? "rank 1" : "the model broke"), std::string::npos)
        << run.err;
  }
}

}  // namespace levin::test::deadline_runs_test
