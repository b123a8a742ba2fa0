#include <levin/framework/config/load_module.h>

#include <gtest/gtest.h>

#include <levin/cli/shipped_classes.h>
#include <levin/datamodules/digits.h>
#include <levin/datamodules/iris.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/error.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"
#include "models/support.h"

// The shipped models come back from a checkpoint alone, and predict without a Trainer.

namespace levin::load_module_test {

/// Trains, predicts, and compares with the module that is made from the checkpoint.
class LoadedModel : public ::testing::Test {
 protected:
  std::unique_ptr<Module> check(Module& model, DataModule& data) {
    Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .default_root_dir = folder_.string()});
    trainer.fit(model, data);
    const auto path = folder_ / "end.ckpt";
    trainer.save_checkpoint(path);
    const NamedTensors expected = trainer.predict(model, data);

    auto loaded = load_module(shipped_classes(), path);
    EXPECT_FALSE(loaded->is_training());
    EXPECT_EQ(loaded->hyper_parameters(), model.hyper_parameters());
    EXPECT_EQ(loaded->data_state().values, model.data_state().values);
    EXPECT_EQ(class_names_in(loaded->data_state()), data.class_names());
    data.setup(Stage::predict);
    std::vector<torch::Tensor> classes;
    std::vector<torch::Tensor> probabilities;
    auto reader = data.predict_dataloader().front().open();
    for (Batch batch; reader.next(batch);) {
      const auto outputs = loaded->predict(Batch({{"input", batch.input()}}));
      EXPECT_FALSE(outputs[1].second.requires_grad());
      classes.push_back(outputs[0].second);
      probabilities.push_back(outputs[1].second);
    }
    EXPECT_EQ(expected[0].first, "class");
    EXPECT_TRUE(torch::cat(classes).equal(expected[0].second));
    EXPECT_TRUE(torch::cat(probabilities).equal(expected[1].second));
    const auto description = module_description(load_checkpoint(path));
    class_names_ = description ? description->class_names : std::vector<std::string>();
    return loaded;
  }

  test::TemporaryFolder folder_;
  std::vector<std::string> class_names_;
};

TEST_F(LoadedModel, logistic_regression) {
  LogisticRegression model(
      {.in_features = 4, .num_classes = 3, .bias = false, .optimizer = "SGD", .l2_strength = 0.5});
  model.set_learning_rate(0.25);
  IrisDataModule data;
  const auto loaded = check(model, data);
  ASSERT_NE(dynamic_cast<LogisticRegression*>(loaded.get()), nullptr);
  EXPECT_EQ(dynamic_cast<LogisticRegression&>(*loaded).learning_rate(), 0.25);
  EXPECT_EQ(class_names_, (std::vector<std::string>{"setosa", "versicolor", "virginica"}));
}

TEST_F(LoadedModel, mlp_with_its_hidden_layers_and_without_dropout) {
  MLP model({.in_features = 64,
             .num_classes = 10,
             .hidden_sizes = {12, 7},
             .activation = "tanh",
             .dropout = 0.5});
  DigitsDataModule data;
  const auto loaded = check(model, data);
  ASSERT_NE(dynamic_cast<MLP*>(loaded.get()), nullptr);
  EXPECT_EQ(loaded->num_parameters(), 64 * 12 + 12 + 12 * 7 + 7 + 7 * 10 + 10);
  EXPECT_EQ(class_names_.size(), 10U);
}

/// A class of the same name as a shipped one.
namespace other {
class MLP : public Classifier {
 public:
  MLP() : Classifier({.num_classes = 3}), linear_(4, 3) { register_module("linear", linear_); }
  torch::Tensor forward(const torch::Tensor& input) override { return linear_(input); }

 private:
  torch::nn::Linear linear_;
};
}  // namespace other

TEST_F(LoadedModel, weights_of_another_class_of_the_same_name_and_settings_are_refused) {
  const other::MLP model;
  StateDict checkpoint;
  checkpoint.add("model", model.state_dict());
  const Value settings = MLP({.in_features = 4, .num_classes = 3}).hyper_parameters();
  ASSERT_EQ(model.class_name(), "MLP");
  checkpoint.values["module"] =
      to_value(ModuleDescription{.class_path = model.class_name(), .init_args = settings});
  EXPECT_TRUE(test::says(test::message_of<CheckpointError>(
                             [&] { load_module(shipped_classes(), checkpoint, "a.ckpt"); }),
                         {"'a.ckpt'", "'linear.weight' isn't in the module"}));
}

// Images as they come: flattened, and bytes taken as the type of the weights.
TEST_F(LoadedModel, predicts_plain_inputs_of_another_shape_and_type) {
  MLP model({.in_features = 64, .num_classes = 10});
  model.eval();
  const auto bytes = torch::randint(17, {5, 8, 8}, torch::kByte);
  const auto outputs = model.predict(Batch({{"x", bytes}}));
  const auto flat = model.predict(Batch({{"x", bytes.reshape({5, 64}).to(torch::kFloat)}}));
  EXPECT_TRUE(outputs[1].second.equal(flat[1].second));
  EXPECT_EQ(outputs[0].second.sizes(), (std::vector<int64_t>{5}));
}

}  // namespace levin::load_module_test
