#include <levin/framework/logged/logged_metrics.h>

#include "framework/support.h"

#include <gtest/gtest.h>

#include <map>

#include "framework/meeting.h"
#include "framework/message_of.h"

#include <levin/framework/core/error.h>
#include <levin/framework/logged/logged_values.h>
#include <levin/framework/metrics/all.h>
#include <levin/framework/strategies/single_device.h>

namespace levin::logged_metrics_test {

using test::message_of;
using test::says;
using For = LoggedValues::For;

/// A rank of several that are threads.
class ThreadStrategy : public SingleDeviceStrategy {
 public:
  explicit ThreadStrategy(Ranks& ranks) : SingleDeviceStrategy(at::kCPU), ranks_(ranks) {}
  Ranks& ranks() override { return ranks_; }
  int combined = 0;  // times

 protected:
  void combine(PackedMetrics& values) override {
    ++combined;
    const auto to_array = [](const std::vector<double>& numbers) {
      Value::Array array;
      for (const double number : numbers) array.push_back(number);
      return array;
    };
    Value own;
    own["sums"] = to_array(values.sums);
    own["minima"] = to_array(values.minima);
    own["maxima"] = to_array(values.maxima);
    bool is_first = true;
    for (const auto& text : ranks_.gather(own.to_json())) {
      const Value other = Value::from_json(text);
      const auto take = [&](const char* name, std::vector<double>& into, const auto& join) {
        for (size_t i = 0; i < into.size(); ++i) {
          const double number = other.at(name).as_array().at(i).as_double();
          into[i] = is_first ? number : join(into[i], number);
        }
      };
      take("sums", values.sums, [](double a, double b) { return a + b; });
      take("minima", values.minima, [](double a, double b) { return std::min(a, b); });
      take("maxima", values.maxima, [](double a, double b) { return std::max(a, b); });
      is_first = false;
    }
  }

 private:
  Ranks& ranks_;
};

struct Rows {
  torch::Tensor probabilities;
  torch::Tensor targets;
};

Rows rows_of(int64_t rows) {
  torch::manual_seed(8);
  const auto targets = torch::randint(3, {rows});
  return {(torch::randn({rows, 3}) + torch::one_hot(targets, 3)).softmax(1), targets};
}

/// One of each kind of state: counts, sums without rounding, rows.
struct Metrics {
  F1Score f1;
  LogLoss loss;
  Auroc auroc;
  RecallScore recall;

  void log(LoggedValues& values, const Rows& rows, int64_t first, int64_t count) {
    const auto p = rows.probabilities.narrow(0, first, count);
    const auto y = rows.targets.narrow(0, first, count);
    values.begin_window();
    values.begin_batch(count, 0, 1);
    for (Metric* metric : std::vector<Metric*>{&f1, &loss, &auroc, &recall}) {
      metric->update(p, y);
      values.log(metric->name(), *metric, {});
    }
  }
};

MetricMap alone(const Rows& rows, int64_t batch) {
  Metrics metrics;
  LoggedValues values;
  values.begin_epoch();
  for (int64_t first = 0; first < rows.targets.size(0); first += batch) {
    metrics.log(values, rows, first, std::min(batch, rows.targets.size(0) - first));
  }
  return values.epoch_values(For::callbacks);
}

TEST(LoggedMetrics, of_ranks_have_the_bits_of_one_process_though_a_rank_has_no_rows) {
  const auto rows = rows_of(60);
  const auto expected = alone(rows, 60);
  ASSERT_EQ(expected.size(), 6U);  // three numbers and the recall of three classes
  EXPECT_EQ(alone(rows, 7), expected);
  const std::vector<std::pair<int64_t, int64_t>> shares{{40, 20}, {0, 40}, {0, 0}};
  test::Meeting meeting(3);
  test::in_threads(3, [&](size_t rank) {
    test::ThreadRank own(meeting, rank);
    ThreadStrategy strategy(own);
    Metrics metrics;
    LoggedValues values;
    for (int epoch = 0; epoch < 2; ++epoch) {
      values.begin_epoch();
      const auto [first, count] = shares[rank];
      for (int64_t i = 0; i < count; i += 10) metrics.log(values, rows, first + i, 10);
      strategy.reduce(values);
      EXPECT_EQ(values.epoch_values(For::callbacks), expected) << "rank " << rank;
    }
    // Twice two and the states; names are new only once.
    EXPECT_EQ(strategy.combined, 3 + 2);
    EXPECT_EQ(own.gathered, strategy.combined + 2 + 1);
  });
}

TEST(LoggedMetrics, forget_their_rows_at_the_start_of_an_epoch_and_at_the_end_of_the_run) {
  Accuracy accuracy;
  {
    LoggedValues values;
    for (const double right : {1.0, 0.0}) {
      values.begin_epoch();
      values.begin_batch(2, 0, 1);
      accuracy.update(torch::tensor({right, right}), torch::ones({2}, torch::kLong));
      values.log("acc", accuracy, {});
      EXPECT_EQ(values.epoch_values(For::callbacks).at("acc"), right);
    }
    values.begin_epoch();
    EXPECT_EQ(values.epoch_values(For::callbacks).count("acc"), 0U);
    accuracy.update(torch::ones({2}), torch::ones({2}, torch::kLong));
  }
  EXPECT_TRUE(accuracy.compute().empty());
  LoggedValues another;  // in which it may be logged now
  another.log("other", accuracy, {});
}

TEST(LoggedMetrics, may_be_moved_and_may_be_gone_before_the_values) {
  LoggedValues values;
  values.begin_epoch();
  values.begin_batch(1, 0, 1);
  {
    Accuracy accuracy;
    accuracy.update(torch::ones({1}), torch::ones({1}, torch::kLong));
    values.log("acc", accuracy, {});
    Accuracy moved(std::move(accuracy));
    EXPECT_EQ(values.epoch_values(For::callbacks).at("acc"), 1.0);
  }
  EXPECT_NO_THROW(values.epoch_values(For::callbacks));
  values.begin_epoch();
}

TEST(LoggedMetrics, have_the_value_of_a_batch_on_step_too) {
  Accuracy accuracy;
  LoggedValues values;
  values.begin_epoch();
  const LogOptions both{.on_step = true, .on_epoch = true};
  for (const double right : {1.0, 0.0, 1.0, 1.0}) {
    values.begin_window();
    values.begin_batch(1, 0, 1);
    accuracy.update(torch::tensor({right}), torch::ones({1}, torch::kLong));
    values.log("acc", accuracy, both);
    EXPECT_EQ(values.step_values(For::callbacks), (MetricMap{{"acc", right}, {"acc_step", right}}));
  }
  EXPECT_EQ(values.epoch_values(For::callbacks), (MetricMap{{"acc", 0.75}, {"acc_epoch", 0.75}}));
  EXPECT_TRUE(values.epoch_values(For::progress_bar).empty());
}

TEST(LoggedMetrics, are_logged_in_one_place_at_a_time) {
  Accuracy accuracy;
  LoggedValues train;
  LoggedValues val;
  train.log("acc", accuracy, {});
  EXPECT_TRUE(says(message_of<ModuleError>([&] { train.log("acc2", accuracy, {}); }),
                   {"acc2", "accuracy", "another name", "one metric for each"}));
  EXPECT_TRUE(says(message_of<ModuleError>([&] { val.log("acc", accuracy, {}); }),
                   {"another pass over data"}));
  Accuracy second;
  EXPECT_TRUE(says(message_of<ModuleError>([&] { train.log("acc", second, {}); }),
                   {"another metric is logged under this name"}));
}

TEST(LoggedMetrics, are_not_captured_unless_their_state_has_a_fixed_size) {
  Auroc auroc;
  Accuracy accuracy;
  Accuracy late;
  LoggedValues values;
  values.log("auroc", auroc, {});
  values.log("acc", accuracy, {});
  values.begin_recorded(8, /*is_first=*/true);
  EXPECT_NO_THROW(values.log("acc", accuracy, {}));
  EXPECT_TRUE(says(message_of<ModuleError>([&] { values.log("auroc", auroc, {}); }),
                   {"captured in a CUDA graph", "cuda_graph = off"}));
  EXPECT_THROW(values.log("late", late, {}), ModuleError);
  values.drop_recorded();
}

TEST(LoggedMetrics, say_why_a_value_is_missing) {
  LoggedValues values;
  values.begin_epoch();
  values.begin_batch(2, 0, 1);
  RecallScore recall;
  recall.set_class_names({"cat", "dog"});
  recall.update(torch::tensor({0.1, 0.9}), torch::tensor({0, 0}));
  values.log("val_recall", recall, {});
  EXPECT_EQ(values.epoch_values(For::callbacks), (MetricMap{{"val_recall_cat", 0.5}}));
  const auto notes = values.take_notes();
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_TRUE(
      says(notes[0], {"val_recall_dog isn't logged: there are no rows of class dog", "stratify"}));
  EXPECT_TRUE(values.take_notes().empty());
}

// A module that logs metrics of training and of validation.
class Measured : public test::Classifier {
 public:
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    const auto logits = forward(batch.input());
    for (ClassMetric* metric : std::vector<ClassMetric*>{&train_.f1, &train_.loss, &train_.auroc}) {
      metric->update_logits(logits, batch.target());
      step.log("train_" + metric->name(), *metric,
               {.on_step = metric == &train_.f1, .on_epoch = true});
    }
    return Classifier::training_step(batch, step);
  }
  void validation_step(const Batch& batch, Step& step) override {
    val_.auroc.update_logits(forward(batch.input()), batch.target());
    step.log("val_auroc", val_.auroc, {.prog_bar = true});
    Classifier::validation_step(batch, step);
  }

 private:
  Metrics train_;
  Metrics val_;
};

class SaveAt : public Callback {
 public:
  explicit SaveAt(int64_t step) : step_(step) {}
  std::string state_key() const override { return "SaveAt"; }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    if (step.global_step() != step_) return;
    step.run().save("at.ckpt");
    step.run().stop("as planned");
  }

 private:
  int64_t step_;
};

std::map<std::string, std::vector<double>> fitted(const std::string& root, int64_t stop_at,
                                                  const std::string& checkpoint) {
  torch::manual_seed(checkpoint.empty() ? 5 : 6);
  Measured model;
  test::PointsModule data(50, {.batch_size = 10, .shuffle = true, .seed = 3});
  Trainer trainer({.accelerator = "cpu",
                   .max_epochs = 2,
                   .num_sanity_val_steps = 1,
                   .log_every_n_steps = 1,
                   .default_root_dir = root});
  if (stop_at > 0) trainer.add<SaveAt>(stop_at);
  const auto history = trainer.fit(model, data, checkpoint);
  std::map<std::string, std::vector<double>> values;
  for (const char* name :
       {"train_f1", "train_f1_step", "train_log_loss", "train_auroc", "val_auroc"}) {
    values[name] = history.values(name);
  }
  return values;
}

// After each step of the first epoch, the last one included, when only the checkpoint knows them.
TEST(LoggedMetrics, go_on_in_the_middle_of_an_epoch_with_the_same_bits) {
  const test::TemporaryFolder whole_folder;
  const auto whole = fitted(whole_folder.string(), 0, "");
  for (const auto& [name, values] : whole) EXPECT_EQ(values.size(), 2U) << name;
  EXPECT_NE(whole.at("train_f1"), whole.at("train_f1_step"));
  for (const int64_t step : {1, 3, 5}) {
    const test::TemporaryFolder folder;
    fitted(folder.string(), step, "");
    const auto checkpoint = folder.path() / "levin_logs/version_0/at.ckpt";
    EXPECT_EQ(fitted(folder.string(), 0, checkpoint.string()), whole) << "step " << step;
  }
}

}  // namespace levin::logged_metrics_test
