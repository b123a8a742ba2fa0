#include <gtest/gtest.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/error.h>
#include <levin/framework/loops/fit_loop.h>
#include <levin/framework/strategies/single_device.h>

#include "framework/message_of.h"
#include "framework/support.h"

// What a checkpoint of fit says about the module it is of.

namespace levin::fit_state_test {

/// Points whose classes have names.
class NamedPoints : public test::PointsModule {
 public:
  explicit NamedPoints(std::vector<std::string> names)
      : PointsModule(40, {.batch_size = 16}), names_(std::move(names)) {}
  std::vector<std::string> class_names() override { return names_; }

 private:
  std::vector<std::string> names_;
};

/// Points that are centred by a mean, which the training data determine.
class CentredPoints : public test::PointsModule {
 public:
  CentredPoints() : test::PointsModule(40, {.batch_size = 16}) {}
  void setup(Stage) override {
    ++setups;
    if (!mean.defined()) mean = train_data().tensors().front().second.mean(0);
  }
  void on_after_batch_transfer(Batch& batch) override { batch.set("input", batch.input() - mean); }
  StateDict fitted_state() override {
    StateDict state{.tensors = {{"mean", mean}}};
    state.values["rows"] = 40;
    return state;
  }
  void load_fitted_state(const StateDict& state) override {
    setups_before = setups;
    mean = state.tensor("mean").clone();
    taken = state.values;
  }

  torch::Tensor mean;
  Value taken;
  int setups = 0;
  int setups_before = -1;  // before the state was taken over
};

/// Data that had another mean if nobody told them.
class ShiftedPoints : public CentredPoints {
 public:
  void setup(Stage stage) override {
    if (!mean.defined()) mean = torch::full({4}, 100.0F);
    CentredPoints::setup(stage);
  }
};

/// Square images as bytes that stand for numbers of 0 to 1.
class Images : public DataModule {
 public:
  explicit Images(int64_t side) {
    set_ = std::make_shared<TensorDataset>(torch::randint(256, {12, 1, side, side}, torch::kByte),
                                           torch::randint(3, {12}, torch::kLong));
    set_->set_scale("input", {});
  }
  DataLoaders train_dataloader() override { return DataLoader(set_, {.batch_size = 5}); }

 private:
  std::shared_ptr<TensorDataset> set_;
};

/// Saves before the first batch.
struct EarlyOptions {};
class Early : public Callback {
 public:
  using Options = EarlyOptions;
  explicit Early(EarlyOptions) {}
  std::string state_key() const override { return "Early"; }
  void on_train_start(Run& run) override { run.save("early.ckpt"); }
};

/// Saves weights only, after each epoch.
class WeightsOnly : public Callback {
 public:
  using Options = EarlyOptions;
  explicit WeightsOnly(EarlyOptions) {}
  std::string state_key() const override { return "WeightsOnly"; }
  void on_train_epoch_end(Run& run) override { run.save("weights.ckpt", {.weights_only = true}); }
};

class FlatClassifier : public test::Classifier {
 public:
  void on_after_batch_transfer(Batch& batch) override {
    batch.set("input", batch.input().flatten(1).to(torch::kFloat));
  }
};

/// Learns from "x", and has an entry named "input" without dimensions, or without a tensor.
class NamelessInput : public test::Classifier {
 public:
  explicit NamelessInput(torch::Tensor input) : input_(std::move(input)) {}
  void on_after_batch_transfer(Batch& batch) override {
    batch = Batch({{"x", batch.input()}, {"target", batch.target()}, {"input", input_}});
  }
  torch::Tensor training_step(const Batch& batch, Step&) override {
    return torch::cross_entropy_loss(forward(batch["x"]), batch.target());
  }
  void validation_step(const Batch&, Step&) override {}

 private:
  torch::Tensor input_;
};

/// Reads images of 16 x 16 bytes where they lie in the data set.
class InPlaceClassifier : public Module {
 public:
  InPlaceClassifier() : linear_(register_module("linear", torch::nn::Linear(256, 3))) {}
  bool reads_rows_in_place() const override { return true; }
  torch::Tensor training_step(const Batch& batch, Step&) override {
    EXPECT_FALSE(batch.input_rows().is_dense());
    return torch::cross_entropy_loss(linear_(batch.input().flatten(1)), batch.target());
  }
  Optimizers configure_optimizers() override { return SGD(parameters(), {.learning_rate = 0.1}); }

 private:
  torch::nn::Linear linear_;
};

class FitStateTest : public ::testing::Test {
 protected:
  TrainerOptions options() const {
    return {.accelerator = "cpu", .max_epochs = 1, .default_root_dir = folder_.string()};
  }
  ModuleDescription fit(Module& module, DataModule& data, const std::string& ckpt_path = {}) {
    Trainer trainer(options());
    trainer.fit(module, data, ckpt_path);
    trainer.save_checkpoint(path_);
    return read(path_);
  }
  static void expect_same_bits(const StateDict& actual, const StateDict& expected) {
    ASSERT_EQ(actual.tensors.size(), expected.tensors.size());
    for (const auto& [name, tensor] : expected.tensors) {
      EXPECT_TRUE(test::same_bits(actual.tensor(name), tensor)) << name;
    }
  }
  static ModuleDescription read(const std::filesystem::path& path) {
    const auto description = module_description(load_checkpoint(path));
    EXPECT_TRUE(description) << path;
    return description.value_or(ModuleDescription{});
  }

  test::TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "end.ckpt";
};

TEST_F(FitStateTest, says_the_class_the_input_of_a_row_and_the_names_of_the_classes) {
  test::Classifier module;
  NamedPoints data({"red", "green", "blue"});
  const auto description = fit(module, data);
  EXPECT_EQ(description.class_path, "Classifier");
  EXPECT_TRUE(description.init_args.is_null());  // the class doesn't tell
  ASSERT_TRUE(description.input);
  EXPECT_EQ(description.input->shape, std::vector<int64_t>{4});
  EXPECT_EQ(description.input->dtype, "float32");
  EXPECT_EQ(description.class_names, (std::vector<std::string>{"red", "green", "blue"}));
}

TEST_F(FitStateTest, the_input_is_what_steps_get) {
  FlatClassifier module;
  Images data(2);
  const auto description = fit(module, data);
  ASSERT_TRUE(description.input);
  EXPECT_EQ(description.input->shape, std::vector<int64_t>{4});
  EXPECT_EQ(description.input->dtype, "float32");
  EXPECT_TRUE(description.class_names.empty());
}

TEST_F(FitStateTest, an_input_without_rows_is_not_described) {
  for (const auto& input : {torch::tensor(1.0), torch::Tensor()}) {
    NamelessInput module(input);
    test::PointsModule data(40, {.batch_size = 16});
    EXPECT_FALSE(fit(module, data).input) << "defined: " << input.defined();
  }
}

TEST_F(FitStateTest, bytes_that_are_read_in_place_are_told_as_the_numbers_they_stand_for) {
  InPlaceClassifier module;
  Images data(16);
  const auto description = fit(module, data);
  ASSERT_TRUE(description.input);
  EXPECT_EQ(description.input->shape, (std::vector<int64_t>{1, 16, 16}));
  EXPECT_EQ(description.input->dtype, "float32");
}

TEST_F(FitStateTest, the_input_is_unknown_before_the_first_batch_unless_an_earlier_run_saw_it) {
  test::Classifier module;
  test::PointsModule data(40, {.batch_size = 16});
  Trainer trainer(options());
  trainer.add<Early>();
  trainer.fit(module, data);
  EXPECT_FALSE(read(trainer.run().log_dir() / "early.ckpt").input);
  trainer.save_checkpoint(path_);

  auto more = options();
  more.max_epochs = 2;
  Trainer resumed(more);
  resumed.add<Early>();
  resumed.fit(module, data, path_.string());
  const auto description = read(resumed.run().log_dir() / "early.ckpt");
  ASSERT_TRUE(description.input);
  EXPECT_EQ(description.input->shape, std::vector<int64_t>{4});
}

TEST_F(FitStateTest, data_of_other_classes_are_not_tested_on) {
  test::Classifier module;
  NamedPoints data({"red", "green", "blue"});
  fit(module, data);
  Trainer trainer(options());
  NamedPoints others({"blue", "green", "red"});
  EXPECT_TRUE(test::says(
      test::message_of<CheckpointError>([&] { trainer.test(module, others, path_.string()); }),
      {"'" + path_.string() + "' doesn't fit these data:", R"(["red","green","blue"])",
       R"(["blue","green","red"])"}));
  EXPECT_NO_THROW(trainer.test(module, data, path_.string()));
  NamedPoints numbered({});
  EXPECT_NO_THROW(trainer.test(module, numbered, path_.string()));
  EXPECT_NO_THROW(trainer.predict(module, others, path_.string()));
}

TEST_F(FitStateTest, training_goes_on_only_with_data_of_the_same_classes) {
  test::Classifier module;
  NamedPoints data({"red", "green", "blue"});
  fit(module, data);
  auto more = options();
  more.max_epochs = 2;
  Trainer trainer(more);
  test::Classifier resumed;
  const StateDict before = resumed.state_dict().clone();
  NamedPoints others({"blue", "green", "red"});
  EXPECT_TRUE(test::says(
      test::message_of<CheckpointError>([&] { trainer.fit(resumed, others, path_.string()); }),
      {path_.string(), R"(["red","green","blue"])", R"(["blue","green","red"])"}));
  expect_same_bits(resumed.state_dict(), before);
  EXPECT_EQ(trainer.fit(resumed, data, path_.string()).epochs.size(), 2U);
  NamedPoints numbered({});
  EXPECT_EQ(trainer.fit(resumed, numbered, path_.string()).epochs.size(), 2U);
}

TEST_F(FitStateTest, what_the_data_taught_is_in_every_checkpoint_and_reaches_other_data_first) {
  test::Classifier module;
  CentredPoints data;
  Trainer trainer(options());
  trainer.add<WeightsOnly>();
  trainer.fit(module, data);
  const auto path = trainer.run().log_dir() / "weights.ckpt";
  EXPECT_TRUE(test::same_bits(load_checkpoint(path).tensor("fitted.mean"), data.mean));
  const auto expected = trainer.test(module, data);
  for (const bool predicts : {false, true}) {
    test::Classifier loaded;
    ShiftedPoints others;
    Trainer second(options());
    if (predicts) {
      second.predict(loaded, others, path.string());
    } else {
      EXPECT_EQ(second.test(loaded, others, path.string()), expected);
    }
    EXPECT_TRUE(test::same_bits(others.mean, data.mean));
    EXPECT_EQ(others.taken.at("rows"), Value(40));
    EXPECT_EQ(others.setups_before, 0);
    EXPECT_TRUE(test::same_bits(loaded.data_state().tensor("mean"), data.mean));
  }
}

TEST_F(FitStateTest, a_trained_module_hands_it_to_other_data_without_a_checkpoint) {
  test::Classifier module;
  CentredPoints data;
  Trainer trainer(options());
  trainer.fit(module, data);
  const auto expected = trainer.validate(module, data);
  ShiftedPoints others;
  EXPECT_EQ(trainer.validate(module, others), expected);
  test::Classifier untrained;
  ShiftedPoints unaware;
  trainer.validate(untrained, unaware);
  EXPECT_TRUE(unaware.taken.is_null());
}

TEST_F(FitStateTest, a_module_that_loads_a_checkpoint_itself_knows_what_the_data_taught) {
  test::Classifier module;
  CentredPoints data;
  fit(module, data);
  Trainer trainer(options());
  const auto expected = trainer.test(module, data);
  test::Classifier loaded;
  loaded.load_state_dict(load_checkpoint(path_));
  ShiftedPoints others;
  EXPECT_EQ(trainer.test(loaded, others), expected);
  EXPECT_TRUE(test::same_bits(others.mean, data.mean));
}

TEST_F(FitStateTest, a_resumed_fit_goes_on_with_what_the_data_taught) {
  test::Classifier module;
  CentredPoints data;
  fit(module, data);
  auto more = options();
  more.max_epochs = 2;
  Trainer trainer(more);
  test::Classifier resumed;
  ShiftedPoints others;
  trainer.fit(resumed, others, path_.string());
  EXPECT_TRUE(test::same_bits(others.mean, data.mean));
  ShiftedPoints fresh;
  test::Classifier anew;
  Trainer(options()).fit(anew, fresh);
  EXPECT_TRUE(fresh.taken.is_null());
}

TEST_F(FitStateTest, a_module_that_cannot_load_a_checkpoint_keeps_what_its_own_data_taught) {
  test::Classifier module;
  CentredPoints data;
  fit(module, data);
  StateDict other = load_checkpoint(path_);
  other.tensors["model.hidden.weight"] = torch::zeros({7, 4});
  other.tensors["fitted.mean"] = torch::full({4}, 50.0F);
  const auto path = folder_ / "other.ckpt";
  save_checkpoint(path, other);
  Trainer trainer(options());
  CentredPoints tested;
  EXPECT_THROW(trainer.test(module, tested, path.string()), CheckpointError);
  EXPECT_TRUE(test::same_bits(module.data_state().tensor("mean"), data.mean));
  CentredPoints trained;
  EXPECT_THROW(trainer.fit(module, trained, path.string()), CheckpointError);
  EXPECT_TRUE(test::same_bits(module.data_state().tensor("mean"), data.mean));
}

TEST_F(FitStateTest, data_that_lack_what_the_checkpoint_says_name_it) {
  test::Classifier module;
  NamedPoints data({"red", "green", "blue"});
  fit(module, data);
  CentredPoints others;
  Trainer trainer(options());
  EXPECT_TRUE(test::says(
      test::message_of<CheckpointError>([&] { trainer.test(module, others, path_.string()); }),
      {"'" + path_.string() + "' doesn't fit these data:", "'mean'"}));
}

/// The parts of a fit of `module`, without a Trainer.
struct Parts {
  explicit Parts(test::Classifier& trained)
      : module(trained), optimizers(trained.configure_optimizers()) {
    NamedTensors names;
    for (const auto& item : module.named_parameters()) names.emplace_back(item.key(), item.value());
    optimizers.entries().front().optimizer->set_names(names);
  }
  test::Classifier& module;
  Optimizers optimizers;
  test::PointsModule data{40, {.batch_size = 16}};
  SingleDeviceStrategy strategy{at::kCPU};
  HookList hooks;
  std::vector<Callback*> callbacks;
  std::vector<Logger*> loggers;
  TrainerOptions options;
  RunControl run;
  ThreadScope threads;
  LoopParts parts{module,  data,    strategy, hooks,   callbacks,
                  loggers, options, run,      nullptr, &threads};
  FitLoop loop{parts, data.train_dataloader(), data.val_dataloader(), optimizers};
};

TEST_F(FitStateTest, a_damaged_description_of_the_module_is_refused_before_weights_are_replaced) {
  test::Classifier trained;
  test::PointsModule data(40, {.batch_size = 16});
  fit(trained, data);
  StateDict checkpoint = load_checkpoint(path_);
  checkpoint.values["module"]["input"]["shape"] = "four";
  test::Classifier module;
  const StateDict before = module.state_dict().clone();
  Parts own(module);
  EXPECT_THROW(own.loop.resume(checkpoint), CheckpointError);
  expect_same_bits(module.state_dict(), before);
  own.loop.resume(load_checkpoint(path_));
  expect_same_bits(module.state_dict(), trained.state_dict());
}

TEST_F(FitStateTest, a_damaged_place_in_the_run_is_not_blamed_on_the_optimizer) {
  test::Classifier module;
  test::PointsModule data(40, {.batch_size = 16});
  fit(module, data);
  StateDict checkpoint = load_checkpoint(path_);
  checkpoint.values["loop"].as_object().erase("global_step");
  Parts own(module);
  const auto message = test::message_of<CheckpointError>([&] { own.loop.resume(checkpoint); });
  EXPECT_TRUE(test::says(message, {"'global_step'"}));
  EXPECT_EQ(message.find("optimizer"), std::string::npos) << message;
}

}  // namespace levin::fit_state_test
