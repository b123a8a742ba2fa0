#include <gtest/gtest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/loggers/module_graph.h>
#include <levin/framework/run/module.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>
#include <torch/torch.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "framework/message_of.h"

namespace levin::test::module_graph_test {

using Lines = std::vector<std::string>;
using Attributes = std::vector<std::pair<std::string, std::string>>;

/// Each node as "name = op(inputs) [shapes]".
Lines lines_of_graph(Module& module, const Batch& input) {
  Lines lines;
  for (const auto& node : module_graph(module, input)) {
    std::string shapes;
    for (const auto& shape : node.shapes) {
      shapes += shape ? fmt::format(" [{}]", fmt::join(*shape, ", ")) : " ?";
    }
    lines.push_back(
        fmt::format("{} = {}({}){}", node.name, node.op, fmt::join(node.inputs, ", "), shapes));
  }
  return lines;
}

/// Those of the lines that aren't of parameters or buffers.
Lines without_parameters(const Lines& lines) {
  Lines others;
  for (const auto& line : lines) {
    const bool is_one = line.find(" = parameter(") != std::string::npos ||
                        line.find(" = buffer(") != std::string::npos;
    if (!is_one) others.push_back(line);
  }
  return others;
}

Batch batch_of(const torch::Tensor& x) { return Batch({{"x", x}}); }

/// A small net whose parts are made by a function of the test.
class Net : public Module {
 public:
  using Predict = std::function<NamedTensors(const torch::Tensor&)>;
  void set_predict(Predict predict) { predict_ = std::move(predict); }
  NamedTensors predict(const Batch& batch) override { return predict_(batch.input()); }

 private:
  Predict predict_;
};

TEST(ModuleGraph, HasTheNodesAndEdgesOfAnMlp) {
  MLP model({.in_features = 4, .num_classes = 3, .hidden_sizes = {5}});
  const Batch input({{"input", torch::ones({2, 4})}, {"target", torch::zeros({2}, torch::kLong)}});
  EXPECT_EQ(
      lines_of_graph(model, input),
      (Lines{"input/input = input() [2, 4]", "layer0/weight = parameter() [5, 4]",
             "layer0/bias = parameter() [5]", "layer1/weight = parameter() [3, 5]",
             "layer1/bias = parameter() [3]", "to = aten::to(input/input) [2, 4]",
             "layer0/linear = aten::linear(to, layer0/weight, layer0/bias) [2, 5]",
             "relu = aten::relu(layer0/linear) [2, 5]",
             "layer1/linear = aten::linear(relu, layer1/weight, layer1/bias) [2, 3]",
             "argmax = aten::argmax(layer1/linear) [2]",
             "softmax = aten::softmax(layer1/linear) [2, 3]", "to_1 = aten::to(softmax) [2, 3]",
             "output/class = output(argmax) [2]", "output/probability = output(to_1) [2, 3]"}));
}

TEST(ModuleGraph, ShowsLargeProductsOfShippedModelsAsOneOperation) {
  LogisticRegression model({.in_features = 784, .num_classes = 10});
  EXPECT_EQ(lines_of_graph(model, batch_of(torch::rand({4096, 784}))),
            (Lines{"input/x = input() [4096, 784]", "linear/weight = parameter() [10, 784]",
                   "linear/bias = parameter() [10]", "to = aten::to(input/x) [4096, 784]",
                   "linear/linear = aten::linear(to, linear/weight, linear/bias) [4096, 10]",
                   "argmax = aten::argmax(linear/linear) [4096]",
                   "softmax = aten::softmax(linear/linear) [4096, 10]",
                   "to_1 = aten::to(softmax) [4096, 10]", "output/class = output(argmax) [4096]",
                   "output/probability = output(to_1) [4096, 10]"}));
}

TEST(ModuleGraph, ShowsTheFirstOfSparseRowsAsADenseOne) {
  LogisticRegression model({.in_features = 3, .num_classes = 2});
  const auto x = torch::tensor({{0.0, 1.0, 0.0}, {2.0, 0.0, 0.0}}, torch::kFloat);
  EXPECT_EQ(
      lines_of_graph(model, batch_of(x.to_sparse_csr())),
      (Lines{"input/x = input() [1, 3]", "linear/weight = parameter() [1, 3]",
             "linear/bias = parameter() [1]", "to = aten::to(input/x) [1, 3]",
             "linear/linear = aten::linear(to, linear/weight, linear/bias) [1, 1]",
             "reshape = aten::reshape(linear/linear) [1]", "gt = aten::gt(reshape) [1]",
             "to_1 = aten::to(gt) [1]", "reshape_1 = aten::reshape(linear/linear) [1]",
             "neg = aten::neg(reshape_1) [1]", "sigmoid = aten::sigmoid(neg) [1]",
             "sigmoid_1 = aten::sigmoid(reshape_1) [1]",
             "stack = aten::stack(sigmoid, sigmoid_1) [1, 2]", "to_2 = aten::to(stack) [1, 2]",
             "output/class = output(to_1) [1]", "output/probability = output(to_2) [1, 2]"}));
}

TEST(ModuleGraph, GroupsOperationsWithoutParametersWithTheirNeighbours) {
  Net net;
  torch::nn::Sequential body = net.register_module(
      "body", torch::nn::Sequential(torch::nn::Linear(4, 4), torch::nn::ReLU(),
                                    torch::nn::Linear(4, 4), torch::nn::Tanh()));
  torch::nn::Linear head = net.register_module("head", torch::nn::Linear(4, 2));
  net.set_predict([&](const torch::Tensor& x) {
    return NamedTensors{{"out", torch::sigmoid(head(body->forward(x)))}};
  });
  EXPECT_EQ(
      without_parameters(lines_of_graph(net, batch_of(torch::ones({3, 4})))),
      (Lines{"input/x = input() [3, 4]", "body/0/t = aten::t(body/0/weight) [4, 4]",
             "body/0/addmm = aten::addmm(body/0/bias, input/x, body/0/t) [3, 4]",
             "body/relu = aten::relu(body/0/addmm) [3, 4]",
             "body/2/t = aten::t(body/2/weight) [4, 4]",
             "body/2/addmm = aten::addmm(body/2/bias, body/relu, body/2/t) [3, 4]",
             "tanh = aten::tanh(body/2/addmm) [3, 4]", "head/t = aten::t(head/weight) [4, 2]",
             "head/addmm = aten::addmm(head/bias, tanh, head/t) [3, 2]",
             "sigmoid = aten::sigmoid(head/addmm) [3, 2]", "output/out = output(sigmoid) [3, 2]"}));
}

TEST(ModuleGraph, FollowsListsAndOperationsOfSeveralOutputs) {
  Net net;
  torch::nn::LSTM lstm = net.register_module("lstm", torch::nn::LSTM(2, 3));
  net.set_predict([&](const torch::Tensor& x) {
    const auto [out, state] = lstm->forward(x);
    const auto parts = out.chunk(3, 2);
    return NamedTensors{{"a b", torch::cat({parts[2], parts[0]}, 2)}, {"h", std::get<0>(state)}};
  });
  EXPECT_EQ(
      without_parameters(lines_of_graph(net, batch_of(torch::ones({5, 1, 2})))),
      (Lines{"input/x = input() [5, 1, 2]", "lstm/zeros = aten::zeros() [1, 1, 3]",
             "lstm/zeros_1 = aten::zeros() [1, 1, 3]",
             "lstm/lstm = aten::lstm(input/x, lstm/zeros, lstm/zeros_1, lstm/weight_ih_l0, "
             "lstm/weight_hh_l0, lstm/bias_ih_l0, lstm/bias_hh_l0) [5, 1, 3] [1, 1, 3] [1, 1, 3]",
             "chunk = aten::chunk(lstm/lstm) [5, 1, 1] [5, 1, 1] [5, 1, 1]",
             "cat = aten::cat(chunk:2, chunk) [5, 1, 2]", "output/a_b = output(cat) [5, 1, 2]",
             "output/h = output(lstm/lstm:1) [1, 1, 3]"}));
}

TEST(ModuleGraph, ShowsBuffersAndTensorsOfTheCode) {
  Net net;
  torch::nn::BatchNorm1d norm = net.register_module("norm", torch::nn::BatchNorm1d(2));
  const auto scale = torch::ones({2});
  net.set_predict([&](const torch::Tensor& x) { return NamedTensors{{"out", norm(x) * scale}}; });
  EXPECT_EQ(lines_of_graph(net, batch_of(torch::ones({3, 2}))),
            (Lines{"input/x = input() [3, 2]", "norm/weight = parameter() [2]",
                   "norm/bias = parameter() [2]", "norm/running_mean = buffer() [2]",
                   "norm/running_var = buffer() [2]",
                   "norm/batch_norm = aten::batch_norm(input/x, norm/weight, norm/bias, "
                   "norm/running_mean, norm/running_var) [3, 2]",
                   "constant = constant() [2]", "mul = aten::mul(norm/batch_norm, constant) [3, 2]",
                   "output/out = output(mul) [3, 2]"}));
}

TEST(ModuleGraph, NumbersThatAnOperationGetsAreItsAttributes) {
  Net net;
  net.set_predict([&](const torch::Tensor& x) { return NamedTensors{{"out", x.softmax(1)}}; });
  const auto nodes = module_graph(net, batch_of(torch::ones({3, 2})));
  ASSERT_EQ(nodes.size(), 3U);
  EXPECT_EQ(nodes[1].attributes, (Attributes{{"dim", "1"}}));
}

TEST(ModuleGraph, WhatTheTracerCannotFollowIsSaid) {
  Net net;
  const auto copy = [](const torch::Tensor& x) {  // by no operation of LibTorch
    auto* numbers = x.data_ptr<float>();
    return torch::from_blob(numbers, {x.size(0)}).clone();
  };
  net.set_predict([&](const torch::Tensor& x) { return NamedTensors{{"out", copy(x)}}; });
  const auto message =
      message_of<ModuleError>([&] { module_graph(net, batch_of(torch::ones({2}))); });
  EXPECT_TRUE(says(message, {"none of its outputs follows from its input"})) << message;
  net.set_predict([&](const torch::Tensor& x) {
    return NamedTensors{
        {"seen", x.exp()}, {"constant", copy(x)}, {"unseen", torch::from_blob(x.data_ptr(), {2})}};
  });
  EXPECT_EQ(
      lines_of_graph(net, batch_of(torch::ones({2}))),
      (Lines{"input/x = input() [2]", "exp = aten::exp(input/x) [2]", "constant = constant() [2]",
             "clone = aten::clone(constant) [2]", "output/seen = output(exp) [2]",
             "output/constant = output(clone) [2]", "output/unseen = output()"}));
}

TEST(ModuleGraph, ANumberThatTheHostReadsIsAnAttributeAndNothingIsPrinted) {
  Net net;
  net.set_predict([&](const torch::Tensor& x) {
    const c10::InferenceMode inference;
    return NamedTensors{{"out", x * x.sum().item<float>()}};
  });
  ::testing::internal::CaptureStderr();
  const auto nodes = module_graph(net, batch_of(torch::ones({2})));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  ASSERT_EQ(nodes.size(), 3U);
  EXPECT_EQ(nodes[1].inputs, (Lines{"input/x"}));
  EXPECT_EQ(nodes[1].attributes, (Attributes{{"other", "2."}}));
}

TEST(ModuleGraph, ANameIsTakenOnce) {
  Net net;
  torch::nn::Linear relu = net.register_module("relu", torch::nn::Linear(2, 2));
  net.set_predict([&](const torch::Tensor& x) {
    return NamedTensors{{"out", torch::relu(torch::relu(relu(torch::relu(x))))}};
  });
  EXPECT_EQ(without_parameters(lines_of_graph(net, batch_of(torch::ones({2})))),
            (Lines{"input/x = input() [2]", "relu_1 = aten::relu(input/x) [2]",
                   "relu/t = aten::t(relu/weight) [2, 2]",
                   "relu/matmul = aten::matmul(relu_1, relu/t) [2]",
                   "relu/add_ = aten::add_(relu/matmul, relu/bias) [2]",
                   "relu_2 = aten::relu(relu/add_) [2]", "relu_3 = aten::relu(relu_2) [2]",
                   "output/out = output(relu_3) [2]"}));
}

TEST(ModuleGraph, LeavesTheModuleAndTheGeneratorsAsTheyWere) {
  Net net;
  torch::nn::Dropout dropout = net.register_module("dropout", torch::nn::Dropout(0.5));
  torch::nn::BatchNorm1d norm = net.register_module("norm", torch::nn::BatchNorm1d(2));
  norm->eval();
  bool was_training = true;
  bool fails = false;
  net.set_predict([&](const torch::Tensor& x) {
    was_training = net.is_training() || dropout->is_training();
    if (fails) throw std::runtime_error("no weights");
    return NamedTensors{{"out", dropout(norm(x)) + torch::rand({2})}};
  });
  const auto generator = at::detail::getDefaultCPUGenerator();
  const auto before = generator.get_state();
  const auto expect_unchanged = [&] {
    EXPECT_FALSE(was_training);
    EXPECT_TRUE(net.is_training());
    EXPECT_TRUE(dropout->is_training());
    EXPECT_FALSE(norm->is_training());
    EXPECT_TRUE(torch::equal(generator.get_state(), before));
    EXPECT_TRUE(torch::GradMode::is_enabled());
    EXPECT_TRUE((norm->weight * 2).requires_grad());
    EXPECT_FALSE(norm->weight.grad().defined());
  };
  module_graph(net, batch_of(torch::ones({3, 2})));
  expect_unchanged();
  fails = true;
  EXPECT_EQ(message_of<std::runtime_error>([&] {
              module_graph(net, batch_of(torch::ones({3, 2})));
            }),
            "no weights");
  expect_unchanged();
}

}  // namespace levin::test::module_graph_test
