#include <levin/framework/config/load_module.h>

#include <gtest/gtest.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/config/job.h>
#include <levin/framework/config/yaml.h>
#include <levin/framework/core/error.h>

#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::load_module_test {

using test::message_of;
using test::same_bits;
using test::says;

struct PointsNetOptions {
  int64_t units = 8;
  std::string activation = "tanh";
};
Fields describe(PointsNetOptions& o) {
  return fields_of<PointsNetOptions>(
      {{"units", &o.units, "hidden units"}, {"activation", &o.activation, "tanh or relu"}});
}

/// A class of a user's own, which says nothing of itself: the registry does.
class PointsNet : public Module {
 public:
  using Options = PointsNetOptions;
  explicit PointsNet(PointsNetOptions options)
      : options_(std::move(options)),
        hidden_(register_module("hidden", torch::nn::Linear(4, options_.units))),
        dropout_(register_module("dropout", torch::nn::Dropout(0.5))),
        output_(register_module("output", torch::nn::Linear(options_.units, 3))) {
    if (options_.activation != "tanh" && options_.activation != "relu") {
      throw ConfigError::unknown_name("activation", options_.activation, {"tanh", "relu"});
    }
  }
  torch::Tensor forward(const torch::Tensor& x) {
    auto hidden = hidden_(x);
    return output_(dropout_(options_.activation == "tanh" ? hidden.tanh() : hidden.relu()));
  }
  torch::Tensor training_step(const Batch& batch, Step&) override {
    return torch::cross_entropy_loss(forward(batch.input()), batch.target());
  }
  void validation_step(const Batch&, Step&) override {}
  NamedTensors predict(const Batch& batch) override { return {{"logits", forward(batch.input())}}; }
  Optimizers configure_optimizers() override { return SGD(parameters(), {.learning_rate = 0.1}); }

 protected:
  PointsNetOptions options_;

 private:
  torch::nn::Linear hidden_;
  torch::nn::Dropout dropout_;
  torch::nn::Linear output_;
};

/// The same, which says what it was made with and so need not come from a registry.
class OpenNet : public PointsNet {
 public:
  using PointsNet::PointsNet;
  Value hyper_parameters() const override {
    auto options = options_;
    return to_value(describe(options));
  }
};

Registry registry() {
  Registry classes;
  classes.models.add<PointsNet>("PointsNet");
  classes.models.add<OpenNet>("OpenNet");
  classes.models.add<PointsNet>("my-net");
  return classes;
}

/// As `model: {class_path: ..., init_args: ...}` makes one.
std::unique_ptr<Module> configured(const std::string& yaml) {
  ConfigNode root = parse_yaml(yaml, "test.yaml");
  normalise(root);
  return read_job(registry(), root).model->make();
}

/// Equal but for rounding, which depends on how many rows are multiplied at once.
bool is_close(const torch::Tensor& a, const torch::Tensor& b) {
  return a.allclose(b, /*rtol=*/1e-4, /*atol=*/1e-5);
}

class LoadModule : public ::testing::Test {
 protected:
  /// The checkpoint of a short fit.
  std::filesystem::path fit(Module& module) {
    Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .default_root_dir = root()});
    trainer.fit(module, data_);
    const auto path = folder_.path() / "fitted.ckpt";
    trainer.save_checkpoint(path);
    return path;
  }
  NamedTensors predict(Module& module) {
    Trainer trainer({.accelerator = "cpu", .default_root_dir = root()});
    return trainer.predict(module, data_);
  }
  Batch rows() const { return Batch({{"input", data_.val_data().tensors()[0].second}}); }
  std::string root() const { return folder_.path().string(); }

  test::TemporaryFolder folder_;
  test::PointsModule data_{40, {.batch_size = 8}};
};

TEST_F(LoadModule, makes_a_class_of_ones_own_from_the_checkpoint_alone) {
  auto module =
      configured("model: {class_path: PointsNet, init_args: {units: 5, activation: relu}}");
  const auto path = fit(*module);
  const auto loaded = load_module(registry(), path);
  ASSERT_NE(dynamic_cast<PointsNet*>(loaded.get()), nullptr);
  EXPECT_FALSE(loaded->is_training());
  EXPECT_EQ(loaded->class_name(), "PointsNet");
  EXPECT_EQ(loaded->hyper_parameters().at("units"), Value(5));
  EXPECT_EQ(loaded->hyper_parameters().at("activation"), Value("relu"));
  // No Trainer, Step or Run; dropout is off.
  EXPECT_TRUE(is_close(loaded->predict(rows())[0].second, predict(*module)[0].second));
  // It can be trained and saved again.
  loaded->train();
  EXPECT_TRUE(
      same_bits(load_module(registry(), fit(*loaded))->parameters()[0], loaded->parameters()[0]));
}

TEST_F(LoadModule, finds_the_class_under_the_name_it_is_registered_by) {
  auto module = configured("model: {class_path: my-net, init_args: {units: 2}}");
  const auto loaded = load_module(registry(), fit(*module));
  EXPECT_EQ(loaded->class_name(), "my-net");
}

TEST_F(LoadModule, makes_a_module_again_that_tells_its_settings_itself) {
  OpenNet module({.units = 6});
  const auto loaded = load_module(registry(), fit(module));
  ASSERT_NE(dynamic_cast<OpenNet*>(loaded.get()), nullptr);
  EXPECT_TRUE(is_close(loaded->predict(rows())[0].second, predict(module)[0].second));
}

TEST_F(LoadModule, parameters_have_the_type_they_were_saved_in) {
  OpenNet module({.units = 6});
  StateDict checkpoint;
  module.to(torch::kDouble);
  checkpoint.add("model", module.state_dict());
  checkpoint.values["module"] =
      to_value(ModuleDescription{.class_path = "OpenNet", .init_args = module.hyper_parameters()});
  const auto loaded = load_module(registry(), checkpoint, "a.ckpt");
  EXPECT_EQ(loaded->parameters()[0].scalar_type(), torch::kDouble);
  EXPECT_TRUE(same_bits(loaded->parameters()[0], module.parameters()[0]));
}

TEST_F(LoadModule,
       the_outline_is_enough_to_make_a_module_into_which_the_trainer_loads_the_weights) {
  auto module =
      configured("model: {class_path: PointsNet, init_args: {units: 5, activation: relu}}");
  const auto path = fit(*module);
  const auto made = make_module(registry(), load_checkpoint_outline(path), path.string());
  ASSERT_NE(dynamic_cast<PointsNet*>(made.get()), nullptr);
  EXPECT_EQ(made->hyper_parameters(), module->hyper_parameters());
  Trainer trainer({.accelerator = "cpu", .default_root_dir = root()});
  const auto predicted = trainer.predict(*made, data_, path.string());
  EXPECT_TRUE(same_bits(predicted[0].second, predict(*module)[0].second));

  module->to(torch::kDouble);
  StateDict wide;
  wide.add("model", module->state_dict());
  wide.values["module"] = load_checkpoint_outline(path).values.at("module");
  save_checkpoint(path, wide);
  const auto as_wide = make_module(registry(), load_checkpoint_outline(path), path.string());
  EXPECT_EQ(as_wide->parameters()[0].scalar_type(), torch::kDouble);
}

TEST_F(LoadModule, says_if_the_settings_are_not_known) {
  PointsNet module({.units = 6});  // by hand: nobody told it its name and settings
  const auto path = fit(module);
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { load_module(registry(), path); }),
                   {path.string(), "PointsNet", "hyper_parameters()"}));
}

TEST_F(LoadModule, says_if_the_file_is_none_of_ours) {
  const auto path = folder_.path() / "foreign.safetensors";
  save_checkpoint(path, PointsNet({.units = 8}).state_dict());
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { load_module(registry(), path); }),
                   {path.string(), "doesn't say which class"}));
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { load_module(registry(), "/nowhere.ckpt"); }),
                   {"/nowhere.ckpt"}));
}

TEST_F(LoadModule, names_the_nearest_class_if_the_registry_lacks_it) {
  OpenNet module({.units = 8});
  const auto path = fit(module);
  Registry others;
  others.models.add<PointsNet>("OpenNest");
  EXPECT_TRUE(says(message_of<ConfigError>([&] { load_module(others, path); }),
                   {path.string(), "unknown class 'OpenNet'", "'OpenNest'"}));
}

TEST_F(LoadModule, names_the_file_if_the_class_refuses_what_it_says) {
  const auto saved = [](const Value& settings) {
    StateDict checkpoint;
    checkpoint.add("model", PointsNet({.units = 8}).state_dict());
    checkpoint.values["module"] =
        to_value(ModuleDescription{.class_path = "PointsNet", .init_args = settings});
    return checkpoint;
  };
  const auto load = [&](const Value& settings) {
    return [&, settings] { load_module(registry(), saved(settings), "a.ckpt"); };
  };
  EXPECT_TRUE(says(message_of<ConfigError>(load(Value::Object{{"unit", 3}})),
                   {"'a.ckpt'", "unknown key 'unit'", "did you mean 'units'?"}));
  EXPECT_TRUE(says(message_of<ConfigError>(load(Value::Object{{"activation", "sin"}})),
                   {"'a.ckpt'", "unknown activation 'sin'"}));
  EXPECT_TRUE(says(message_of<CheckpointError>(load(Value::Object{{"units", 3}})),
                   {"'a.ckpt'", "hidden.weight"}));
}

}  // namespace levin::load_module_test
