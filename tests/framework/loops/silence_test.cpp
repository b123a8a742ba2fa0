#include "framework/support.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/loggers/csv_logger.h>
#include <levin/framework/loops/input_scales.h>

#include "framework/message_of.h"

// Nothing that makes a run meaningless passes without a word, and the word comes once.

namespace levin::silence_test {

using test::Classifier;
using test::PointsModule;
using test::says;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::string printed(const std::function<void()>& work) {
  ::testing::internal::CaptureStderr();
  work();
  return ::testing::internal::GetCapturedStderr();
}

int64_t count(const std::string& text, const std::string& part) {
  int64_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

class Silence : public ::testing::Test {
 protected:
  TrainerOptions options(TrainerOptions given) const {
    given.accelerator = "cpu";
    given.default_root_dir = folder_.string();
    return given;
  }
  std::string metrics_of(Trainer& trainer) const {
    return test::read_file(trainer.run().log_dir() / "metrics.csv");
  }

  test::TemporaryFolder folder_;
  PointsModule data_{24, {.batch_size = 4}};  // six steps an epoch
};

TEST_F(Silence, an_ordinary_fit_and_test_say_nothing) {
  Classifier model;
  Trainer trainer(options({.max_epochs = 2}));
  EXPECT_EQ(printed([&] {
              trainer.fit(model, data_);
              trainer.test(model, data_);
              trainer.predict(model, data_);
            }),
            "");
}

TEST_F(Silence, untrained_weights_are_evaluated_with_a_warning_each_stage) {
  Classifier model;
  Trainer trainer(options({}));
  const std::string text = printed([&] {
    for (int i = 0; i < 2; ++i) {
      trainer.validate(model, data_);
      trainer.test(model, data_);
      trainer.predict(model, data_);
    }
  });
  for (const char* stage : {"validate", "test", "predict"}) {
    EXPECT_EQ(count(text, fmt::format("warning: {} uses the weights with which", stage)), 1)
        << text;
  }
  EXPECT_TRUE(says(text, {"ckpt_path"}));
}

TEST_F(Silence, weights_that_were_loaded_are_evaluated_without_a_warning) {
  Classifier trained;
  Trainer(options({.max_epochs = 1})).fit(trained, data_);
  Classifier model;
  EXPECT_FALSE(model.is_trained());
  model.load_state_dict(trained.state_dict());
  Classifier told;
  told.set_trained();
  Trainer trainer(options({}));
  EXPECT_EQ(printed([&] {
              trainer.test(model, data_);
              trainer.test(told, data_);
            }),
            "");
}

TEST_F(Silence, a_fit_without_an_optimizer_says_so) {
  class None : public Classifier {
    Optimizers configure_optimizers() override { return {}; }
  } model;
  Trainer trainer(options({.max_epochs = 2}));
  const std::string text = printed([&] { trainer.fit(model, data_); });
  EXPECT_EQ(count(text, "warning: configure_optimizers returned no optimizer"), 1) << text;
}

TEST_F(Silence, an_optimizer_of_other_parameters_than_the_modules_is_announced) {
  class Mistaken : public Classifier {
    Optimizers configure_optimizers() override {
      return SGD(Classifier().parameters(), {.learning_rate = 0.1});
    }
  } model;
  Trainer trainer(options({.max_epochs = 1}));
  const std::string text = printed([&] { trainer.fit(model, data_); });
  EXPECT_EQ(count(text, "warning: the optimizer has none of the module's parameters"), 1) << text;
}

TEST_F(Silence, a_fit_that_skips_every_batch_says_so) {
  class Skips : public Classifier {
    torch::Tensor training_step(const Batch&, Step&) override { return {}; }
  } model;
  Trainer trainer(options({.max_epochs = 2}));
  const std::string text = printed([&] { trainer.fit(model, data_); });
  EXPECT_EQ(count(text, "warning: this fit made no optimizer step"), 1) << text;
}

TEST_F(Silence, weights_of_which_none_fit_are_not_taken_for_trained_ones) {
  Classifier model;
  StateDict other;
  other.tensors["elsewhere.weight"] = torch::ones({2});
  model.load_state_dict(other, /*strict=*/false);
  Trainer trainer(options({}));
  EXPECT_TRUE(
      says(printed([&] { trainer.test(model, data_); }), {"warning: test uses the weights"}));
}

/// Logs a value in every n-th step, from step `first` on.
class Seldom : public Classifier {
 public:
  explicit Seldom(int64_t every, int64_t first = 0) : every_(every), first_(first) {}
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    if (step.global_step() % every_ == first_) {
      step.log("seldom", static_cast<double>(step.global_step()));
    }
    return Classifier::training_step(batch, step);
  }

 private:
  int64_t every_;
  int64_t first_;
};

/// Writes down the rows of steps that have "seldom".
class SeldomRows : public Logger {
 public:
  void start(Run&) override {}
  void log_metrics(const MetricMap& metrics, int64_t, int64_t step) override {
    if (metrics.contains("seldom")) rows.emplace_back(step, metrics.at("seldom"));
  }
  void log_epoch_metrics(const MetricMap& metrics, int64_t, int64_t) override {
    EXPECT_FALSE(metrics.contains("seldom"));
  }
  std::vector<std::pair<int64_t, double>> rows;
};

TEST_F(Silence, a_value_logged_between_two_rows_is_in_the_next_row) {
  Seldom model(10);
  PointsModule longer(60, {.batch_size = 4});  // 15 steps an epoch: the second row is after its end
  Trainer trainer(options({.max_epochs = 2, .log_every_n_steps = 10}));
  auto logger = std::make_unique<SeldomRows>();
  const SeldomRows& rows = *logger;
  trainer.add_logger(std::move(logger));
  EXPECT_EQ(printed([&] { trainer.fit(model, longer); }), "");
  EXPECT_EQ(rows.rows, (std::vector<std::pair<int64_t, double>>{{9, 0.0}, {19, 10.0}, {29, 20.0}}));
}

TEST_F(Silence, a_value_logged_now_and_then_is_among_the_metrics_of_the_run) {
  Seldom model(100);
  Trainer trainer(options({.max_epochs = 1}));
  const History history = trainer.fit(model, data_);
  EXPECT_EQ(history.last("seldom"), 0.0);
}

TEST_F(Silence, values_that_no_row_takes_are_named_at_the_end) {
  Seldom model(100, /*first=*/12);
  PointsModule longer(60, {.batch_size = 4});
  Trainer trainer(options({.max_epochs = 1, .log_every_n_steps = 10}));
  trainer.add_logger<CsvLogger>();
  EXPECT_TRUE(says(printed([&] { trainer.fit(model, longer); }),
                   {"warning: the loggers got no value of seldom:", "log_every_n_steps = 10",
                    "after 15 steps", "on_epoch = true"}));
  Trainer off(options({.max_epochs = 1, .log_every_n_steps = 0}));
  off.add_logger<CsvLogger>();
  EXPECT_EQ(printed([&] { off.fit(model, data_); }), "") << "no rows were asked for";
}

TEST_F(Silence, that_steps_have_no_row_is_said_once) {
  Seldom model(1);
  Trainer trainer(options({.max_epochs = 1, .log_every_n_steps = 50}));
  trainer.add_logger<CsvLogger>();
  const std::string text = printed([&] { trainer.fit(model, data_); });
  EXPECT_TRUE(says(text, {"an epoch has 6 steps"}));
  EXPECT_EQ(count(text, "warning: "), 1) << text;
}

TEST_F(Silence, what_the_sanity_check_logs_is_in_no_row) {
  class Stepping : public Classifier {
   public:
    void validation_step(const Batch& batch, Step& step) override {
      if (step.stage() == Stage::sanity_check) {
        step.log("sanity", 1.0, {.on_step = true, .on_epoch = false});
      } else {
        step.log("later", 2.0, {.on_step = true, .on_epoch = false});
      }
      Classifier::validation_step(batch, step);
    }
  } model;
  Trainer trainer(options({.max_epochs = 1, .log_every_n_steps = 1}));
  trainer.add_logger<CsvLogger>();
  trainer.fit(model, data_);
  const auto header = test::lines_of(metrics_of(trainer)).at(0);
  EXPECT_TRUE(says(header, {"later"}));
  EXPECT_EQ(header.find("sanity"), std::string::npos) << header;
}

/// Its loss is `scale` times as large from the second step on, or NaN.
class Exploding : public Classifier {
 public:
  explicit Exploding(double scale) : scale_(scale) {}
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    auto loss = Classifier::training_step(batch, step);
    return step.global_step() == 0 ? loss : loss * scale_;
  }
  Optimizers configure_optimizers() override { return SGD(parameters(), {.learning_rate = 1e-9}); }

 private:
  double scale_;
};

TEST_F(Silence, a_loss_that_explodes_is_announced_once) {
  for (const double scale : {1e6, kNan}) {
    Exploding model(scale);
    Trainer trainer(options({.max_epochs = 2, .limit_val_batches = 0, .log_every_n_steps = 2}));
    const std::string text = printed([&] { trainer.fit(model, data_); });
    EXPECT_EQ(count(text, "warning: the training loss explodes"), 1) << text;
    EXPECT_TRUE(says(text, {"after step 2, and was", "Lower the learning rate (now 1e-09)",
                            "gradient_clip_val"}));
  }
  Exploding calm(100.0);
  Trainer trainer(options({.max_epochs = 1, .limit_val_batches = 0, .log_every_n_steps = 1}));
  EXPECT_EQ(printed([&] { trainer.fit(calm, data_); }), "");
}

TEST_F(Silence, a_loss_that_explodes_between_rows_is_seen_at_the_end_of_the_epoch) {
  Exploding model(1e6);
  Trainer trainer(options({.max_epochs = 1, .limit_val_batches = 0}));
  EXPECT_TRUE(says(printed([&] { trainer.fit(model, data_); }), {"the training loss explodes"}));
}

/// Points whose first feature is multiplied.
class Scaled : public DataModule {
 public:
  explicit Scaled(double scale) {
    auto points = test::make_points(24);
    points.input.select(1, 0).mul_(scale);
    data_ = std::make_shared<TensorDataset>(points.input, points.target);
  }
  DataLoaders train_dataloader() override { return DataLoader(data_, {.batch_size = 6}); }

 private:
  std::shared_ptr<TensorDataset> data_;
};

TEST_F(Silence, features_of_very_different_scales_are_announced_once_with_the_remedy) {
  Classifier model;
  Scaled data(1e5);
  Trainer trainer(options({.max_epochs = 2}));
  const std::string text = printed([&] { trainer.fit(model, data); });
  EXPECT_EQ(count(text, "warning: the columns of the input differ in scale"), 1) << text;
  EXPECT_TRUE(says(text, {"column 0", "standard deviation of 1"}));
  Scaled even(1.0);
  Classifier other;
  EXPECT_EQ(printed([&] { trainer.fit(other, even); }), "");
}

TEST(InputScales, only_of_columns_of_floats_that_have_one) {
  EXPECT_NE(uneven_scales(torch::tensor({{2e3, 1.0}, {1.0, -1.0}})), "");
  EXPECT_EQ(uneven_scales(torch::tensor({{1e3, 1.0}, {1.0, -1.0}})), "");
  EXPECT_EQ(uneven_scales(torch::tensor({{2e3, 0.0}, {1.0, 0.0}})), "") << "zeros have no scale";
  EXPECT_EQ(uneven_scales(torch::tensor({{2e3, kNan}, {1.0, kNan}})), "");
  EXPECT_EQ(uneven_scales(torch::tensor({{2000, 1}, {1, 1}})), "") << "integers";
  EXPECT_EQ(uneven_scales(torch::ones({2, 3, 3})), "");
  EXPECT_EQ(uneven_scales(torch::ones({0, 3})), "");
  EXPECT_EQ(uneven_scales(torch::Tensor()), "");
  EXPECT_NE(uneven_scales(torch::tensor({{2e3, 1.0}, {1.0, -1.0}}, torch::kDouble)), "");
  EXPECT_NE(uneven_scales(torch::tensor({{2e3, 1.0}}, torch::requires_grad())), "");
  EXPECT_EQ(uneven_scales(Rows(torch::full({2, 2}, 200, torch::kByte), {.scale = 100.0F})), "");
}

TEST(InputScales, of_the_rows_of_a_batch_alone_which_are_read_where_they_lie) {
  auto all = torch::ones({4, 2});
  all[2][1] = 1e-6;
  all[3][0] = 1e6;
  Rows rows;
  Rows(all).select(std::vector<int64_t>{2, 0, 1}, rows);
  EXPECT_EQ(uneven_scales(rows), "");
  Rows(all).select(std::vector<int64_t>{0, 3}, rows);
  EXPECT_TRUE(
      says(uneven_scales(rows), {"column 0 are as large as 1e+06", "column 1 as large as 1 "}));
  EXPECT_FALSE(rows.is_dense());
}

}  // namespace levin::silence_test
