#include "models/support.h"

#include "datamodules/readers/support.h"
#include "framework/message_of.h"

#include <levin/callbacks/model_summary.h>
#include <levin/cli/shipped_classes.h>
#include <levin/datamodules/array.h>
#include <levin/datamodules/digits.h>
#include <levin/datamodules/iris.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/config/load_module.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/training_set.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/linear_regression.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>

// Models that weren't told in_features and num_classes find them in the training data.

namespace levin::found_sizes_test {

using test::message_of;
using test::says;
using test::TemporaryFolder;

TrainerOptions quiet(const TemporaryFolder& folder, int64_t epochs = 1) {
  return {.accelerator = "cpu",
          .max_epochs = epochs,
          .num_sanity_val_steps = 0,
          .default_root_dir = folder.path().string()};
}

/// Values for the rows of Iris: the first feature, from the other three.
ArrayDataModule lengths() {
  seed_everything(3);
  const auto x = torch::randn({60, 3});
  const auto y = x.matmul(torch::tensor({1.0F, -2.0F, 0.5F})) + 0.7;
  return ArrayDataModule(x, y, {.batch_size = 12});
}

TEST(FoundSizes, are_those_of_the_data_and_the_initial_weights_those_of_a_model_that_was_told) {
  TemporaryFolder folder;
  IrisDataModule iris;
  seed_everything(5);
  LogisticRegression told({.in_features = 4, .num_classes = 3});
  Trainer(quiet(folder)).fit(told, iris);
  seed_everything(5);
  LogisticRegression found({});
  EXPECT_EQ(found.num_parameters(), 0);
  Trainer(quiet(folder)).fit(found, iris);
  EXPECT_EQ(found.hyper_parameters(), told.hyper_parameters());
  EXPECT_TENSORS_NEAR(found.named_parameters()["linear.weight"],
                      told.named_parameters()["linear.weight"], 0.0);

  MLP net({.hidden_sizes = {5}});
  Trainer(quiet(folder)).fit(net, iris);
  EXPECT_EQ(net.hyper_parameters().at("in_features"), Value(4));
  EXPECT_EQ(net.num_parameters(), 4 * 5 + 5 + 5 * 3 + 3);

  LinearRegression linear;
  auto data = lengths();
  Trainer(quiet(folder)).fit(linear, data);
  EXPECT_EQ(linear.hyper_parameters().at("in_features"), Value(3));
  EXPECT_EQ(linear.hyper_parameters().at("out_features"), Value(1));
}

TEST(FoundSizes, come_from_a_checkpoint_where_there_is_no_training) {
  TemporaryFolder folder;
  const auto path = folder / "a.ckpt";
  IrisDataModule iris;
  LogisticRegression trained({});
  Trainer trainer(quiet(folder, 3));
  trainer.fit(trained, iris);
  trainer.save_checkpoint(path);
  const auto expected = trainer.predict(trained, iris)[1].second;

  const auto same = [&](const torch::Tensor& probabilities) {
    EXPECT_TENSORS_NEAR(probabilities, expected, 0.0);
  };
  LogisticRegression fresh({});
  same(Trainer(quiet(folder)).predict(fresh, iris, path.string())[1].second);
  LogisticRegression tested({});
  EXPECT_GT(Trainer(quiet(folder)).test(tested, iris, path.string()).at("test_acc"), 0.0);
  LogisticRegression by_hand({});
  by_hand.load_state_dict(load_checkpoint(path));
  same(Trainer(quiet(folder)).predict(by_hand, iris)[1].second);
  const auto made = load_module(shipped_classes(), path);
  same(Trainer(quiet(folder)).predict(*made, iris)[1].second);

  LogisticRegression resumed({});
  Trainer further(quiet(folder, 5));
  further.fit(resumed, iris, path.string());
  EXPECT_EQ(resumed.num_parameters(), 15);
  EXPECT_EQ(further.run().history().epochs.back().epoch, 4);
}

TEST(FoundSizes, keep_the_type_that_the_model_was_given_before) {
  LinearRegression model;
  model.to(torch::kDouble);
  const DataLoaders loaders =
      DataLoader(std::make_shared<TensorDataset>(torch::randn({4, 2}), torch::randn({4, 3})), {});
  model.prepare(TrainingSet(loaders));
  EXPECT_EQ(model.parameters().front().scalar_type(), torch::kDouble);
  EXPECT_EQ(model.parameters().front().sizes(), (std::vector<int64_t>{3, 2}));
}

TEST(FoundSizes, of_other_data_are_refused_with_both_numbers) {
  TemporaryFolder folder;
  IrisDataModule iris;
  DigitsDataModule digits;
  LogisticRegression model({});
  Trainer trainer(quiet(folder));
  trainer.fit(model, iris);
  EXPECT_TRUE(says(message_of<DataError>([&] { trainer.fit(model, digits); }),
                   {"num_classes = 10, but the model has num_classes = 3", "Make a new model"}));
  LogisticRegression classes({.num_classes = 10});
  trainer.fit(classes, iris);
  EXPECT_TRUE(says(message_of<DataError>([&] { trainer.fit(classes, digits); }),
                   {"in_features = 64, but the model has in_features = 4"}));
  trainer.fit(model, iris);  // the same data again
  auto data = lengths();
  LinearRegression linear;
  trainer.fit(linear, data);
  ArrayDataModule two(torch::randn({60, 3}), torch::randn({60, 2}));
  EXPECT_TRUE(says(message_of<DataError>([&] { trainer.fit(linear, two); }),
                   {"out_features = 2, but the model has out_features = 1"}));
}

TEST(FoundSizes, that_are_not_known_yet_keep_a_model_from_predicting) {
  TemporaryFolder folder;
  IrisDataModule iris;
  LogisticRegression model({});
  MLP net({});
  LinearRegression linear;
  const std::initializer_list<std::string_view> parts = {"no weights yet", "load a checkpoint"};
  Trainer trainer(quiet(folder));
  EXPECT_TRUE(says(message_of<ModuleError>([&] { trainer.predict(model, iris); }), parts));
  EXPECT_TRUE(says(message_of<ModuleError>([&] { trainer.validate(model, iris); }), parts));
  EXPECT_TRUE(says(message_of<ModuleError>([&] { net.forward(torch::zeros({1, 4})); }), parts));
  EXPECT_TRUE(says(message_of<ModuleError>([&] { linear.forward(torch::zeros({1, 4})); }), parts));
  EXPECT_EQ(summarize(model, -1), "0 parameters (0 trainable), 0 MB\n");
  EXPECT_FALSE(net.reads_rows_in_place());
}

/// A stream whose labels nobody knows in advance.
class Stream : public Dataset {
 public:
  std::optional<int64_t> size() const override { return {}; }
  void get_batch(std::span<const int64_t> rows, Batch& out) const override {
    std::vector<int64_t> labels;
    for (const int64_t row : rows) {
      if (row < 20) labels.push_back(row % 3);
    }
    const auto y = torch::tensor(labels, torch::kLong);
    out.set("input", torch::ones({y.size(0), 2, 3}));
    out.set("target", y);
  }
};

TEST(FoundSizes, of_a_stream_are_its_shape_but_the_number_of_classes_has_to_be_told) {
  const DataLoaders stream =
      DataLoader(std::make_shared<Stream>(), {.batch_size = 4, .num_workers = 2});
  const TrainingSet train(stream);
  EXPECT_EQ(train.features(), 6);
  EXPECT_FALSE(train.rows());
  LogisticRegression told({.num_classes = 3});
  told.prepare(train);
  EXPECT_EQ(told.hyper_parameters().at("in_features"), Value(6));

  const auto refusal = [&](LogisticRegressionOptions options) {
    return message_of<ConfigError>([&] {
      LogisticRegression model(std::move(options));
      model.prepare(train);
    });
  };
  EXPECT_TRUE(says(refusal({}), {"num_classes is neither given nor known", "set num_classes"}));
  EXPECT_TRUE(says(refusal({.num_classes = 3, .C = 1.0}),
                   {"C for training data of unknown length", "set l2_strength = 1 / (2 C n)"}));
  EXPECT_TRUE(says(refusal({.num_classes = 3, .class_weight = "balanced"}),
                   {"class_weight = balanced", "give the classes' weights as a list"}));
}

TEST(FoundSizes, need_at_least_two_classes) {
  const auto prepare = [](const torch::Tensor& y) {
    const DataLoaders loaders =
        DataLoader(std::make_shared<TensorDataset>(torch::randn({4, 2}), y), {});
    LogisticRegression model({});
    model.prepare(TrainingSet(loaders));
  };
  EXPECT_TRUE(says(message_of<DataError>([&] { prepare(torch::zeros({4}, torch::kLong)); }),
                   {"num_classes = 1, but it must be at least 2"}));
  EXPECT_TRUE(says(message_of<ConfigError>([&] { prepare(torch::rand({4})); }),
                   {"num_classes is neither given nor known", "targets that are classes"}));
}

}  // namespace levin::found_sizes_test
