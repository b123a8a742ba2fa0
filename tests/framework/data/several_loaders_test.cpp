#include "framework/message_of.h"
#include "framework/support.h"

#include <gtest/gtest.h>

#include <algorithm>

#include <levin/framework/core/error.h>
#include <levin/framework/loggers/csv_logger.h>
#include <levin/framework/tensor/random.h>

// Several loaders of one stage, and streams whose end nobody knows, through a Trainer.

namespace levin::several_loaders_test {

using test::Classifier;
using test::message_of;
using test::says;
using test::TemporaryFolder;
/// The loader a row came from, and its number there.
using Seen = std::vector<std::pair<int64_t, int64_t>>;

/// Points that come one after another until there are no more.
class Stream : public Dataset {
 public:
  explicit Stream(int64_t rows, uint64_t seed = 1)
      : rows_(rows),
        points_(test::make_points(rows, seed).input, test::make_points(rows, seed).target) {}
  std::optional<int64_t> size() const override { return {}; }
  void get_batch(std::span<const int64_t> rows, Batch& out) const override {
    size_t here = 0;
    while (here < rows.size() && rows[here] < rows_) ++here;
    points_.get_batch(rows.first(here), out);
  }

 private:
  int64_t rows_;
  TensorDataset points_;
};

std::shared_ptr<const Dataset> points(int64_t rows, uint64_t seed) {
  const auto made = test::make_points(rows, seed);
  return std::make_shared<TensorDataset>(made.input, made.target);
}

/// The loaders it is given.
class Loaders : public DataModule {
 public:
  DataLoaders train_dataloader() override { return train; }
  DataLoaders val_dataloader() override { return val; }
  DataLoaders test_dataloader() override { return val; }
  DataLoaders predict_dataloader() override { return val; }
  DataLoaders train;
  DataLoaders val;
};

/// Two training loaders of 4 and 3 batches, two for validation of 10 and 7 rows.
Loaders two_of_each(bool shuffle = false) {
  Loaders data;
  data.train = {DataLoader(points(15, 1), {.batch_size = 4, .shuffle = shuffle, .num_workers = 1}),
                DataLoader(points(14, 2), {.batch_size = 5, .shuffle = shuffle})};
  data.val = {DataLoader(points(10, 3), {.batch_size = 4}),
              DataLoader(points(7, 4), {.batch_size = 4})};
  return data;
}

Loaders a_stream(int64_t rows, int64_t batch_size, int64_t workers = 0) {
  Loaders data;
  data.train = DataLoader(std::make_shared<Stream>(rows),
                          {.batch_size = batch_size, .num_workers = workers});
  data.val = DataLoader(points(10, 3), {.batch_size = 4});
  return data;
}

class RowRecorder : public Classifier {
 public:
  explicit RowRecorder(double dropout = 0.0) : Classifier(dropout) {}
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    EXPECT_EQ(step.dataloader_index(), batch.loader_index());
    add(trained, batch);
    return Classifier::training_step(batch, step);
  }
  void validation_step(const Batch& batch, Step& step) override {
    EXPECT_EQ(step.dataloader_index(), batch.loader_index());
    add(validated, batch);
    Classifier::validation_step(batch, step);
    step.log("together", static_cast<double>(batch.loader_index()), {.add_dataloader_idx = false});
  }
  void on_train_epoch_end(levin::Run&) override { epoch_ends.push_back(trained.size()); }
  Seen trained;
  Seen validated;
  std::vector<size_t> epoch_ends;  // rows seen by then

 private:
  static void add(Seen& seen, const Batch& batch) {
    for (const int64_t row : batch.row_ids()) seen.emplace_back(batch.loader_index(), row);
  }
};

/// Rows 0 to `count` - 1 of a loader, behind those of `before`.
Seen rows_of(int64_t loader, int64_t count, Seen before = {}) {
  for (int64_t row = 0; row < count; ++row) before.emplace_back(loader, row);
  return before;
}

TrainerOptions on_cpu(TrainerOptions options) {
  options.accelerator = "cpu";
  options.num_sanity_val_steps = 0;
  return options;
}

// --- several loaders -----------------------------------------------------------------------------

TEST(SeveralLoaders, training_reads_one_after_another_in_every_epoch) {
  RowRecorder model;
  Loaders data = two_of_each();
  Trainer trainer(on_cpu({.max_epochs = 2}));
  trainer.fit(model, data);
  const Seen epoch = rows_of(1, 14, rows_of(0, 15));
  Seen both = epoch;
  both.insert(both.end(), epoch.begin(), epoch.end());
  EXPECT_EQ(model.trained, both);
  EXPECT_EQ(trainer.run().global_step(), 14);
  EXPECT_EQ(model.epoch_ends, (std::vector<size_t>{29, 58}));
}

/// Reads rows where they lie in the data sets of 100 columns, whose numbers are those of the rows.
class InPlace : public Module {
 public:
  InPlace() { register_parameter("weight", weight_); }
  bool reads_rows_in_place() const override { return true; }
  torch::Tensor training_step(const Batch& batch, Step&) override {
    EXPECT_FALSE(batch.input_rows().is_dense());
    const auto input = batch.input();
    for (int64_t i = 0; i < batch.rows(); ++i) {
      seen.emplace_back(batch.loader_index(), input[i][99].item<int64_t>());
    }
    return weight_.sum();
  }
  Optimizers configure_optimizers() override { return SGD(parameters(), {.learning_rate = 0.1}); }
  Seen seen;

 private:
  torch::Tensor weight_ = torch::ones({1}, torch::requires_grad());
};

TEST(SeveralLoaders, rows_of_each_can_be_read_in_place) {
  const auto rows = [](int64_t count) {
    const auto numbers = torch::arange(count).to(torch::kFloat);
    return std::make_shared<TensorDataset>(numbers.view({count, 1}).repeat({1, 100}), numbers);
  };
  InPlace model;
  Loaders data;
  data.train = {DataLoader(rows(7), {.batch_size = 4}), DataLoader(rows(5), {.batch_size = 3})};
  Trainer(on_cpu({.max_epochs = 2})).fit(model, data);
  const Seen epoch = rows_of(1, 5, rows_of(0, 7));
  Seen both = epoch;
  both.insert(both.end(), epoch.begin(), epoch.end());
  EXPECT_EQ(model.seen, both);
}

TEST(SeveralLoaders, limit_train_batches_counts_over_all_of_them) {
  const std::pair<CountOrFraction, Seen> cases[] = {{5, rows_of(1, 5, rows_of(0, 15))},
                                                    {3, rows_of(0, 12)},
                                                    {0.5, rows_of(0, 12)},
                                                    {0.9, rows_of(1, 10, rows_of(0, 15))},
                                                    {99, rows_of(1, 14, rows_of(0, 15))}};
  for (const auto& [limit, rows] : cases) {
    RowRecorder model;
    Loaders data = two_of_each();
    Trainer(on_cpu({.max_epochs = 1, .limit_train_batches = limit})).fit(model, data);
    EXPECT_EQ(model.trained, rows);
  }
}

TEST(SeveralLoaders, validation_in_mid_epoch_and_accumulation_count_over_all_of_them) {
  RowRecorder model;
  Loaders data = two_of_each();
  Trainer trainer(on_cpu({.max_epochs = 1, .val_check_interval = 3, .accumulate_grad_batches = 2}));
  trainer.fit(model, data);
  EXPECT_EQ(trainer.run().global_step(), 4) << "windows of 2, 2, 2 and 1 batches";
  EXPECT_EQ(model.validated.size(), 2U * 17U)
      << "after batches 4 and 6: the first waits for its window";
}

TEST(SeveralLoaders, validation_metrics_carry_the_loaders_index) {
  RowRecorder model;
  Loaders data = two_of_each();
  Trainer trainer(on_cpu({}));
  const MetricMap metrics = trainer.validate(model, data);
  EXPECT_EQ(model.validated, rows_of(1, 7, rows_of(0, 10)));
  EXPECT_FALSE(metrics.contains("val_loss"));
  const torch::NoGradGuard no_grad;
  model.eval();
  for (const int64_t i : {0, 1}) {
    const auto all = test::make_points(i == 0 ? 10 : 7, i == 0 ? 3 : 4);
    const double expected =
        torch::cross_entropy_loss(model.forward(all.input), all.target).item<double>();
    EXPECT_NEAR(metrics.at("val_loss/dataloader_idx_" + std::to_string(i)), expected, 1e-6);
  }
  EXPECT_NEAR(metrics.at("together"), 7.0 / 17.0, 1e-12) << "weighted by rows over both";
}

TEST(SeveralLoaders, fit_knows_the_validation_metrics_of_each) {
  RowRecorder model;
  Loaders data = two_of_each();
  const History history = Trainer(on_cpu({.max_epochs = 2})).fit(model, data);
  EXPECT_EQ(history.values("val_loss/dataloader_idx_1").size(), 2U);
  EXPECT_NE(history.last("val_loss/dataloader_idx_0"), history.last("val_loss/dataloader_idx_1"));
  EXPECT_EQ(history.epochs[0].metrics.count("val_loss"), 0U);
}

TEST(SeveralLoaders, limit_val_batches_counts_for_each_of_them) {
  RowRecorder model;
  Loaders data = two_of_each();
  Trainer(on_cpu({.limit_val_batches = 1})).validate(model, data);
  EXPECT_EQ(model.validated, rows_of(1, 4, rows_of(0, 4)));
}

TEST(SeveralLoaders, predict_gives_the_rows_of_all_in_order) {
  RowRecorder model;
  Loaders data = two_of_each();
  const NamedTensors outputs = Trainer(on_cpu({})).predict(model, data);
  ASSERT_EQ(outputs.size(), 1U);
  const torch::NoGradGuard no_grad;
  model.eval();
  const auto all = torch::cat({test::make_points(10, 3).input, test::make_points(7, 4).input});
  EXPECT_TRUE(torch::equal(outputs[0].second, model.forward(all).argmax(1)));
}

// --- resuming ------------------------------------------------------------------------------------

struct Outcome {
  StateDict weights;
  std::string metrics;
  Seen last_rows;
};

/// Trains 2 epochs in `root`, or to `max_steps`, from `checkpoint` if given; saves at the end.
Outcome train(const std::string& root, Loaders data, int64_t max_steps,
              const std::string& checkpoint) {
  seed_everything(checkpoint.empty() ? 3 : 99);
  RowRecorder model(/*dropout=*/0.3);
  Trainer trainer(on_cpu(
      {.max_epochs = 2, .max_steps = max_steps, .log_every_n_steps = 1, .default_root_dir = root}));
  trainer.add_logger<CsvLogger>();
  trainer.fit(model, data, checkpoint);
  const auto folder = trainer.run().log_dir();
  trainer.save_checkpoint(folder / "checkpoints/end.ckpt");
  return {model.state_dict().clone(), test::read_file(folder / "metrics.csv"), model.trained};
}

/// Stops after `stop` steps, resumes, and compares with a run that went through. Returns the rows
/// of the resumed part.
Seen expect_same_bits(const Loaders& data, int64_t stop) {
  const TemporaryFolder whole_folder;
  const TemporaryFolder folder;
  const Outcome whole = train(whole_folder.string(), data, -1, "");
  train(folder.string(), data, stop, "");
  const Outcome resumed =
      train(folder.string(), data, -1,
            (folder.path() / "levin_logs/version_0/checkpoints/end.ckpt").string());
  for (const auto& [name, tensor] : whole.weights.tensors) {
    EXPECT_TRUE(test::same_bits(tensor, resumed.weights.tensor(name))) << name;
  }
  EXPECT_EQ(resumed.metrics, whole.metrics);
  const auto skipped = whole.last_rows.size() - resumed.last_rows.size();
  EXPECT_TRUE(std::equal(resumed.last_rows.begin(), resumed.last_rows.end(),
                         whole.last_rows.begin() + static_cast<std::ptrdiff_t>(skipped)));
  return resumed.last_rows;
}

TEST(SeveralLoaders, resuming_in_the_middle_of_the_second_ends_with_the_same_bits) {
  const Seen rest = expect_same_bits(two_of_each(/*shuffle=*/true), 5);
  ASSERT_EQ(rest.size(), 2U * 29U - 15U - 5U);
  EXPECT_EQ(rest.front().first, 1) << "goes on in the second loader";
}

TEST(SeveralLoaders, resuming_between_two_of_them_ends_with_the_same_bits) {
  const Seen rest = expect_same_bits(two_of_each(/*shuffle=*/true), 4);
  ASSERT_EQ(rest.size(), 2U * 29U - 15U);
  EXPECT_EQ(rest.front().first, 1);
}

TEST(Streams, resuming_within_one_ends_with_the_same_bits) {
  for (const int64_t workers : {0, 2}) {
    SCOPED_TRACE(workers);
    const Seen rest = expect_same_bits(a_stream(26, 4, workers), 3);
    ASSERT_EQ(rest.size(), 2U * 26U - 12U);
    EXPECT_EQ(rest.front(), std::pair(int64_t{0}, int64_t{12}));
  }
}

// --- streams of unknown length -------------------------------------------------------------------

// Row 19 in part: data whose end isn't known.
TEST(Streams, an_epoch_ends_where_the_stream_does) {
  struct Case {
    int64_t rows;
    int64_t batch_size;
    int64_t batches;
  };
  for (const auto& one : {Case{26, 4, 7}, Case{24, 4, 6}, Case{3, 4, 1}}) {
    for (const int64_t workers : {0, 2}) {
      SCOPED_TRACE(one.rows);
      RowRecorder model;
      Loaders data = a_stream(one.rows, one.batch_size, workers);
      Trainer trainer(on_cpu({.max_epochs = 2}));
      const History history = trainer.fit(model, data);
      EXPECT_EQ(model.trained, rows_of(0, one.rows, rows_of(0, one.rows)));
      EXPECT_EQ(trainer.run().global_step(), 2 * one.batches);
      EXPECT_EQ(model.validated.size(), 20U) << "once after each epoch's last batch";
      EXPECT_EQ(history.values("val_loss").size(), 2U);
    }
  }
}

TEST(Streams, the_last_window_of_batches_ends_with_the_stream) {
  RowRecorder model;
  Loaders data = a_stream(26, 4);
  Trainer trainer(on_cpu({.max_epochs = 1, .accumulate_grad_batches = 3}));
  trainer.fit(model, data);
  EXPECT_EQ(trainer.run().global_step(), 3) << "windows of 3, 3 and 1 batches";
}

TEST(Streams, can_be_validated_tested_and_predicted) {
  RowRecorder model;
  Loaders data;
  data.val = DataLoader(std::make_shared<Stream>(10, 3), {.batch_size = 4});
  Loaders known;
  known.val = DataLoader(points(10, 3), {.batch_size = 4});
  Trainer trainer(on_cpu({}));
  EXPECT_EQ(trainer.validate(model, data), trainer.validate(model, known));
  EXPECT_EQ(trainer.test(model, data), trainer.test(model, known));
  EXPECT_TRUE(torch::equal(trainer.predict(model, data).at(0).second,
                           trainer.predict(model, known).at(0).second));
}

TEST(Streams, limits_are_whole_numbers_there) {
  RowRecorder model;
  Loaders data = a_stream(26, 4);
  Trainer(on_cpu({.max_epochs = 1, .limit_train_batches = 2})).fit(model, data);
  EXPECT_EQ(model.trained, rows_of(0, 8));
  const std::pair<const char*, TrainerOptions> cases[] = {
      {"limit_train_batches = 0.5", {.limit_train_batches = 0.5}},
      {"val_check_interval", {.val_check_interval = 0.5}}};
  for (const auto& [said, options] : cases) {
    Trainer trainer(on_cpu(options));
    EXPECT_TRUE(says(message_of<ConfigError>([&] { trainer.fit(model, data); }), {said}));
  }
  EXPECT_EQ(model.trained, rows_of(0, 8));
}

TEST(Streams, validation_every_so_many_batches_works) {
  RowRecorder model;
  Loaders data = a_stream(26, 4);  // 7 batches
  Trainer(on_cpu({.max_epochs = 1, .val_check_interval = 3})).fit(model, data);
  EXPECT_EQ(model.validated.size(), 20U) << "after batches 3 and 6";
}

TEST(Streams, one_may_follow_a_loader_of_known_length) {
  RowRecorder model;
  Loaders data = a_stream(10, 4);
  data.train.insert(data.train.begin(), DataLoader(points(6, 2), {.batch_size = 4}));
  Trainer(on_cpu({.max_epochs = 2})).fit(model, data);
  const Seen epoch = rows_of(1, 10, rows_of(0, 6));
  Seen both = epoch;
  both.insert(both.end(), epoch.begin(), epoch.end());
  EXPECT_EQ(model.trained, both);
}

TEST(Streams, one_before_another_loader_is_refused_before_anything_is_written) {
  const TemporaryFolder folder;
  RowRecorder model;
  Loaders data = a_stream(10, 4);
  data.train.push_back(DataLoader(points(6, 2), {.batch_size = 4}));
  Trainer trainer(on_cpu({.max_epochs = 1, .default_root_dir = folder.string()}));
  trainer.add_logger<CsvLogger>();
  EXPECT_TRUE(says(message_of<ConfigError>([&] { trainer.fit(model, data); }),
                   {"several training loaders", "unknown length", "put it last"}));
  EXPECT_TRUE(model.trained.empty());
  EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "a run folder was left behind";
}

}  // namespace levin::several_loaders_test
