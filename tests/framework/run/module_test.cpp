#include <levin/framework/run/module.h>

#include <gtest/gtest.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/config/registry.h>
#include <levin/framework/core/error.h>
#include <levin/framework/run/run_control.h>

#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::module_test {

namespace nn = torch::nn;
using test::message_of;
using test::same_bits;
using test::says;

/// Two layers with one weight.
class Tied : public Module {
 public:
  struct Layer : nn::Module {
    explicit Layer(const torch::Tensor& w) : weight(register_parameter("weight", w)) {}
    torch::Tensor weight;
  };
  Tied()
      : encoder(register_module("encoder", std::make_shared<Layer>(torch::randn({4, 4})))),
        decoder(register_module("decoder", std::make_shared<Layer>(encoder->weight))) {}
  std::shared_ptr<Layer> encoder;
  std::shared_ptr<Layer> decoder;
};

std::vector<std::string> names(const StateDict& state) {
  std::vector<std::string> result;
  for (const auto& [name, tensor] : state.tensors) result.push_back(name);
  return result;
}

TEST(ModuleState, names_parameters_and_buffers_by_their_path) {
  class Small : public Module {
   public:
    Small() {
      register_module("norm", nn::BatchNorm1d(2));
      register_module(
          "plain",
          nn::BatchNorm1d(nn::BatchNorm1dOptions(2).affine(false).track_running_stats(false)));
      register_module("linear", nn::Linear(nn::LinearOptions(2, 2).bias(false)));
      register_parameter("own", torch::zeros({1}));
    }
  };
  const Small module;  // on the stack
  EXPECT_EQ(
      names(module.state_dict()),
      (std::vector<std::string>{"linear.weight", "norm.bias", "norm.num_batches_tracked",
                                "norm.running_mean", "norm.running_var", "norm.weight", "own"}));
  for (const auto& [name, tensor] : module.state_dict().tensors) {
    EXPECT_FALSE(tensor.requires_grad()) << name;
  }
}

TEST(ModuleState, tied_parameters_are_there_once_under_their_first_name) {
  const Tied module;
  EXPECT_EQ(names(module.state_dict()), std::vector<std::string>{"encoder.weight"});
  EXPECT_EQ(module.num_parameters(), 16);
}

TEST(ModuleState, comes_back_with_the_same_bits_and_keeps_ties) {
  Tied source;
  Tied target;
  target.load_state_dict(source.state_dict().clone());
  EXPECT_TRUE(same_bits(target.encoder->weight, source.encoder->weight));
  EXPECT_EQ(target.decoder->weight.data_ptr(), target.encoder->weight.data_ptr());
  EXPECT_NE(target.encoder->weight.data_ptr(), source.encoder->weight.data_ptr());
}

TEST(ModuleState, a_tied_parameter_is_taken_by_any_of_its_names) {
  const Tied source;
  const auto weight = source.encoder->weight.detach();
  for (const auto& names : {std::vector<std::string>{"decoder.weight"},
                            std::vector<std::string>{"encoder.weight", "decoder.weight"}}) {
    Tied target;
    StateDict state;
    for (const auto& name : names) state.tensors[name] = weight;
    target.load_state_dict(state);
    EXPECT_TRUE(same_bits(target.encoder->weight, weight));
  }
}

TEST(ModuleState, is_a_view_of_the_module_and_loading_copies) {
  test::Classifier source;
  test::Classifier target;
  const StateDict state = source.state_dict();
  target.load_state_dict(state);
  {
    const torch::NoGradGuard no_grad;
    source.named_parameters()["hidden.weight"].zero_();
  }
  EXPECT_EQ(state.tensor("hidden.weight").abs().sum().item<float>(), 0.0F);
  EXPECT_GT(target.state_dict().tensor("hidden.weight").abs().sum().item<float>(), 0.0F);
  EXPECT_TRUE(target.named_parameters()["hidden.weight"].requires_grad());
  EXPECT_TRUE(target.named_parameters()["hidden.weight"].is_leaf());
}

TEST(ModuleLoad, a_mismatch_lists_everything_and_changes_nothing) {
  test::Classifier module;
  const StateDict before = module.state_dict().clone();
  StateDict state = test::Classifier().state_dict().clone();
  state.tensors.erase("output.bias");
  state.tensors["hidden.weight"] = torch::zeros({16, 5});
  state.tensors["output.weight"] = torch::zeros({3, 16}, torch::kDouble);
  state.tensors["extra"] = torch::zeros({2});
  const auto message = message_of<CheckpointError>([&] { module.load_state_dict(state); });
  EXPECT_TRUE(says(message, {"'output.bias' Float [3] is missing",
                             "'hidden.weight' is Float [16, 5], the module's is Float [16, 4]",
                             "'output.weight' is Double [3, 16], the module's is Float [3, 16]",
                             "'extra' isn't in the module"}));
  for (const auto& [name, tensor] : before.tensors) {
    EXPECT_TRUE(same_bits(module.state_dict().tensor(name), tensor)) << name;
  }
}

TEST(ModuleLoad, takes_what_fits_where_not_strict) {
  test::Classifier module;
  const StateDict before = module.state_dict().clone();
  StateDict state;
  state.tensors["hidden.bias"] = torch::full({16}, 3.0);
  state.tensors["hidden.weight"] = torch::zeros({16, 5});
  state.tensors["extra"] = torch::zeros({2});
  module.load_state_dict(state, /*strict=*/false);
  EXPECT_TRUE(same_bits(module.state_dict().tensor("hidden.bias"), torch::full({16}, 3.0)));
  EXPECT_TRUE(
      same_bits(module.state_dict().tensor("hidden.weight"), before.tensor("hidden.weight")));
}

TEST(ModuleLoad, an_empty_state_is_refused_for_a_module_with_weights) {
  test::Classifier module;
  EXPECT_THROW(module.load_state_dict({}), CheckpointError);
  class Empty : public Module {};
  Empty empty;
  empty.load_state_dict({});
  EXPECT_EQ(empty.num_parameters(), 0);
}

TEST(ModuleLoad, works_after_a_move_to_another_type) {
  test::Classifier module;
  module.to(torch::kDouble);
  test::Classifier other;
  other.to(torch::kDouble);
  other.load_state_dict(module.state_dict());
  EXPECT_TRUE(same_bits(other.state_dict().tensor("output.bias"),
                        module.state_dict().tensor("output.bias")));
}

TEST(ModuleLoad, takes_the_modules_part_of_a_whole_checkpoint) {
  const test::TemporaryFolder folder;
  const auto path = folder / "whole.ckpt";
  test::Classifier trained;
  test::PointsModule data(20, {.batch_size = 10});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .default_root_dir = folder.string()});
  trainer.fit(trained, data);
  trainer.save_checkpoint(path);
  test::Classifier module;
  module.load_state_dict(load_checkpoint(path));
  EXPECT_TRUE(same_bits(module.state_dict().tensor("hidden.weight"),
                        trained.state_dict().tensor("hidden.weight")));

  const auto outline =
      message_of<CheckpointError>([&] { module.load_state_dict(load_checkpoint_outline(path)); });
  EXPECT_TRUE(says(outline, {"'hidden.weight' has no data", "load_checkpoint"}));
  Adam optimizer(module.parameters(), {});
  const auto whole =
      message_of<CheckpointError>([&] { optimizer.load_state_dict(load_checkpoint(path)); });
  EXPECT_TRUE(says(whole, {"whole checkpoint", "child(\"optimizer\").child(\"0\")"}));
}

TEST(ModuleLoad, a_trainer_takes_a_file_of_weights_alone) {
  const test::TemporaryFolder folder;
  const auto path = folder / "weights.safetensors";
  test::PointsModule data(20, {.batch_size = 10});
  test::Classifier source;
  save_checkpoint(path, source.state_dict());
  test::Classifier module;
  Trainer trainer({.accelerator = "cpu", .default_root_dir = folder.string()});
  trainer.test(module, data, path.string());
  EXPECT_TRUE(same_bits(module.state_dict().tensor("hidden.weight"),
                        source.state_dict().tensor("hidden.weight")));
}

/// A net whose middle layer, with a normalisation, has two names.
class Twice : public Module {
 public:
  Twice()
      : middle(register_module("first", nn::Linear(4, 4))),
        norm(register_module("norm", nn::BatchNorm1d(4))) {
    register_module("second", middle);
    register_module("same_norm", norm);
  }
  torch::Tensor training_step(const Batch& batch, Step&) override {
    const auto outputs = norm(middle(middle(batch.input()))).sum(1);
    return torch::mse_loss(outputs, batch.target().to(torch::kFloat));
  }
  Optimizers configure_optimizers() override {
    if (torch_sgd) return {std::make_unique<torch::optim::SGD>(parameters(), 0.1)};
    return SGD(parameters(), {.learning_rate = 0.1});
  }
  nn::Linear middle;
  nn::BatchNorm1d norm;
  bool torch_sgd = false;
};

TEST(ModuleParameters, a_layer_that_is_registered_twice_is_one_parameter) {
  const Twice module;
  EXPECT_EQ(module.parameters().size(), 4U);
  EXPECT_EQ(module.named_parameters().keys(),
            (std::vector<std::string>{"first.weight", "first.bias", "norm.weight", "norm.bias"}));
  EXPECT_EQ(module.buffers().size(), 3U);
  EXPECT_EQ(module.num_parameters(), 28);
  EXPECT_EQ(Tied().named_parameters().keys(), std::vector<std::string>{"encoder.weight"});
}

TEST(ModuleParameters, a_layer_that_is_registered_twice_is_trained_once_a_step) {
  std::vector<torch::Tensor> weights;
  Twice start;
  for (const bool torch_sgd : {false, true}) {
    Twice module;
    module.load_state_dict(start.state_dict());
    module.torch_sgd = torch_sgd;
    test::PointsModule data(20, {.batch_size = 10});
    Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .limit_val_batches = 0});
    trainer.fit(module, data);
    weights.push_back(module.middle->weight.detach().clone());
  }
  EXPECT_TRUE(torch::allclose(weights[0], weights[1]));
  EXPECT_FALSE(torch::allclose(weights[0], start.middle->weight));
}

TEST(ModuleCount, counts_all_or_trainable_parameters_and_no_buffers) {
  class Counted : public Module {
   public:
    Counted() {
      register_module("linear", nn::Linear(10, 5));  // 55
      register_parameter("frozen", torch::zeros({7}), /*requires_grad=*/false);
      register_buffer("buffer", torch::zeros({100}));
    }
  };
  const Counted module;
  EXPECT_EQ(module.num_parameters(), 62);
  EXPECT_EQ(module.num_parameters(/*trainable_only=*/true), 55);
}

TEST(ModuleDefaults, a_step_that_is_not_written_is_named) {
  class Empty : public Module {};
  Empty module;
  RunControl run;
  LoggedValues metrics;
  StepControl step(run, metrics, true);
  const Batch batch;
  EXPECT_TRUE(says(message_of<ModuleError>([&] { module.training_step(batch, step); }),
                   {"training_step", "override"}));
  EXPECT_TRUE(says(message_of<ModuleError>([&] { module.validation_step(batch, step); }),
                   {"validation_step", "override"}));
  EXPECT_TRUE(says(message_of<ModuleError>([&] { module.test_step(batch, step); }),
                   {"test_step", "override"}));
  EXPECT_TRUE(says(message_of<ModuleError>([&] { module.predict_step(batch, step); }),
                   {"predict_step", "override"}));
  EXPECT_TRUE(
      says(message_of<ModuleError>([&] { module.predict(batch); }), {"predict", "override"}));
  EXPECT_TRUE(module.configure_optimizers().empty());
  EXPECT_TRUE(module.hyper_parameters().as_object().empty());
}

TEST(ModuleDefaults, predict_step_returns_what_predict_returns) {
  class Doubling : public Module {
   public:
    NamedTensors predict(const Batch& batch) override { return {{"twice", batch.input() * 2}}; }
  };
  Doubling module;
  RunControl run;
  LoggedValues metrics;
  StepControl step(run, metrics, false);
  const Batch batch({{"input", torch::ones({2, 3})}});
  const NamedTensors outputs = module.predict_step(batch, step);
  ASSERT_EQ(outputs.size(), 1U);
  EXPECT_EQ(outputs[0].first, "twice");
  EXPECT_TRUE(same_bits(outputs[0].second, torch::full({2, 3}, 2.0F)));
}

class Named : public Module {};
template <class T>
class Holder : public Module {};

TEST(ModuleDefaults, class_name_is_that_of_the_type_without_its_namespaces) {
  class Local : public Module {};
  EXPECT_EQ(Named().class_name(), "Named");
  EXPECT_EQ(Local().class_name(), "Local");
  EXPECT_EQ(Holder<Named>().class_name(), "Holder<levin::module_test::Named>");
}

struct SizedOptions {
  int64_t units = 1;
  double scale = 0.5;
};
Fields describe(SizedOptions& o) {
  return fields_of<SizedOptions>({{"units", &o.units, "size"}, {"scale", &o.scale, "factor"}});
}
class Sized : public Module {
 public:
  using Options = SizedOptions;
  explicit Sized(SizedOptions) {}
};

TEST(ModuleDefaults, a_registry_names_the_class_and_its_settings) {
  Registry registry;
  registry.models.add<Sized>("mine");
  const auto module =
      registry.models.make("mine", Value::Object{{"units", 3}}, registry.optimizers);
  EXPECT_EQ(module->class_name(), "mine");
  EXPECT_EQ(module->hyper_parameters(), Value(Value::Object{{"units", 3}, {"scale", 0.5}}));

  auto draft = registry.models.at("mine").draft();
  from_value(draft.fields, Value::Object{{"units", 4}}, "mine");
  EXPECT_EQ(draft.make(registry.optimizers)->hyper_parameters().at("units"), Value(4));
  EXPECT_EQ(Sized(SizedOptions{}).class_name(), "Sized");  // made by hand
}

TEST(ModuleDefaults, backward_fills_gradients_and_optimizer_step_steps) {
  test::Classifier module;
  auto x = torch::ones({2, 4});
  module.backward(module.forward(x).sum());
  EXPECT_TRUE(module.named_parameters()["hidden.weight"].grad().defined());
  SGD optimizer(module.parameters(), {.learning_rate = 0.5});
  int calls = 0;
  module.optimizer_step(optimizer, [&] {
    ++calls;
    return module.forward(x).sum();
  });
  EXPECT_EQ(calls, 1);
}

}  // namespace levin::module_test
