#include "framework/support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/loggers/csv_logger.h>
#include <levin/framework/tensor/random.h>

namespace levin::fit_loop_test {

using test::Classifier;
using test::PointsModule;

constexpr int64_t kBatches = 10;

DataLoaderOptions ten_batches() { return {.batch_size = 6}; }  // 60 rows

/// Writes down every hook in order; counts batches.
class Recorder : public Callback {
 public:
  struct Options {};
  explicit Recorder(Options) {}
  std::string state_key() const override { return "Recorder"; }
  void setup(Stage, Run&) override { add("setup"); }
  void teardown(Stage, Run&) override { add("teardown"); }
  void on_fit_start(Run&) override { add("fit_start"); }
  void on_fit_end(Run&) override { add("fit_end"); }
  void on_sanity_check_start(Run&) override { add("sanity_start"); }
  void on_sanity_check_end(Run&) override { add("sanity_end"); }
  void on_train_start(Run&) override { add("train_start"); }
  void on_train_end(Run&) override { add("train_end"); }
  void on_train_epoch_start(Run&) override { add("epoch_start"); }
  void on_train_epoch_end(Run&) override { add("epoch_end"); }
  void on_train_batch_start(const Batch&, Step&) override { add("batch_start"); }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step&) override { add("batch_end"); }
  void on_before_zero_grad(Optimizer&, Step&) override { add("zero_grad"); }
  void on_before_backward(const torch::Tensor&, Step&) override { add("backward"); }
  void on_after_backward(Step&) override { add("after_backward"); }
  void on_before_optimizer_step(Optimizer&, Step&) override { add("optimizer_step"); }
  void on_validation_start(Run&) override { add("val_start"); }
  void on_validation_end(Run&) override { add("val_end"); }
  void on_validation_epoch_start(Run&) override { add("val_epoch_start"); }
  void on_validation_epoch_end(Run&) override { add("val_epoch_end"); }
  void on_validation_batch_start(const Batch&, Step&) override { add("val_batch_start"); }
  void on_validation_batch_end(const Batch&, Step&) override { add("val_batch_end"); }
  void on_exception(const std::exception&, Run&) override { add("exception"); }

  int64_t count(const std::string& hook) const {
    return std::count(calls.begin(), calls.end(), hook);
  }
  std::vector<std::string> calls;

 private:
  void add(const char* hook) { calls.emplace_back(hook); }
};

TrainerOptions on_cpu(TrainerOptions options) {
  options.accelerator = "cpu";
  return options;
}

TEST(FitLoop, calls_hooks_in_lightnings_order) {
  Classifier model;
  PointsModule data(12, {.batch_size = 6}, /*val_rows=*/8);
  Trainer trainer(on_cpu({.max_epochs = 1, .num_sanity_val_steps = 1}));
  auto& recorder = trainer.add<Recorder>();
  trainer.fit(model, data);
  const std::vector<std::string> val{"val_start",     "val_epoch_start", "val_batch_start",
                                     "val_batch_end", "val_epoch_end",   "val_end"};
  const std::vector<std::string> batch{"batch_start",    "zero_grad",      "backward",
                                       "after_backward", "optimizer_step", "batch_end"};
  std::vector<std::string> expected{"setup", "fit_start", "sanity_start"};
  const auto append = [&](const std::vector<std::string>& more) {
    expected.insert(expected.end(), more.begin(), more.end());
  };
  append(val);
  append({"sanity_end", "train_start", "epoch_start"});
  append(batch);
  append(batch);
  append(val);
  append({"epoch_end", "train_end", "fit_end", "teardown"});
  EXPECT_EQ(recorder.calls, expected);
}

TEST(FitLoop, a_hook_that_a_callback_does_not_use_is_not_called_in_steps) {
  class Unused : public Recorder {
   public:
    Unused() : Recorder(Options{}) {}
    HookSet used_hooks(HookSet) const override {
      return HookSet().add(BatchHook::after_backward, true);
    }
  };
  Classifier model;
  PointsModule data(12, {.batch_size = 6}, /*val_rows=*/8);
  Trainer trainer(on_cpu({.max_epochs = 1, .num_sanity_val_steps = 0}));
  const auto& recorder = trainer.add<Unused>();
  trainer.fit(model, data);
  EXPECT_EQ(recorder.calls,
            (std::vector<std::string>{"setup", "fit_start", "train_start", "epoch_start",
                                      "after_backward", "after_backward", "val_start",
                                      "val_epoch_start", "val_epoch_end", "val_end", "epoch_end",
                                      "train_end", "fit_end", "teardown"}));
}

TEST(FitLoop, stops_at_each_limit) {
  struct Case {
    const char* name;
    TrainerOptions options;
    int64_t steps;
    std::string reason;
  };
  const Case cases[] = {
      {"max_epochs", {.max_epochs = 3}, 30, "max_epochs"},
      {"max_steps", {.max_epochs = 3, .max_steps = 14}, 14, "max_steps"},
      {"max_steps alone", {.max_steps = 14}, 14, "max_steps"},
      {"no training", {.max_epochs = 0}, 0, "max_epochs"},
      {"count of batches", {.max_epochs = 2, .limit_train_batches = 3}, 6, "max_epochs"},
      {"fraction of batches", {.max_epochs = 2, .limit_train_batches = 0.5}, 10, "max_epochs"},
      {"no batches", {.max_epochs = 2, .limit_train_batches = 0}, 0, "limit_train_batches"},
      {"overfit", {.max_epochs = 2, .overfit_batches = 2}, 4, "max_epochs"},
      {"fast_dev_run", {.max_epochs = 9, .fast_dev_run = true}, 1, "max_steps"},
      {"accumulation", {.max_epochs = 1, .accumulate_grad_batches = 4}, 3, "max_epochs"},
  };
  for (const auto& one : cases) {
    SCOPED_TRACE(one.name);
    Classifier model;
    PointsModule data(60, ten_batches());
    Trainer trainer(on_cpu(one.options));
    const History history = trainer.fit(model, data);
    EXPECT_EQ(trainer.run().global_step(), one.steps);
    EXPECT_EQ(history.stop_reason, one.reason);
  }
}

TEST(FitLoop, max_time_ends_training) {
  Classifier model;
  PointsModule data(60, ten_batches());
  Trainer trainer(on_cpu({.max_epochs = -1, .max_time = "00:00:00:01"}));
  const History history = trainer.fit(model, data);
  EXPECT_EQ(history.stop_reason, "max_time");
  EXPECT_GT(trainer.run().global_step(), 0);
}

TEST(FitLoop, validates_when_due) {
  struct Case {
    const char* name;
    TrainerOptions options;
    int64_t validations;
  };
  const Case cases[] = {
      {"once an epoch", {.max_epochs = 3}, 3},
      {"every other epoch", {.max_epochs = 5, .check_val_every_n_epoch = 2}, 2},
      {"twice an epoch", {.max_epochs = 2, .val_check_interval = 0.5}, 4},
      {"every four batches", {.max_epochs = 2, .val_check_interval = 4}, 4},
      {"batches across epochs",
       {.max_epochs = 3, .val_check_interval = 12, .check_val_every_n_epoch = {}},
       2},
      {"off", {.max_epochs = 3, .limit_val_batches = 0}, 0},
  };
  for (const auto& one : cases) {
    SCOPED_TRACE(one.name);
    Classifier model;
    PointsModule data(60, ten_batches());
    auto options = on_cpu(one.options);
    options.num_sanity_val_steps = 0;
    Trainer trainer(options);
    const auto& recorder = trainer.add<Recorder>();
    trainer.fit(model, data);
    EXPECT_EQ(recorder.count("val_start"), one.validations);
  }
}

TEST(FitLoop, the_sanity_check_leaves_no_trace) {
  const auto train = [](int64_t sanity_steps) {
    seed_everything(3);
    Classifier model(/*dropout=*/0.5);
    PointsModule data(60, ten_batches());
    Trainer trainer(on_cpu({.max_epochs = 1, .num_sanity_val_steps = sanity_steps}));
    const History history = trainer.fit(model, data);
    return std::pair(model.state_dict().clone(), history.values("val_loss"));
  };
  const auto with = train(-1);
  const auto without = train(0);
  EXPECT_TRUE(
      test::same_bits(with.first.tensor("hidden.weight"), without.first.tensor("hidden.weight")));
  EXPECT_EQ(with.second, without.second);
}

TEST(FitLoop, validation_keeps_each_submodules_mode) {
  class Frozen : public Classifier {
   public:
    Frozen() : frozen_(register_module("frozen", torch::nn::Dropout(0.5))) { frozen_->eval(); }
    void on_train_batch_start(const Batch&, Step&) override {
      modes.emplace_back(is_training(), frozen_->is_training());
    }
    void on_train_start(levin::Run&) override { frozen_->eval(); }
    void on_validation_batch_start(const Batch&, Step&) override { ASSERT_FALSE(is_training()); }
    std::vector<std::pair<bool, bool>> modes;

   private:
    torch::nn::Dropout frozen_;
  } model;
  PointsModule data(60, ten_batches());
  Trainer trainer(on_cpu({.max_epochs = 2, .val_check_interval = 2}));
  trainer.fit(model, data);
  for (const auto& [whole, frozen] : model.modes) {
    EXPECT_TRUE(whole);
    EXPECT_FALSE(frozen);
  }
}

// The full-batch gradient of all rows at the start weights, through autograd alone.
std::map<std::string, torch::Tensor> gradients(Classifier& model, const torch::Tensor& input,
                                               const torch::Tensor& target) {
  model.torch::nn::Module::zero_grad();
  torch::cross_entropy_loss(model.forward(input), target).backward();
  std::map<std::string, torch::Tensor> result;
  for (auto& item : model.named_parameters()) result[item.key()] = item.value().grad().clone();
  return result;
}

/// Keeps the gradients of each window; its weights stay what they are, so that windows can be
/// compared. Leaves out one batch, if it is told to.
class WindowGradients : public Classifier {
 public:
  explicit WindowGradients(int64_t skipped = -1) : skipped_(skipped) { to(torch::kDouble); }
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    return step.batch_index() == skipped_ ? torch::Tensor()
                                          : Classifier::training_step(batch, step);
  }
  void on_before_optimizer_step(Optimizer&, Step&) override {
    std::map<std::string, torch::Tensor> window;
    for (auto& item : named_parameters()) window[item.key()] = item.value().grad().clone();
    windows.push_back(std::move(window));
  }
  Optimizers configure_optimizers() override { return SGD(parameters(), {.learning_rate = 0.0}); }
  std::vector<std::map<std::string, torch::Tensor>> windows;

 private:
  int64_t skipped_;
};

/// Trains on 43 rows in windows of 4 batches of 8 rows: the last window has 2 batches, the last of
/// them 3 rows. Expects the gradients of the mean over the rows of each window.
void expect_gradients(WindowGradients& model, const std::vector<std::vector<int64_t>>& rows) {
  const auto points = test::make_points(43);
  const auto input = points.input.to(torch::kDouble);
  const auto data = std::make_shared<TensorDataset>(input, points.target);
  Trainer trainer(on_cpu({.max_epochs = 1, .accumulate_grad_batches = 4}));
  trainer.fit(model, DataLoader(data, {.batch_size = 8}));
  ASSERT_EQ(model.windows.size(), rows.size());
  for (size_t w = 0; w < rows.size(); ++w) {
    const auto index = torch::tensor(rows[w]);
    const auto expected = gradients(model, input.index({index}), points.target.index({index}));
    for (const auto& [name, gradient] : expected) {
      const double difference = (gradient - model.windows[w].at(name)).abs().max().item<double>();
      EXPECT_LT(difference, 1e-15) << name << " of window " << w;
    }
  }
}

std::vector<int64_t> range(int64_t first, int64_t end) {
  std::vector<int64_t> rows;
  for (int64_t row = first; row < end; ++row) rows.push_back(row);
  return rows;
}

TEST(FitLoop, accumulated_gradients_equal_those_of_all_rows_of_the_window) {
  WindowGradients model;
  expect_gradients(model, {range(0, 32), range(32, 43)});
}

TEST(FitLoop, a_window_with_a_skipped_batch_has_the_gradient_of_its_other_rows) {
  auto others = range(0, 8);
  for (const int64_t row : range(16, 32)) others.push_back(row);
  WindowGradients model(/*skipped=*/1);
  expect_gradients(model, {others, range(32, 43)});
  WindowGradients last(/*skipped=*/5);
  expect_gradients(last, {range(0, 32), range(32, 40)});
}

TEST(FitLoop, what_is_logged_covers_the_accumulation_window) {
  class Capture : public Classifier {
   public:
    torch::Tensor training_step(const Batch& batch, Step& step) override {
      step.log("row", batch.input().index({torch::indexing::Slice(), 0}).mean());
      return Classifier::training_step(batch, step);
    }
    void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
      if (step.global_step() > static_cast<int64_t>(logged.size())) {
        logged.push_back(step.run().metrics().at("row"));
      }
    }
    std::vector<double> logged;
  } model;
  class Rows : public Logger {
   public:
    void start(levin::Run&) override {}
    void log_metrics(const MetricMap& metrics, int64_t, int64_t) override {
      values.push_back(metrics.at("row"));
    }
    void log_epoch_metrics(const MetricMap&, int64_t, int64_t) override {}
    std::string state_key() const override { return "Rows"; }
    std::vector<double> values;
  };
  PointsModule data(43, {.batch_size = 8});
  Trainer trainer(on_cpu({.max_epochs = 1, .accumulate_grad_batches = 4, .log_every_n_steps = 1}));
  const auto& rows = trainer.add_logger<Rows>();
  trainer.fit(model, data);
  const auto column = data.train_data().tensors()[0].second.index({torch::indexing::Slice(), 0});
  ASSERT_EQ(model.logged.size(), 2u);
  EXPECT_NEAR(model.logged[0], column.narrow(0, 0, 32).mean().item<double>(), 1e-6);
  EXPECT_NEAR(model.logged[1], column.narrow(0, 32, 11).mean().item<double>(), 1e-6);
  EXPECT_EQ(rows.values, model.logged) << "the loggers get the same";
}

TEST(FitLoop, what_hooks_around_the_step_log_belongs_to_the_step) {
  class Around : public Classifier {
   public:
    void on_train_batch_start(const Batch&, Step& step) override {
      step.log("before", static_cast<double>(step.batch_index()));
    }
    void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
      step.log("after", static_cast<double>(step.batch_index()));
      const auto& metrics = step.run().metrics();
      EXPECT_EQ(metrics.at("before"), static_cast<double>(step.batch_index()));
      EXPECT_EQ(metrics.at("after"), static_cast<double>(step.batch_index()));
      ++checked;
    }
    int64_t checked = 0;
  } model;
  PointsModule data(60, ten_batches());
  Trainer trainer(on_cpu({.max_epochs = 1}));
  trainer.fit(model, data);
  EXPECT_EQ(model.checked, kBatches);
}

TEST(FitLoop, epoch_means_weigh_rows_equally) {
  Classifier model;
  PointsModule data(60, ten_batches(), /*val_rows=*/29);  // batches of 8, 8, 8, 5
  Trainer trainer(on_cpu({}));
  const MetricMap metrics = trainer.validate(model, data);
  const auto& tensors = data.val_data().tensors();
  const torch::NoGradGuard no_grad;
  const double all =
      torch::cross_entropy_loss(model.forward(tensors[0].second), tensors[1].second).item<double>();
  EXPECT_NEAR(metrics.at("val_loss"), all, 1e-6);
}

// Adam would move the weights in any step, and its average of the gradients and the loss of the
// epoch would be others.
TEST(FitLoop, a_skipped_batch_changes_nothing_and_is_no_step) {
  class Skipping : public Classifier {
   public:
    torch::Tensor training_step(const Batch& batch, Step& step) override {
      if (step.batch_index() % 2 == 1) return {};
      return Classifier::training_step(batch, step);
    }
    void on_before_optimizer_step(Optimizer&, Step&) override { ++steps; }
    int64_t steps = 0;
  };
  const auto [input, target] = test::make_points(60);
  const auto fit = [](Classifier& model, const torch::Tensor& x, const torch::Tensor& y) {
    const auto rows = std::make_shared<TensorDataset>(x, y);
    Trainer trainer(on_cpu({.max_epochs = 2}));
    const History history = trainer.fit(model, DataLoader(rows, ten_batches()));
    return std::pair(trainer.run().global_step(), history.values("train_loss"));
  };
  const auto every_second = [](const torch::Tensor& rows) {
    return rows.view({kBatches / 2, 2, 6, -1}).select(1, 0).reshape({kBatches * 3, -1});
  };
  seed_everything(3);
  Skipping skipping;
  const auto skipped = fit(skipping, input, target);
  seed_everything(3);
  Classifier model;
  const auto expected = fit(model, every_second(input), every_second(target).flatten());
  EXPECT_EQ(skipped, expected);
  EXPECT_EQ(skipped.first, kBatches);
  EXPECT_EQ(skipping.steps, kBatches);
  for (const auto& [name, tensor] : model.state_dict().tensors) {
    EXPECT_TRUE(test::same_bits(tensor, skipping.state_dict().tensor(name))) << name;
  }
}

TEST(FitLoop, on_train_batch_start_may_leave_out_the_rest_of_the_epoch) {
  class Leaving : public Classifier {
   public:
    void on_train_batch_start(const Batch&, Step& step) override {
      if (step.batch_index() == 4) step.skip_epoch();
    }
  } model;
  PointsModule data(60, ten_batches());
  Trainer trainer(on_cpu({.max_epochs = 3}));
  const History history = trainer.fit(model, data);
  EXPECT_EQ(trainer.run().global_step(), 12);
  EXPECT_EQ(history.epochs.size(), 3u);
}

TEST(FitLoop, a_stop_request_waits_for_the_minima) {
  class Impatient : public Classifier {
   public:
    void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
      step.run().stop("enough");
    }
  };
  struct Case {
    TrainerOptions options;
    int64_t steps;
  };
  const Case cases[] = {{{.max_epochs = 5}, 1},
                        {{.max_epochs = 5, .min_epochs = 2}, 20},
                        {{.max_epochs = 5, .min_steps = 13}, 13}};
  for (const auto& one : cases) {
    Impatient model;
    PointsModule data(60, ten_batches());
    Trainer trainer(on_cpu(one.options));
    const History history = trainer.fit(model, data);
    EXPECT_EQ(trainer.run().global_step(), one.steps);
    EXPECT_EQ(history.stop_reason, "enough");
  }
}

TEST(FitLoop, accumulate_and_weights_requests_act_at_the_next_boundary) {
  class Asking : public Classifier {
   public:
    void on_train_start(levin::Run& run) override { run.accumulate(5); }
    void on_train_epoch_end(levin::Run& run) override {
      StateDict zeros = state_dict().clone();
      for (auto& [name, tensor] : zeros.tensors) tensor.zero_();
      run.load_weights(std::move(zeros));
    }
  } model;
  PointsModule data(60, ten_batches());
  Trainer trainer(on_cpu({.max_epochs = 1}));
  trainer.fit(model, data);
  EXPECT_EQ(model.state_dict().tensor("hidden.weight").abs().sum().item<double>(), 0.0);
  EXPECT_EQ(trainer.run().global_step(), 2);  // windows of 5 from the first batch on
}

TEST(FitLoop, an_exception_reaches_callbacks_and_the_caller) {
  class Failing : public Classifier {
   public:
    torch::Tensor training_step(const Batch&, Step&) override {
      return torch::ones({2}).matmul(torch::ones({3}));  // LibTorch's own error
    }
  } model;
  PointsModule data(60, ten_batches());
  Trainer trainer(on_cpu({.max_epochs = 1}));
  const auto& recorder = trainer.add<Recorder>();
  try {
    trainer.fit(model, data);
    FAIL();
  } catch (const c10::Error& error) {
    const std::string what = error.what();  // one line, without LibTorch's C++ stack
    EXPECT_TRUE(what.ends_with(" (in fit at epoch 0, step 0, batch 0, rank 0)")) << what;
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
  }
  EXPECT_EQ(recorder.calls.back(), "exception");
}

TEST(FitLoop, breaking_the_contract_of_training_step_is_a_module_error) {
  class Vector : public Classifier {
   public:
    torch::Tensor training_step(const Batch& batch, Step&) override {
      return forward(batch.input()).sum(1);
    }
  } vector;
  class Detached : public Classifier {
   public:
    torch::Tensor training_step(const Batch&, Step&) override { return torch::ones({}); }
  } detached;
  class Missing : public Module {
  } missing;
  PointsModule data(60, ten_batches());
  for (Module* model : std::initializer_list<Module*>{&vector, &detached, &missing}) {
    Trainer trainer(on_cpu({.max_epochs = 1, .num_sanity_val_steps = 0}));
    EXPECT_THROW(trainer.fit(*model, data), ModuleError);
  }
}

TEST(FitLoop, logging_outside_an_epoch_is_refused) {
  class Early : public Classifier {
   public:
    void on_fit_start(levin::Run& run) override { run.log("x", 1.0); }
  } model;
  PointsModule data(60, ten_batches());
  EXPECT_THROW(Trainer(on_cpu({.max_epochs = 1})).fit(model, data), ModuleError);
}

TEST(FitLoop, gradients_are_clipped) {
  class Clipped : public Classifier {
   public:
    void on_train_batch_end(const torch::Tensor&, const Batch&, Step&) override {
      double square = 0.0;
      double largest = 0.0;
      for (auto& parameter : parameters()) {
        square += parameter.grad().square().sum().item<double>();
        largest = std::max(largest, parameter.grad().abs().max().item<double>());
      }
      norms.push_back(std::sqrt(square));
      maxima.push_back(largest);
    }
    std::vector<double> norms;
    std::vector<double> maxima;
  };
  PointsModule data(60, ten_batches());
  Clipped by_norm;
  Trainer(on_cpu({.max_epochs = 1, .gradient_clip_val = 0.01})).fit(by_norm, data);
  for (const double norm : by_norm.norms) EXPECT_NEAR(norm, 0.01, 1e-5);
  Clipped by_value;
  Trainer(on_cpu({.max_epochs = 1, .gradient_clip_val = 0.001, .gradient_clip_algorithm = "value"}))
      .fit(by_value, data);
  for (const double largest : by_value.maxima) EXPECT_NEAR(largest, 0.001, 1e-7);
  Clipped by_zero;  // as in Lightning: off
  Trainer(on_cpu({.max_epochs = 1, .gradient_clip_val = 0.0})).fit(by_zero, data);
  for (const double norm : by_zero.norms) EXPECT_GT(norm, 0.0);
}

// Row 26: validation runs before fit; row 28: an evaluation without an optimizer.
TEST(Trainer, evaluates_and_predicts_without_training) {
  class NoOptimizer : public Classifier {
   public:
    Optimizers configure_optimizers() override {
      ADD_FAILURE() << "asked for one";
      return {};
    }
  } model;
  PointsModule data(60, ten_batches(), 29);
  Trainer trainer(on_cpu({}));
  EXPECT_TRUE(trainer.validate(model, data).contains("val_acc"));
  EXPECT_TRUE(trainer.test(model, data).contains("test_acc"));
  const NamedTensors predictions = trainer.predict(model, data);
  ASSERT_EQ(predictions.size(), 1u);
  EXPECT_EQ(predictions[0].first, "class");
  const torch::NoGradGuard no_grad;
  model.eval();
  const auto direct = model.forward(data.val_data().tensors()[0].second).argmax(1);
  EXPECT_TRUE(torch::equal(predictions[0].second, direct));
}

// Row 9: forward, backward, update until a stopping rule; row 27: the history is returned.
TEST(Trainer, saves_what_fit_ended_with_until_another_stage_begins) {
  test::TemporaryFolder folder;
  test::PointsModule data(20, {.batch_size = 4});
  test::Classifier model;
  Trainer trainer({.max_steps = 3, .default_root_dir = folder.string()});
  EXPECT_THROW(trainer.save_checkpoint(folder.path() / "none.ckpt"), ConfigError);
  trainer.fit(model, data);
  trainer.save_checkpoint(folder.path() / "after_fit.ckpt");
  const StateDict loop = load_checkpoint(folder.path() / "after_fit.ckpt").child("loop");
  EXPECT_EQ(loop.values.at("global_step").as_int(), 3);
  trainer.test(model, data);
  EXPECT_THROW(trainer.save_checkpoint(folder.path() / "after_test.ckpt"), ConfigError);
}

/// Throws at every end of an epoch, as a monitor does that nobody logged, and when told of it.
class Thrower : public Callback {
 public:
  struct Options {};
  explicit Thrower(Options) {}
  std::string state_key() const override { return "Thrower"; }
  Order order() const override { return Order::monitor; }
  void on_train_epoch_end(Run&) override {
    throw ModuleError::metric_not_logged("Thrower", "val_los", {"val_loss"});
  }
  void on_exception(const std::exception&, Run&) override { throw std::runtime_error("disk full"); }
};

TEST(Trainer, a_hook_that_breaks_its_contract_after_an_epoch_costs_no_epoch) {
  test::TemporaryFolder folder;
  test::PointsModule data(20, {.batch_size = 4});
  test::Classifier model;
  Trainer trainer({.max_epochs = 3, .default_root_dir = folder.string()});
  trainer.add<Thrower>();
  ::testing::internal::CaptureStderr();
  EXPECT_THROW(trainer.fit(model, data), ModuleError);  // not what on_exception threw
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("disk full"), std::string::npos);
  const auto saved = trainer.run().log_dir() / "checkpoints" / "failed.ckpt";

  test::Classifier resumed;
  Trainer another({.max_epochs = 2, .default_root_dir = folder.string()});
  const History history = another.fit(resumed, data, saved.string());
  EXPECT_EQ(another.run().global_step(), 10);
  ASSERT_EQ(history.epochs.size(), 2U);
  EXPECT_EQ(history.epochs[0].epoch, 0);
  EXPECT_EQ(history.epochs[1].epoch, 1);
}

TEST(Trainer, what_it_was_told_is_handed_to_the_loggers) {
  test::TemporaryFolder folder;
  test::PointsModule data(20, {.batch_size = 4});
  test::Classifier model;
  seed_everything(7);
  Trainer trainer(
      {.max_epochs = 1, .accumulate_grad_batches = 2, .default_root_dir = folder.string()});
  trainer.add_logger(std::make_unique<CsvLogger>());
  trainer.fit(model, data);
  const std::string settings = test::read_file(trainer.run().log_dir() / "hparams.yaml");
  EXPECT_NE(settings.find("seed: 7"), std::string::npos) << settings;
  EXPECT_NE(settings.find("accumulate_grad_batches: 2"), std::string::npos) << settings;
}

TEST(Trainer, training_learns_and_returns_the_history_of_each_epoch) {
  seed_everything(1);
  Classifier model;
  PointsModule data(300, {.batch_size = 10, .shuffle = true}, 100);
  Trainer trainer(on_cpu({.max_epochs = 8}));
  const History history = trainer.fit(model, data);
  ASSERT_EQ(history.epochs.size(), 8u);
  const auto losses = history.values("val_loss");
  EXPECT_LT(losses.back(), losses.front());
  EXPECT_GT(history.last("val_acc"), 0.8);
  EXPECT_THROW(history.last("val_los"), ModuleError);
}

}  // namespace levin::fit_loop_test
