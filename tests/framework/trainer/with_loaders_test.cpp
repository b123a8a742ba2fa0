#include "framework/message_of.h"
#include "framework/support.h"

#include <gtest/gtest.h>

#include <sstream>

#include <levin/callbacks/lambda_callback.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/loaders_datamodule.h>
#include <levin/framework/tensor/random.h>

// Loaders and data sets that are there already, with and without a data module.

namespace levin::with_loaders_test {

using test::Classifier;
using test::make_points;
using test::message_of;
using test::same_bits;
using test::says;
using test::TemporaryFolder;

std::shared_ptr<const Dataset> points(int64_t rows, uint64_t seed = 1) {
  const auto made = make_points(rows, seed);
  return std::make_shared<TensorDataset>(made.input, made.target);
}

TrainerOptions on_cpu(const TemporaryFolder& folder, int64_t epochs = 2) {
  return {.accelerator = "cpu",
          .max_epochs = epochs,
          .num_sanity_val_steps = 0,
          .default_root_dir = folder.string()};
}

/// Rows whose end nobody knows.
class Endless : public Dataset {
 public:
  std::optional<int64_t> size() const override { return {}; }
  void get_batch(std::span<const int64_t>, Batch&) const override {}
};

TEST(WithLoaders, a_fit_is_that_with_a_data_module_of_the_same_loaders) {
  const TemporaryFolder folder;
  const auto fitted = [&](auto fit) {
    seed_everything(3);
    Classifier model;
    Trainer trainer(on_cpu(folder));
    const History history = fit(trainer, model);
    return std::pair(model.state_dict().clone(), history.epochs.back().metrics.at("val_loss"));
  };
  const DataLoader train(points(40), {.batch_size = 8, .shuffle = true});
  const DataLoader val(points(12, 2), {.batch_size = 5});
  LoadersDataModule data({.train = train, .val = val});
  const auto with = fitted([&](auto& trainer, auto& model) { return trainer.fit(model, data); });
  const auto without =
      fitted([&](auto& trainer, auto& model) { return trainer.fit(model, train, val); });
  EXPECT_EQ(with.second, without.second);
  for (const auto& [name, tensor] : with.first.tensors) {
    EXPECT_TRUE(same_bits(tensor, without.first.tensor(name))) << name;
  }
}

TEST(WithLoaders, every_stage_takes_one_or_several) {
  const TemporaryFolder folder;
  Classifier model;
  Trainer trainer(on_cpu(folder, 1));
  const DataLoader loader(points(12), {.batch_size = 8});
  EXPECT_FALSE(trainer.fit(model, loader).epochs.back().metrics.contains("val_loss"));
  EXPECT_TRUE(trainer.validate(model, loader).contains("val_acc"));
  EXPECT_TRUE(trainer.validate(model, {loader, loader}).contains("val_acc/dataloader_idx_1"));
  EXPECT_TRUE(trainer.test(model, loader).contains("test_acc"));
  EXPECT_EQ(trainer.predict(model, loader)[0].second.size(0), 12);
  int64_t rows = 0;
  trainer.predict(model, loader, [&](const NamedTensors& some) { rows += some[0].second.size(0); });
  EXPECT_EQ(rows, 12);
}

TEST(WithLoaders, a_fit_goes_on_from_its_checkpoint_which_can_be_saved_afterwards) {
  const TemporaryFolder folder;
  const auto path = folder / "one.ckpt";
  const auto fit = [&](int64_t epochs, const std::string& from) {
    seed_everything(from.empty() ? 4 : 9);
    Classifier model;
    Trainer trainer(on_cpu(folder, epochs));
    trainer.fit(model, DataLoader(points(20), {.batch_size = 8, .shuffle = true}), {}, from);
    if (epochs == 1) trainer.save_checkpoint(path);
    return model.state_dict().clone();
  };
  const auto whole = fit(3, "");
  fit(1, "");
  const auto resumed = fit(3, path);
  for (const auto& [name, tensor] : whole.tensors) {
    EXPECT_TRUE(same_bits(tensor, resumed.tensor(name))) << name;
  }
}

TEST(FromDatasets, training_rows_are_shuffled_and_every_set_has_its_loader) {
  auto data = from_datasets({.train = {points(10)},
                             .val = {points(5, 2), points(7, 3)},
                             .predict = {std::make_shared<Endless>()}},
                            {.batch_size = 4, .drop_last = true});
  const auto train = data.train_dataloader();
  ASSERT_EQ(train.size(), 1U);
  EXPECT_EQ(train[0].size(), 2);
  EXPECT_TRUE(train[0].options().shuffle);
  const auto val = data.val_dataloader();
  ASSERT_EQ(val.size(), 2U);
  EXPECT_EQ(val[1].size(), 2);
  EXPECT_FALSE(val[1].options().shuffle);
  EXPECT_FALSE(val[1].options().augment);
  EXPECT_TRUE(data.test_dataloader().empty());
  EXPECT_FALSE(data.predict_dataloader()[0].options().shuffle);
  auto streamed = from_datasets({.train = {std::make_shared<Endless>()}});
  EXPECT_FALSE(streamed.train_dataloader()[0].options().shuffle);
  EXPECT_EQ(streamed.train_dataloader()[0].options().batch_size, 1);
  EXPECT_TRUE(says(message_of<ConfigError>([] { from_datasets({.test = {nullptr}}); }),
                   {"dataset", "null"}));
}

TEST(FromDatasets, a_data_module_says_what_it_has) {
  auto data = from_datasets({.train = {points(10)},
                             .val = {points(5, 2), points(7, 3)},
                             .predict = {std::make_shared<Endless>()}});
  EXPECT_EQ(to_string(data),
            "{Train dataloader: size=10}\n"
            "{Validation dataloader: 1. size=5 ; 2. size=7}\n"
            "{Test dataloader: None}\n"
            "{Predict dataloader: size=NA}");
  struct Missing : DataModule {
    DataLoaders train_dataloader() override { throw DataError("train.bin: no such file"); }
  } missing;
  std::ostringstream text;
  text << missing;
  EXPECT_EQ(text.str().find("{Train dataloader: None}"), 0U) << text.str();
  EXPECT_EQ(missing.class_name(), "Missing");
  EXPECT_EQ(data.class_name(), "LoadersDataModule");
}

/// Which stages' loaders a run has, each with the number of its rows: "train 20, val 8".
std::string shown(const Run& run) {
  std::string text;
  const std::pair<const char*, const DataLoaders*> all[] = {
      {"train", &run.train_dataloader()},
      {"val", &run.val_dataloaders()},
      {"test", &run.test_dataloaders()},
      {"predict", &run.predict_dataloaders()}};
  for (const auto& [name, loaders] : all) {
    for (const auto& loader : *loaders) {
      text += (text.empty() ? "" : ", ") + std::string(name) + " " +
              std::to_string(loader.dataset().size().value());
    }
  }
  return text;
}

TEST(RunLoaders, are_those_of_the_stage_and_of_the_epoch) {
  struct Growing : DataModule {
    DataLoaders train_dataloader() override { return DataLoader(points(20 + loader_epoch()), {}); }
    DataLoaders val_dataloader() override { return DataLoader(points(8 + loader_epoch()), {}); }
    DataLoaders test_dataloader() override { return DataLoader(points(6), {}); }
  } data;
  const TemporaryFolder folder;
  Classifier model;
  auto options = on_cpu(folder);
  options.reload_dataloaders_every_n_epochs = 1;
  Trainer trainer(options);
  std::vector<std::string> seen;
  const auto note = [&](levin::Run& run) { seen.push_back(shown(run)); };
  trainer.add<LambdaCallback>({.on_train_epoch_start = note,
                               .on_validation_start = note,
                               .on_test_start = note,
                               .on_predict_start = note});
  EXPECT_EQ(shown(trainer.run()), "");
  trainer.fit(model, data);
  EXPECT_EQ(seen, (std::vector<std::string>{"train 20, val 8", "train 20, val 8", "train 21, val 9",
                                            "train 21, val 9"}));
  seen.clear();
  trainer.validate(model, data);
  trainer.test(model, data);
  trainer.predict(model, DataLoader(points(5), {}));
  EXPECT_EQ(seen, (std::vector<std::string>{"val 9", "test 6", "predict 5"}));
  EXPECT_EQ(shown(trainer.run()), "predict 5") << "until the next stage";
}

TEST(DataModuleHooks, on_exception_gets_the_first_error_after_the_callbacks_and_hides_nothing) {
  std::vector<std::string> order;
  struct Told : test::PointsModule {
    explicit Told(std::vector<std::string>& told)
        : PointsModule(20, {.batch_size = 8}), order(told) {}
    void on_exception(const std::exception& error) override {
      order.push_back(std::string("data: ") + error.what());
      throw std::runtime_error("another");
    }
    std::vector<std::string>& order;
  } data(order);
  const TemporaryFolder folder;
  Classifier model;
  Trainer trainer(on_cpu(folder));
  trainer.add<LambdaCallback>(
      {.on_train_start = [](levin::Run&) { throw std::runtime_error("first"); },
       .on_exception = [&](const std::exception&, levin::Run&) { order.push_back("callback"); }});
  testing::internal::CaptureStderr();
  EXPECT_EQ(message_of<std::runtime_error>([&] { trainer.fit(model, data); }), "first");
  const auto printed = testing::internal::GetCapturedStderr();
  EXPECT_EQ(order, (std::vector<std::string>{"callback", "data: first"}));
  EXPECT_TRUE(says(printed, {"the data module threw", "another"}));
}

}  // namespace levin::with_loaders_test
