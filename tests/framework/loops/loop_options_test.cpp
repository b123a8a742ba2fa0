#include "framework/message_of.h"
#include "framework/support.h"

#include <gtest/gtest.h>

#include <ATen/Context.h>
#include <torch/csrc/autograd/anomaly_mode.h>

#include <levin/callbacks/gradient_accumulation_scheduler.h>
#include <levin/framework/core/error.h>

// What the Trainer's options promise: each through a Trainer, on the CPU.

namespace levin::loop_options_test {

using test::Classifier;
using test::message_of;
using test::PointsModule;
using test::says;
using test::TemporaryFolder;
using Rows = std::vector<int64_t>;

TrainerOptions on_cpu(TrainerOptions options) {
  options.accelerator = "cpu";
  return options;
}

/// Writes down the row ids that each kind of step sees.
class RowRecorder : public Classifier {
 public:
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    add(trained, batch);
    return Classifier::training_step(batch, step);
  }
  void validation_step(const Batch& batch, Step& step) override {
    add(validated, batch);
    Classifier::validation_step(batch, step);
  }
  void test_step(const Batch& batch, Step& step) override {
    add(tested, batch);
    Classifier::test_step(batch, step);
  }
  NamedTensors predict_step(const Batch& batch, Step& step) override {
    add(predicted, batch);
    return Classifier::predict_step(batch, step);
  }
  Rows trained, validated, tested, predicted;

 private:
  static void add(Rows& rows, const Batch& batch) {
    rows.insert(rows.end(), batch.row_ids().begin(), batch.row_ids().end());
  }
};

Rows first_rows(int64_t count) {
  Rows rows(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) rows[static_cast<size_t>(i)] = i;
  return rows;
}

// --- limit_*_batches -----------------------------------------------------------------------------

struct Limit {
  CountOrFraction limit;
  int64_t rows;  // of 30, in batches of 8, 8, 8, 6
};
const Limit kLimits[] = {{1, 8},    {3, 24},    {4, 30},   {9, 30}, {0.25, 8},
                         {0.5, 16}, {0.99, 24}, {1.0, 30}, {0, 0},  {0.0, 0}};

TEST(LoopLimits, limit_val_batches_counts_or_takes_a_fraction) {
  for (const auto& [limit, rows] : kLimits) {
    SCOPED_TRACE(rows);
    RowRecorder model;
    PointsModule data(12, {.batch_size = 6});
    Trainer trainer(on_cpu({.max_epochs = 1, .limit_val_batches = limit}));
    const auto metrics = trainer.validate(model, data);
    EXPECT_EQ(model.validated, first_rows(rows));
    EXPECT_EQ(metrics.contains("val_loss"), rows > 0);
    model.validated.clear();
    Trainer fitting(
        on_cpu({.max_epochs = 1, .limit_val_batches = limit, .num_sanity_val_steps = 0}));
    fitting.fit(model, data);
    EXPECT_EQ(model.validated, first_rows(rows)) << "within fit";
  }
}

TEST(LoopLimits, limit_test_batches_counts_or_takes_a_fraction) {
  for (const auto& [limit, rows] : kLimits) {
    SCOPED_TRACE(rows);
    RowRecorder model;
    PointsModule data(12, {.batch_size = 6});
    Trainer trainer(on_cpu({.limit_test_batches = limit}));
    const auto metrics = trainer.test(model, data);
    EXPECT_EQ(model.tested, first_rows(rows));
    EXPECT_EQ(metrics.contains("test_acc"), rows > 0);
  }
}

TEST(LoopLimits, num_sanity_val_steps_counts_the_batches_before_training) {
  class Checked : public RowRecorder {
   public:
    void on_train_start(levin::Run&) override { before_training = validated; }
    Rows before_training;
  };
  const auto checked = [](int64_t steps, CountOrFraction limit) {
    Checked model;
    PointsModule data(12, {.batch_size = 6});
    Trainer(on_cpu({.max_epochs = 1, .limit_val_batches = limit, .num_sanity_val_steps = steps}))
        .fit(model, data);
    return model.before_training;
  };
  for (const auto& [steps, rows] : {std::pair(0, 0), {1, 8}, {2, 16}, {9, 30}, {-1, 30}}) {
    EXPECT_EQ(checked(steps, 1.0), first_rows(rows)) << steps;
  }
  EXPECT_EQ(checked(2, 1), first_rows(8)) << "no more than limit_val_batches";
}

TEST(LoopLimits, limit_predict_batches_counts_or_takes_a_fraction) {
  for (const auto& [limit, rows] : kLimits) {
    SCOPED_TRACE(rows);
    RowRecorder model;
    PointsModule data(12, {.batch_size = 6});
    Trainer trainer(on_cpu({.limit_predict_batches = limit}));
    const NamedTensors outputs = trainer.predict(model, data);
    EXPECT_EQ(model.predicted, first_rows(rows));
    ASSERT_EQ(outputs.size(), rows > 0 ? 1U : 0U);
    EXPECT_EQ(outputs.empty() ? 0 : outputs[0].second.size(0), rows);
  }
}

TEST(LoopLimits, a_fraction_of_less_than_one_batch_is_refused_by_name) {
  RowRecorder model;
  PointsModule data(12, {.batch_size = 6});
  const CountOrFraction little = 0.2;  // of 4 batches
  Trainer val(on_cpu({.limit_val_batches = little}));
  EXPECT_TRUE(says(message_of<ConfigError>([&] { val.validate(model, data); }),
                   {"limit_val_batches = 0.2", "less than one batch"}));
  Trainer test(on_cpu({.limit_test_batches = little}));
  EXPECT_TRUE(says(message_of<ConfigError>([&] { test.test(model, data); }),
                   {"limit_test_batches = 0.2", "less than one batch"}));
  Trainer predict(on_cpu({.limit_predict_batches = little}));
  EXPECT_TRUE(says(message_of<ConfigError>([&] { predict.predict(model, data); }),
                   {"limit_predict_batches = 0.2", "less than one batch"}));
}

// --- overfit_batches -----------------------------------------------------------------------------

/// Shuffles training and validation alike.
class ShuffledPoints : public PointsModule {
 public:
  ShuffledPoints() : PointsModule(60, {.batch_size = 6, .shuffle = true, .seed = 5}) {}
  DataLoaders val_dataloader() override {
    auto loader = PointsModule::val_dataloader().front();
    auto options = loader.options();
    options.shuffle = true;
    return DataLoader(std::make_shared<TensorDataset>(val_data()), options);
  }
};

TEST(OverfitBatches, trains_and_validates_on_the_same_first_rows_every_epoch) {
  struct Case {
    CountOrFraction overfit;
    int64_t train_rows;  // of 60, in batches of 6
    int64_t val_rows;    // of 30, in batches of 8
  };
  for (const auto& one : {Case{2, 12, 16}, Case{0.5, 30, 16}}) {
    RowRecorder model;
    ShuffledPoints data;
    Trainer trainer(
        on_cpu({.max_epochs = 3, .num_sanity_val_steps = 0, .overfit_batches = one.overfit}));
    trainer.fit(model, data);
    Rows train;
    Rows val;
    for (int epoch = 0; epoch < 3; ++epoch) {
      for (const int64_t row : first_rows(one.train_rows)) train.push_back(row);
      for (const int64_t row : first_rows(one.val_rows)) val.push_back(row);
    }
    EXPECT_EQ(model.trained, train);
    EXPECT_EQ(model.validated, val);
  }
}

TEST(OverfitBatches, off_by_default_where_the_same_data_are_shuffled) {
  RowRecorder model;
  ShuffledPoints data;
  Trainer(on_cpu({.max_epochs = 1, .num_sanity_val_steps = 0})).fit(model, data);
  EXPECT_NE(model.trained, first_rows(60));
  EXPECT_NE(model.validated, first_rows(30));
  EXPECT_EQ(model.trained.size(), 60U);
}

// --- detect_anomaly ------------------------------------------------------------------------------

/// A loss whose gradient is NaN: the root of a negative number.
class Rooted : public Classifier {
 public:
  torch::Tensor training_step(const Batch& batch, Step&) override {
    anomaly_mode = torch::autograd::AnomalyMode::is_enabled();
    return (forward(batch.input()).square().sum() * -1.0).sqrt();
  }
  bool anomaly_mode = false;
};

TEST(DetectAnomaly, names_the_operation_that_made_a_nan) {
  Rooted model;
  PointsModule data(12, {.batch_size = 6});
  Trainer trainer(on_cpu({.max_epochs = 1, .num_sanity_val_steps = 0, .detect_anomaly = true}));
  const std::string message = message_of<c10::Error>([&] { trainer.fit(model, data); });
  EXPECT_TRUE(says(message, {"SqrtBackward0", "nan", "in fit at epoch 0, step 0"}));
  EXPECT_TRUE(model.anomaly_mode);
  EXPECT_FALSE(torch::autograd::AnomalyMode::is_enabled()) << "not put back";
}

TEST(DetectAnomaly, is_off_by_default) {
  Rooted model;
  PointsModule data(12, {.batch_size = 6});
  Trainer trainer(on_cpu({.max_epochs = 1, .num_sanity_val_steps = 0}));
  EXPECT_NO_THROW(trainer.fit(model, data));
  EXPECT_FALSE(model.anomaly_mode);
}

// --- inference_mode ------------------------------------------------------------------------------

/// Writes down in which mode what it computes is made.
class ModeRecorder : public Classifier {
 public:
  void validation_step(const Batch& batch, Step&) override { add(batch); }
  void test_step(const Batch& batch, Step&) override { add(batch); }
  NamedTensors predict_step(const Batch& batch, Step&) override {
    add(batch);
    return {{"logits", forward(batch.input())}};
  }
  std::vector<bool> inference;
  std::vector<bool> graphs;

 private:
  void add(const Batch& batch) {
    const auto logits = forward(batch.input());
    inference.push_back(logits.is_inference());
    graphs.push_back(logits.requires_grad());
  }
};

class InferenceMode : public testing::TestWithParam<bool> {
 protected:
  void expect_all(bool inference) {
    EXPECT_EQ(model_.inference, std::vector<bool>(4, inference));
    EXPECT_EQ(model_.graphs, std::vector<bool>(4, false));
    model_.inference.clear();
    model_.graphs.clear();
  }
  ModeRecorder model_;
  PointsModule data_{12, {.batch_size = 6}};
  Trainer trainer_{
      on_cpu({.max_epochs = 1, .num_sanity_val_steps = 0, .inference_mode = GetParam()})};
};

TEST_P(InferenceMode, is_used_by_validate_and_test_where_asked_for) {
  trainer_.validate(model_, data_);
  expect_all(GetParam());
  trainer_.test(model_, data_);
  expect_all(GetParam());
}

TEST_P(InferenceMode, is_used_by_predict_whose_outputs_are_ordinary_tensors) {
  const NamedTensors outputs = trainer_.predict(model_, data_);
  expect_all(GetParam());
  EXPECT_FALSE(outputs.at(0).second.is_inference());
}

TEST_P(InferenceMode, is_never_used_within_fit) {
  trainer_.fit(model_, data_);
  expect_all(false);
}

INSTANTIATE_TEST_SUITE_P(option, InferenceMode, testing::Bool());

// --- deterministic -------------------------------------------------------------------------------

/// LibTorch's switches as they were before a test.
class Deterministic : public testing::Test {
 protected:
  ~Deterministic() override {
    at::globalContext().setDeterministicAlgorithms(false, false);
    at::globalContext().setBenchmarkCuDNN(benchmark_before_);
  }
  class Looking : public Classifier {
   public:
    torch::Tensor training_step(const Batch& batch, Step& step) override {
      algorithms = at::globalContext().deterministicAlgorithms();
      only_warns = at::globalContext().deterministicAlgorithmsWarnOnly();
      cudnn = at::globalContext().deterministicCuDNN();
      benchmark = at::globalContext().benchmarkCuDNN();
      return Classifier::training_step(batch, step);
    }
    void on_train_end(levin::Run&) override {
      if (fails) throw DataError::empty("patience", "none left");
    }
    bool algorithms = false;
    bool only_warns = false;
    bool cudnn = false;
    bool benchmark = false;
    bool fails = false;
  };
  void fit(const SwitchOrName& deterministic, std::optional<bool> benchmark = {}) {
    Trainer(on_cpu({.max_epochs = 1, .deterministic = deterministic, .benchmark = benchmark}))
        .fit(model_, data_);
  }
  bool benchmark_before_ = at::globalContext().benchmarkCuDNN();
  Looking model_;
  PointsModule data_{12, {.batch_size = 6}};
};

TEST_F(Deterministic, is_on_within_a_run_and_off_again_after_it) {
  const bool cudnn_before = at::globalContext().deterministicCuDNN();
  fit(true);
  EXPECT_TRUE(model_.algorithms);
  EXPECT_TRUE(model_.cudnn);
  EXPECT_FALSE(at::globalContext().deterministicAlgorithms());
  EXPECT_EQ(at::globalContext().deterministicCuDNN(), cudnn_before);
  fit(false);
  EXPECT_FALSE(model_.algorithms);
}

TEST_F(Deterministic, may_warn_of_operations_that_have_no_such_algorithm) {
  fit(true);
  EXPECT_FALSE(model_.only_warns);
  fit("warn");
  EXPECT_TRUE(model_.algorithms);
  EXPECT_TRUE(model_.only_warns);
  EXPECT_FALSE(at::globalContext().deterministicAlgorithmsWarnOnly()) << "put back after the run";
}

TEST_F(Deterministic, keeps_cudnn_from_trying_algorithms_unless_it_is_told_to) {
  for (const bool outside : {false, true}) {
    at::globalContext().setBenchmarkCuDNN(outside);
    fit(false);
    EXPECT_EQ(model_.benchmark, outside);
    fit(true);
    EXPECT_FALSE(model_.benchmark);
    fit(false, !outside);
    EXPECT_EQ(model_.benchmark, !outside);
    fit(true, true);
    EXPECT_TRUE(model_.benchmark);
    EXPECT_EQ(at::globalContext().benchmarkCuDNN(), outside) << "put back after the run";
  }
}

TEST_F(Deterministic, is_put_back_after_a_failed_run) {
  model_.fails = true;
  EXPECT_THROW(fit(true), DataError);
  EXPECT_TRUE(model_.algorithms);
  EXPECT_FALSE(at::globalContext().deterministicAlgorithms());
}

TEST_F(Deterministic, what_was_set_outside_stays_set) {
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
  fit(false);
  EXPECT_TRUE(model_.algorithms) << "a Trainer without the option switches nothing off";
  EXPECT_TRUE(at::globalContext().deterministicAlgorithms());
  EXPECT_TRUE(at::globalContext().deterministicAlgorithmsWarnOnly());
}

// --- log_every_n_steps ---------------------------------------------------------------------------

/// Counts the rows it is handed.
class CountingLogger : public Logger {
 public:
  struct Options {};
  explicit CountingLogger(Options) {}
  void start(Run&) override {}
  void log_metrics(const MetricMap&, int64_t, int64_t step) override { steps.push_back(step); }
  void log_epoch_metrics(const MetricMap&, int64_t, int64_t) override { ++epochs; }
  std::string state_key() const override { return "CountingLogger"; }
  std::vector<int64_t> steps;
  int64_t epochs = 0;
};

TEST(LogEveryNSteps, says_which_steps_reach_the_loggers) {
  const std::pair<int64_t, std::vector<int64_t>> cases[] = {
      {0, {}}, {1, {0, 1, 2, 3, 4, 5, 6, 7}}, {3, {2, 5}}, {9, {}}};
  for (const auto& [every, steps] : cases) {
    SCOPED_TRACE(every);
    TemporaryFolder folder;
    Classifier model;
    PointsModule data(24, {.batch_size = 6});
    Trainer trainer(on_cpu({.max_epochs = 2,
                            .num_sanity_val_steps = 0,
                            .log_every_n_steps = every,
                            .default_root_dir = folder.string()}));
    const auto& logger = trainer.add_logger<CountingLogger>();
    trainer.fit(model, data);
    EXPECT_EQ(logger.steps, steps);
    EXPECT_EQ(logger.epochs, 4) << "the values of epochs and validations come all the same";
  }
}

// --- optimizers that can't be --------------------------------------------------------------------

TEST(OptimizerOptions, two_optimizers_are_refused_before_the_first_step) {
  class Two : public RowRecorder {
   public:
    Optimizers configure_optimizers() override {
      Optimizers both;
      for (const auto& parameter : parameters()) {
        if (both.size() < 2) {
          both.add(std::make_unique<SGD>(std::vector<torch::Tensor>{parameter}, SGDOptions{}));
        }
      }
      return both;
    }
  } model;
  PointsModule data(12, {.batch_size = 6});
  Trainer trainer(on_cpu({.max_epochs = 1}));
  EXPECT_TRUE(says(message_of<ModuleError>([&] { trainer.fit(model, data); }),
                   {"configure_optimizers", "2 optimizers"}));
  EXPECT_TRUE(model.trained.empty());
  EXPECT_TRUE(model.validated.empty());
}

class WithLbfgs : public RowRecorder {
 public:
  Optimizers configure_optimizers() override { return LBFGS(parameters(), {.max_iter = 2}); }
};

TEST(OptimizerOptions, accumulation_with_lbfgs_is_refused_before_the_first_step) {
  WithLbfgs model;
  PointsModule data(12, {.batch_size = 6});
  Trainer trainer(on_cpu({.max_epochs = 1, .accumulate_grad_batches = 2}));
  EXPECT_TRUE(says(message_of<ConfigError>([&] { trainer.fit(model, data); }),
                   {"accumulate_grad_batches = 2", "LBFGS"}));
  EXPECT_TRUE(model.trained.empty());
}

TEST(OptimizerOptions, accumulation_with_lbfgs_is_refused_where_a_hook_asks_for_it) {
  class Asking : public WithLbfgs {
   public:
    void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
      step.run().accumulate(2);
    }
  } model;
  PointsModule data(24, {.batch_size = 6});
  Trainer trainer(on_cpu({.max_epochs = 2}));
  EXPECT_TRUE(says(message_of<ConfigError>([&] { trainer.fit(model, data); }), {"LBFGS"}));
  EXPECT_EQ(trainer.run().global_step(), 1);
}

TEST(OptimizerOptions, accumulation_with_lbfgs_is_refused_where_a_schedule_asks_for_it) {
  WithLbfgs model;
  PointsModule data(12, {.batch_size = 6});
  Trainer trainer(on_cpu({.max_epochs = 3}));
  trainer.add<GradientAccumulationScheduler>({.scheduling = "1:2"});
  EXPECT_TRUE(says(message_of<ConfigError>([&] { trainer.fit(model, data); }), {"LBFGS"}));
  EXPECT_EQ(trainer.run().global_step(), 2);
}

TEST(OptimizerOptions, asking_for_single_batches_is_no_accumulation) {
  class Asking : public WithLbfgs {
   public:
    void on_train_start(levin::Run& run) override { run.accumulate(1); }
  } model;
  PointsModule data(12, {.batch_size = 6});
  Trainer trainer(on_cpu({.max_epochs = 1}));
  EXPECT_NO_THROW(trainer.fit(model, data));
  EXPECT_EQ(trainer.run().global_step(), 2);
}

// --- stages without data -------------------------------------------------------------------------

TEST(StagesWithoutData, are_refused_by_the_name_of_what_is_missing) {
  Classifier model;
  DataModule nothing;
  Trainer trainer(on_cpu({.max_epochs = 1}));
  EXPECT_TRUE(says(message_of<DataError>([&] { trainer.fit(model, nothing); }),
                   {"train_dataloader() returned no loader, but fit needs one; give the data "
                    "module training data"}));
  EXPECT_TRUE(says(message_of<DataError>([&] { trainer.validate(model, nothing); }),
                   {"val_dataloader() returned no loader, but validate needs one; give the data "
                    "module validation data"}));
  EXPECT_TRUE(says(message_of<DataError>([&] { trainer.test(model, nothing); }),
                   {"test_dataloader() returned no loader, but test needs one; give the data "
                    "module test data"}));
  EXPECT_TRUE(says(message_of<DataError>([&] { trainer.predict(model, nothing); }),
                   {"predict_dataloader() returned no loader, but predict needs one; give the data "
                    "module rows to predict for"}));
}

TEST(StagesWithoutData, fit_refuses_fewer_rows_than_a_batch_if_drop_last_leaves_none) {
  Classifier model;
  PointsModule data(12, {.batch_size = 20, .drop_last = true});
  Trainer trainer(on_cpu({.max_epochs = 1}));
  EXPECT_TRUE(says(message_of<DataError>([&] { trainer.fit(model, data); }),
                   {"the training data has too few rows for a full batch, and drop_last = true "
                    "leaves out a batch that isn't full; lower batch_size, or set drop_last = "
                    "false"}));
}

// --- the data module's state ---------------------------------------------------------------------

/// Counts the batches it sent to the device, and says so in checkpoints.
class CountingData : public PointsModule {
 public:
  CountingData() : PointsModule(24, {.batch_size = 6}, /*val_rows=*/8) {}
  DataLoaders val_dataloader() override { return {}; }
  void on_after_batch_transfer(Batch&) override { ++batches; }
  StateDict state_dict() const override {
    StateDict state;
    state.values["batches"] = batches;
    state.tensors["twice"] = torch::full({1}, 2 * batches);
    return state;
  }
  void load_state_dict(const StateDict& state) override {
    batches = state.values.at("batches").as_int();
    twice = state.tensor("twice").item<int64_t>();
  }
  int64_t batches = 0;
  int64_t twice = 0;
};

// Row 34 in part: what it takes to go on with a run.
TEST(DataModuleState, goes_into_checkpoints_and_back_when_resuming) {
  TemporaryFolder folder;
  const std::string checkpoint = (folder.path() / "middle.ckpt").string();
  {
    Classifier model;
    CountingData data;
    Trainer trainer(on_cpu({.max_steps = 3}));
    trainer.fit(model, data);
    trainer.save_checkpoint(checkpoint);
    EXPECT_EQ(data.batches, 3);
  }
  Classifier model;
  CountingData data;
  Trainer(on_cpu({.max_epochs = 2})).fit(model, data, checkpoint);
  EXPECT_EQ(data.twice, 6);
  EXPECT_EQ(data.batches, 8) << "3 before, 5 after";
}

}  // namespace levin::loop_options_test
