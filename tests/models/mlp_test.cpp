#include <levin/models/mlp.h>

#include "models/support.h"

#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>

namespace levin::mlp_test {

using test::baseline;
using test::batch_of;
using test::labels_of;
using test::set;
using test::StepRunner;
using test::tensor_of;

constexpr double kExact = 1e-12;

/// The 4-3-2 net of the baseline in float64.
MLP baseline_net(const Value& expect, const std::string& activation) {
  MLP net({.in_features = 4,
           .num_classes = 2,
           .hidden_sizes = {3},
           .activation = activation,
           .learning_rate = expect.at("learning_rate").as_double(),
           .optimizer = "SGD"});
  net.to(torch::kDouble);
  for (int i = 0; i < 2; ++i) {
    const auto& layer = expect.at("layers").as_array()[static_cast<size_t>(i)];
    const auto name = "layer" + std::to_string(i);
    set(net, name + ".weight", tensor_of(layer.at("weight")));
    set(net, name + ".bias", tensor_of(layer.at("bias")));
  }
  return net;
}

// row 25
TEST(MLP, forward_gradients_and_a_step_are_pytorchs_for_each_activation) {
  const auto expect = baseline("mlp");
  const auto batch = batch_of(tensor_of(expect.at("x")), labels_of(expect.at("y")));
  ASSERT_EQ(expect.at("cases").as_array().size(), 5U);
  for (const auto& one : expect.at("cases").as_array()) {
    SCOPED_TRACE(one.at("activation").as_string());
    auto net = baseline_net(expect, one.at("activation").as_string());
    EXPECT_TENSORS_NEAR(net.forward(batch.input()), tensor_of(one.at("logits")), kExact);
    const auto loss = StepRunner().train(net, batch);
    EXPECT_NEAR(loss.item<double>(), one.at("loss").as_double(), kExact);
    loss.backward();
    const auto parameters = net.named_parameters();
    const auto check = [&](const char* what, auto value_of) {
      for (size_t i = 0; i < 2; ++i) {
        const auto& layer = one.at(what).as_array()[i];
        const auto name = "layer" + std::to_string(i);
        EXPECT_TENSORS_NEAR(value_of(parameters[name + ".weight"]), tensor_of(layer.at("weight")),
                            kExact);
        EXPECT_TENSORS_NEAR(value_of(parameters[name + ".bias"]), tensor_of(layer.at("bias")),
                            kExact);
      }
    };
    check("grads", [](const torch::Tensor& p) { return p.grad(); });
    auto optimizers = net.configure_optimizers();
    optimizers.entries().front().optimizer->step([&] { return loss; });
    check("after", [](const torch::Tensor& p) { return p; });
    EXPECT_TRUE(
        StepRunner().predict(net, batch)[0].second.equal(net.forward(batch.input()).argmax(1)));
  }
}

// row 25: 784-32-10 has 25,450 parameters, one weight and one bias a layer
TEST(MLP, hidden_sizes_make_the_layers_and_their_parameters) {
  for (const auto& one : baseline("mlp").at("parameter_counts").as_array()) {
    std::vector<int64_t> sizes;
    for (const auto& size : one.at("sizes").as_array()) sizes.push_back(size.as_int());
    MLP net({.in_features = sizes.front(),
             .num_classes = sizes.back(),
             .hidden_sizes = {sizes.begin() + 1, sizes.end() - 1},
             .bias = one.at("bias").as_bool()});
    EXPECT_EQ(net.num_parameters(), one.at("parameters").as_int());
    EXPECT_EQ(net.parameters().size(), static_cast<size_t>(one.at("tensors").as_int()));
  }
  EXPECT_EQ(MLP({.in_features = 784, .num_classes = 10, .hidden_sizes = {32}}).num_parameters(),
            25450);
}

TEST(MLP, starts_with_the_values_pytorch_would) {
  const Value seeded = baseline("mlp").at("seeded").as_array().at(1);
  seed_everything(static_cast<uint64_t>(seeded.at("seed").as_int()));
  MLP net({.in_features = 4, .num_classes = 2, .hidden_sizes = {3}});
  for (const auto& [name, value] : seeded.at("parameters").as_object()) {
    EXPECT_TENSORS_NEAR(net.named_parameters()["layer" + name], tensor_of(value), 0.0);
  }
}

TEST(MLP, every_activation_is_pytorchs) {
  const auto x = torch::linspace(-3, 3, 13, torch::kDouble).unsqueeze(1);
  const std::vector<std::pair<std::string, torch::Tensor>> expected = {
      {"relu", torch::relu(x)},
      {"tanh", torch::tanh(x)},
      {"sigmoid", torch::sigmoid(x)},
      {"gelu", torch::gelu(x)},
      {"leaky_relu", torch::where(x > 0, x, x * 0.01)},
      {"elu", torch::elu(x)},
      {"silu", x * torch::sigmoid(x)},
      {"identity", x}};
  for (const auto& [name, value] : expected) {
    SCOPED_TRACE(name);
    MLP net({.in_features = 1,
             .num_classes = 2,
             .hidden_sizes = {1},
             .activation = name,
             .bias = false});
    net.to(torch::kDouble);
    set(net, "layer0.weight", torch::ones({1, 1}));
    set(net, "layer1.weight", torch::ones({2, 1}));
    EXPECT_TENSORS_NEAR(net.forward(x).narrow(1, 0, 1), value, kExact);
  }
}

TEST(MLP, dropout_acts_in_training_only_and_keeps_the_mean) {
  seed_everything(1);
  MLP net({.in_features = 1,
           .num_classes = 2,
           .hidden_sizes = {1},
           .activation = "identity",
           .dropout = 0.25,
           .bias = false});
  set(net, "layer0.weight", torch::ones({1, 1}));
  set(net, "layer1.weight", torch::ones({2, 1}));
  const auto x = torch::ones({10000, 1});
  net.train();
  const auto dropped = net.forward(x).select(1, 0);
  EXPECT_NEAR(dropped.eq(0).to(torch::kDouble).mean().item<double>(), 0.25, 0.02);
  EXPECT_NEAR(dropped.mean().item<double>(), 1.0, 0.03);
  net.eval();
  EXPECT_TRUE(net.forward(x).select(1, 0).equal(torch::ones({10000})));
}

TEST(MLP, penalties_are_of_the_weights_alone) {
  MLP net({.in_features = 4,
           .num_classes = 3,
           .hidden_sizes = {5},
           .l1_strength = 0.5,
           .l2_strength = 0.25});
  const auto p = net.named_parameters();
  const auto sum = [&](auto f) {
    return (f(p["layer0.weight"]).sum() + f(p["layer1.weight"]).sum()).template item<double>();
  };
  const double expected = 0.5 * sum([](const torch::Tensor& w) { return w.abs(); }) +
                          0.25 * sum([](const torch::Tensor& w) { return w.square(); });
  EXPECT_NEAR(net.penalty().item<double>(), expected, 1e-5);
  net.penalty().backward();
  EXPECT_FALSE(p["layer0.bias"].grad().defined());
  EXPECT_TRUE(p["layer0.weight"].grad().defined());
  EXPECT_FALSE(MLP({.in_features = 4, .num_classes = 3}).penalty().defined());
}

TEST(MLP, options_that_cannot_be_are_refused) {
  const auto make = [](MLPOptions options) { MLP net(std::move(options)); };
  EXPECT_THROW(make({.in_features = -4, .num_classes = 3}), ConfigError);
  EXPECT_THROW(make({.in_features = 4, .num_classes = 1}), ConfigError);
  EXPECT_THROW(make({.in_features = 4, .num_classes = 3, .hidden_sizes = {8, 0}}), ConfigError);
  EXPECT_THROW(make({.in_features = 4, .num_classes = 3, .dropout = 1.0}), ConfigError);
  EXPECT_THROW(make({.in_features = 4, .num_classes = 3, .dropout = -0.1}), ConfigError);
  try {
    make({.in_features = 4, .num_classes = 3, .activation = "rleu"});
    ADD_FAILURE() << "an unknown activation was taken";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("relu"), std::string::npos) << error.what();
  }
}

}  // namespace levin::mlp_test
