#include "framework/support.h"

#include <gtest/gtest.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/loggers/csv_logger.h>
#include <levin/framework/tensor/random.h>

namespace levin::resume_test {

using test::TemporaryFolder;

// Everything that could go wrong at once: dropout, Adam, a schedule by steps, accumulation.
class DroppingClassifier : public test::Classifier {
 public:
  DroppingClassifier() : Classifier(/*dropout=*/0.3) {}
  Optimizers configure_optimizers() override {
    return {Adam(parameters(), {.learning_rate = 1e-2}),
            StepLR({.step_size = 3, .gamma = 0.7}),
            {.interval = Interval::step}};
  }
};

// Shuffled, two workers, and a transform that draws random numbers.
DataLoaderOptions shuffled_loader() {
  return {.batch_size = 7,
          .shuffle = true,
          .num_workers = 2,  // no seed of its own: the order is that of seed_everything
          .transform = [](Batch& batch, const TransformContext& context) {
            auto noise = torch::empty({batch.rows(), 1});
            auto* values = noise.data_ptr<float>();
            for (int64_t i = 0; i < batch.rows(); ++i) {
              values[i] = static_cast<float>(context.generator(i).uniform()) * 0.1f;
            }
            batch.set("input", batch.input() + noise);
          }};
}

/// Saves at one optimizer step and stops there.
struct StopAtOptions {
  int64_t step = -1;
};
class StopAt : public Callback {
 public:
  using Options = StopAtOptions;
  explicit StopAt(StopAtOptions options) : options_(options) {}
  std::string state_key() const override { return "StopAt"; }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    if (step.global_step() != options_.step || saved_) return;
    step.run().save("checkpoints/stop.ckpt");
    step.run().stop("as planned");
    saved_ = true;
  }

 private:
  StopAtOptions options_;
  bool saved_ = false;
};

struct Outcome {
  StateDict weights;
  std::string metrics;
  int64_t steps = 0;
  std::vector<double> history;
};

TrainerOptions options_in(const std::string& root) {
  return {.accelerator = "cpu",
          .max_epochs = 3,
          .val_check_interval = 4,
          .accumulate_grad_batches = 2,
          .gradient_clip_val = 1.0,
          .log_every_n_steps = 1,
          .deterministic = true,
          .default_root_dir = root};
}

/// Trains in `root`, to the end or to optimizer step `stop_at`, from `checkpoint` if given.
Outcome train(const std::string& root, int64_t stop_at, const std::string& checkpoint) {
  seed_everything(11);
  // A resumed process starts with other weights and another generator: nothing may depend on them.
  if (!checkpoint.empty()) seed_everything(999);
  DroppingClassifier model;
  test::PointsModule data(95, shuffled_loader());  // 14 batches, the last one short
  Trainer trainer(options_in(root));
  trainer.add_logger<CsvLogger>();
  trainer.add<StopAt>({.step = stop_at});
  const History history = trainer.fit(model, data, checkpoint);
  std::vector<double> values;
  for (const char* name : {"val_loss", "train_loss", "train_loss_step", "train_loss_epoch"}) {
    const auto more = history.values(name);
    values.insert(values.end(), more.begin(), more.end());
  }
  return {model.state_dict().clone(), test::read_file(trainer.run().log_dir() / "metrics.csv"),
          trainer.run().global_step(), std::move(values)};
}

// Row 34 in part: what it takes to go on with a run.
class ResumeTest : public testing::TestWithParam<int64_t> {};

TEST_P(ResumeTest, resumes_bit_exact_from_any_step_boundary) {
  static const TemporaryFolder whole_folder;
  static const Outcome whole = train(whole_folder.string(), -1, "");
  ASSERT_EQ(whole.steps, 21);  // 3 epochs of ceil(14 / 2)

  const TemporaryFolder folder;
  train(folder.string(), GetParam(), "");
  const auto checkpoint = folder.path() / "levin_logs/version_0/checkpoints/stop.ckpt";
  ASSERT_EQ(load_checkpoint(checkpoint).values.at("global_step").as_int(), GetParam());
  const Outcome resumed = train(folder.string(), -1, checkpoint.string());

  EXPECT_EQ(resumed.steps, whole.steps);
  ASSERT_EQ(resumed.weights.tensors.size(), whole.weights.tensors.size());
  for (const auto& [name, tensor] : whole.weights.tensors) {
    EXPECT_TRUE(test::same_bits(tensor, resumed.weights.tensor(name))) << name;
  }
  EXPECT_EQ(resumed.metrics, whole.metrics);
  EXPECT_EQ(resumed.history, whole.history);
}

INSTANTIATE_TEST_SUITE_P(step, ResumeTest, testing::Values(1, 2, 3, 5, 7, 8, 10, 13, 14, 20));

TEST(Resume, training_differs_with_another_seed_so_that_equal_bits_mean_something) {
  const TemporaryFolder folder;
  seed_everything(11);
  DroppingClassifier first;
  test::PointsModule data(95, shuffled_loader());
  Trainer(options_in(folder.string())).fit(first, data);
  seed_everything(12);
  DroppingClassifier second;
  Trainer(options_in(folder.string())).fit(second, data);
  EXPECT_FALSE(test::same_bits(first.state_dict().tensor("output.weight"),
                               second.state_dict().tensor("output.weight")));
}

TEST(Resume, a_checkpoint_of_another_model_is_refused_before_anything_changes) {
  const TemporaryFolder folder;
  train(folder.string(), 3, "");
  const auto checkpoint = (folder.path() / "levin_logs/version_0/checkpoints/stop.ckpt").string();
  class Other : public DroppingClassifier {
   public:
    Other() { register_parameter("extra", torch::zeros({2})); }
  } other;
  const auto before = other.state_dict().clone();
  const std::string log = test::read_file(folder.path() / "levin_logs/version_0/metrics.csv");
  test::PointsModule data(95, shuffled_loader());
  Trainer trainer(options_in(folder.string()));
  trainer.add_logger<CsvLogger>();
  try {
    trainer.fit(other, data, checkpoint);
    FAIL() << "took a checkpoint of another model";
  } catch (const CheckpointError& error) {
    EXPECT_NE(std::string(error.what()).find("extra"), std::string::npos) << error.what();
  }
  for (const auto& [name, tensor] : before.tensors) {
    EXPECT_TRUE(test::same_bits(tensor, other.state_dict().tensor(name))) << name;
  }
  EXPECT_EQ(test::read_file(folder.path() / "levin_logs/version_0/metrics.csv"), log);
}

// What fits up to the schedulers and not beyond leaves no trace either.
TEST(Resume, a_checkpoint_that_fits_in_part_leaves_module_and_run_folder_as_they_were) {
  TemporaryFolder folder;
  test::PointsModule data(20, {.batch_size = 4});
  DroppingClassifier trained;
  Trainer trainer({.max_steps = 3, .default_root_dir = folder.string()});
  trainer.fit(trained, data);
  const auto saved = folder.path() / "levin_logs" / "version_0" / "checkpoints" / "a.ckpt";
  trainer.save_checkpoint(saved);

  test::Classifier other;  // the same parameters, no scheduler
  const StateDict before = other.state_dict().clone();
  Trainer another({.max_steps = 1, .default_root_dir = folder.string()});
  EXPECT_THROW(another.fit(other, data, saved.string()), CheckpointError);
  for (const auto& [name, tensor] : before.tensors) {
    EXPECT_TRUE(test::same_bits(tensor, other.state_dict().tensors.at(name))) << name;
  }
  EXPECT_NE(another.run().log_dir(), saved.parent_path().parent_path());
}

TEST(Resume, going_on_after_max_steps_in_mid_epoch_gives_the_same_weights) {
  const TemporaryFolder folder;
  const Outcome whole = train(folder.string(), -1, "");
  seed_everything(11);
  DroppingClassifier model;
  test::PointsModule data(95, shuffled_loader());
  auto options = options_in(folder.string());
  options.max_steps = 9;
  Trainer first(options);
  first.fit(model, data);
  first.save_checkpoint(folder.path() / "middle.ckpt");

  DroppingClassifier other;
  Trainer second(options_in(folder.string()));
  second.fit(other, data, (folder.path() / "middle.ckpt").string());
  for (const auto& [name, tensor] : whole.weights.tensors) {
    EXPECT_TRUE(test::same_bits(tensor, other.state_dict().tensor(name))) << name;
  }
}

// The end of an epoch that max_steps cut short isn't in a run that goes on: a checkpoint saved
// there is one of the boundary before it.
TEST(Resume, a_save_at_the_end_of_an_epoch_cut_short_goes_on_with_the_same_metrics) {
  class SaveAtEpochEnd : public DroppingClassifier {
    void on_train_epoch_end(levin::Run& run) override {
      run.log("epochs_seen", static_cast<double>(run.epoch()));
      run.save("checkpoints/end.ckpt");
    }
  };
  const auto train_until = [](const std::string& root, int64_t max_steps,
                              const std::string& checkpoint) {
    seed_everything(11);
    SaveAtEpochEnd model;
    test::PointsModule data(95, shuffled_loader());
    auto options = options_in(root);
    options.max_steps = max_steps;
    Trainer trainer(options);
    trainer.add_logger<CsvLogger>();
    const History history = trainer.fit(model, data, checkpoint);
    EXPECT_EQ(history.epochs.size(), max_steps == 9 ? 2U : 3U);
    return test::read_file(trainer.run().log_dir() / "metrics.csv");
  };
  const TemporaryFolder whole;
  const TemporaryFolder cut;
  const auto checkpoint = cut.path() / "levin_logs/version_0/checkpoints/end.ckpt";
  const std::string expected = train_until(whole.string(), 21, "");
  train_until(cut.string(), 9, "");
  EXPECT_EQ(load_checkpoint(checkpoint).values.at("global_step").as_int(), 9);
  EXPECT_EQ(train_until(cut.string(), 21, checkpoint.string()), expected);
}

}  // namespace levin::resume_test
