#include <gtest/gtest.h>

#include <levin/cli/shipped_classes.h>
#include <levin/datamodules/iris.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/torch_file.h>
#include <levin/framework/config/load_module.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>

#include "framework/message_of.h"
#include "framework/support.h"

// Weights that PyTorch and Lightning saved, in modules of Levin.

namespace levin::foreign_weights_test {

namespace fs = std::filesystem;
using test::message_of;
using test::same_bits;
using test::says;
using test::TemporaryFolder;

const fs::path kFolder = fs::path(LEVIN_SOURCE_DIR) / "tests/baselines/torch_files";

torch::Tensor table(const Value& rows) {
  std::vector<float> values;
  for (const auto& row : rows.as_array()) {
    for (const auto& value : row.as_array())
      values.push_back(static_cast<float>(value.as_double()));
  }
  const auto count = static_cast<int64_t>(rows.as_array().size());
  return torch::tensor(values).view({count, -1});
}

/// The largest difference between the probabilities of a module and those of Lightning's.
double difference(Module& module, const std::string& file) {
  const auto baseline = Value::from_json(test::read_file(kFolder.string() + ".json"));
  for (const auto& item : baseline.at("checkpoints").as_array()) {
    if (item.at("file").as_string() != file) continue;
    const auto outputs = module.predict(Batch({{"input", table(item.at("inputs"))}}));
    const auto& probabilities = outputs[1].second;
    return (probabilities - table(item.at("probabilities"))).abs().max().item<double>();
  }
  return INFINITY;
}

TEST(ForeignWeights, one_line_makes_a_module_from_a_checkpoint_of_lightning) {
  const auto regression = load_module<LogisticRegression>(kFolder / "logistic_regression.ckpt");
  EXPECT_LT(difference(*regression, "logistic_regression.ckpt"), 1e-6);
  EXPECT_FALSE(regression->is_training());
  EXPECT_TRUE(regression->is_trained());
  EXPECT_EQ(regression->learning_rate(), 0.05);
  // Its layers are net.0, net.2 and net.4 there, and it has a loss with a weight.
  ::testing::internal::CaptureStderr();
  const auto mlp = load_module<MLP>(kFolder / "mlp.ckpt");
  EXPECT_TRUE(says(::testing::internal::GetCapturedStderr(),
                   {"warning: ", "mlp.ckpt", "has no use for what is called loss.weight there"}));
  EXPECT_LT(difference(*mlp, "mlp.ckpt"), 1e-6);
}

TEST(ForeignWeights, settings_that_are_given_come_before_those_of_the_file) {
  const auto mlp =
      load_module<MLP>(kFolder / "mlp.ckpt", {.hidden_sizes = {5, 5}, .activation = "tanh"});
  EXPECT_EQ(mlp->hyper_parameters().at("in_features"), Value(4));  // from the file
  EXPECT_EQ(mlp->learning_rate(), 1e-3);
  EXPECT_LT(difference(*mlp, "mlp.ckpt"), 1e-6);
}

TEST(ForeignWeights, a_state_dict_of_any_type_of_numbers_fills_a_module_of_a_known_class) {
  const TemporaryFolder folder;
  StateDict weights;
  weights.tensors["module.fc.weight"] = torch::rand({3, 4}, torch::kDouble);
  weights.tensors["module.fc.bias"] = torch::rand({3}, torch::kDouble);
  save_torch_file(folder / "net.pt", weights);
  save_checkpoint(folder / "net.safetensors", weights);
  for (const char* name : {"net.pt", "net.safetensors"}) {
    const auto module =
        load_module<LogisticRegression>(folder / name, {.in_features = 4, .num_classes = 3});
    EXPECT_TRUE(same_bits(module->state_dict().tensor("linear.weight"),
                          weights.tensors.at("module.fc.weight")));
  }
}

TEST(ForeignWeights, a_checkpoint_of_levin_gives_all_settings_to_a_known_class) {
  const TemporaryFolder folder;
  MLP model({.in_features = 4, .num_classes = 3, .hidden_sizes = {6}, .activation = "gelu"});
  IrisDataModule data;
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .default_root_dir = folder.string()});
  trainer.fit(model, data);
  trainer.save_checkpoint(folder / "a.ckpt");
  const auto loaded = load_module<MLP>(folder / "a.ckpt");
  EXPECT_EQ(loaded->hyper_parameters(), model.hyper_parameters());
  EXPECT_TRUE(same_bits(loaded->state_dict().tensor("layer1.weight"),
                        model.state_dict().tensor("layer1.weight")));
  EXPECT_FALSE(loaded->data_state().empty());
  EXPECT_TRUE(
      says(message_of<ConfigError>([&] { load_module<LogisticRegression>(folder / "a.ckpt"); }),
           {"a.ckpt", "activation"}));
}

TEST(ForeignWeights, what_does_not_fit_is_listed_with_names_and_shapes) {
  const auto message = message_of<CheckpointError>([] {
    load_module<MLP>(kFolder / "mlp.ckpt", {.hidden_sizes = {5, 6}, .activation = "tanh"});
  });
  EXPECT_TRUE(says(message, {"mlp.ckpt",
                             "'layer1.weight' is Float [5, 5], the module's is Float "
                             "[6, 5]",
                             "'layer2.weight' is Float [3, 5], the module's is Float [3, 6]"}));
  EXPECT_TRUE(says(
      message_of<CheckpointError>([] { load_module<MLP>(kFolder / "logistic_regression.ckpt"); }),
      {"'layer0.weight' Float [32, 4] is missing", "'linear.weight' isn't in the module"}));
  EXPECT_TRUE(says(
      message_of<CheckpointError>([] { load_module<LogisticRegression>(kFolder / "module.pt"); }),
      {"the module has no parameters", "set these (in_features, num_classes ...)"}));
  EXPECT_TRUE(says(
      message_of<CheckpointError>([] { load_module(shipped_classes(), kFolder / "mlp.ckpt"); }),
      {"doesn't say which class its module is of", "load_into(module, path)"}));
}

TEST(ForeignWeights, the_trainer_predicts_and_tests_with_them) {
  const TemporaryFolder folder;
  Trainer trainer({.accelerator = "cpu", .default_root_dir = folder.string()});
  IrisDataModule data;
  LogisticRegression model({});  // the sizes are those of the checkpoint
  const auto path = (kFolder / "logistic_regression.ckpt").string();
  const auto predicted = trainer.predict(model, data, path);
  EXPECT_LT(difference(model, "logistic_regression.ckpt"), 1e-6);
  EXPECT_EQ(predicted[0].second.size(0), 150);
  MLP mlp({.hidden_sizes = {5, 5}, .activation = "tanh"});
  ::testing::internal::CaptureStderr();
  const auto metrics = trainer.test(mlp, data, (kFolder / "mlp.ckpt").string());
  EXPECT_TRUE(says(::testing::internal::GetCapturedStderr(), {"loss.weight"}));
  EXPECT_TRUE(metrics.contains("test_acc"));
  EXPECT_LT(difference(mlp, "mlp.ckpt"), 1e-6);
  // It has no state to go on from.
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { trainer.fit(model, data, path); }),
                   {"can't resume training from", "it holds weights only"}));
}

}  // namespace levin::foreign_weights_test
