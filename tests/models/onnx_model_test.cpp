#include <levin/models/onnx_model.h>

#include <gtest/gtest.h>

#include <fstream>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/models/linear_regression.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/many_regressions.h>
#include <levin/models/mlp.h>

#include "framework/message_of.h"
#include "framework/python.h"
#include "framework/support.h"

namespace levin::onnx_model_test {

using test::message_of;
using test::says;
using test::TemporaryFolder;

Value to_lists(const torch::Tensor& tensor) {
  if (tensor.dim() == 0) {
    return tensor.is_floating_point() ? Value(tensor.item<double>())
                                      : Value(tensor.item<int64_t>());
  }
  Value::Array list;
  for (int64_t i = 0; i < tensor.size(0); ++i) list.push_back(to_lists(tensor[i]));
  return list;
}

/// The largest difference between the numbers of two nested lists of the same form.
double distance(const Value& a, const Value& b) {
  if (!a.is_array() || !b.is_array()) return std::abs(a.as_double() - b.as_double());
  if (a.as_array().size() != b.as_array().size()) return INFINITY;
  double largest = 0.0;
  for (size_t i = 0; i < a.as_array().size(); ++i) {
    largest = std::max(largest, distance(a.as_array()[i], b.as_array()[i]));
  }
  return largest;
}

class Own : public MLP {
 public:
  using MLP::MLP;
};

/// Writes models and the rows they are asked for, and remembers what Levin predicts for these.
class OnnxModel : public ::testing::Test {
 protected:
  void add(const std::string& name, Module& module, const torch::Tensor& rows,
           const OnnxOptions& options = {}) {
    module.eval();
    files::write_atomically(folder_ / (name + ".onnx"), onnx_model(module, options));
    files::write_atomically(folder_ / (name + ".json"), to_lists(rows).to_json());
    auto input = rows;
    if (options.mean.defined()) input = input.to(torch::kDouble) - options.mean;
    if (options.deviation.defined()) input = input.to(torch::kDouble) / options.deviation;
    expected_[name] = module.predict(Batch({{"input", input.to(rows.scalar_type())}}));
  }

  TemporaryFolder folder_;
  std::map<std::string, NamedTensors> expected_;
};

TEST_F(OnnxModel, onnxruntime_computes_what_levin_predicts) {
  torch::manual_seed(3);
  const auto rows = torch::randn({7, 4}) * 3.0;
  for (const char* activation :
       {"relu", "tanh", "sigmoid", "gelu", "leaky_relu", "elu", "silu", "identity"}) {
    MLP mlp({.in_features = 4,
             .num_classes = 3,
             .hidden_sizes = {6, 5},
             .activation = activation,
             .dropout = 0.5});
    add(std::string("mlp_") + activation, mlp, rows);
  }
  MLP images({.in_features = 12, .num_classes = 2, .hidden_sizes = {}, .bias = false});
  add("images", images, torch::randn({5, 3, 2, 2}), {.row_shape = {3, 2, 2}});
  LogisticRegression binary({.in_features = 4, .num_classes = 2});
  add("binary", binary, rows,
      {.mean = torch::randn({4}, torch::kDouble),
       .deviation = torch::rand({4}, torch::kDouble) + 0.5,
       .class_names = {"no", "yes"}});
  LogisticRegression softmax({.in_features = 4, .num_classes = 5});
  add("softmax", softmax, rows, {.deviation = torch::rand({4}, torch::kDouble) + 0.5});
  LogisticRegression rest({.in_features = 4, .num_classes = 3, .multi_class = "ovr"});
  add("rest", rest, rows * 20.0);
  LogisticRegression exact({.in_features = 4, .num_classes = 3});
  exact.to(torch::kDouble);
  add("exact", exact, rows.to(torch::kDouble));
  for (const char* activation : {"gelu", "elu"}) {
    MLP mlp({.in_features = 4, .num_classes = 3, .activation = activation});
    mlp.to(torch::kDouble);
    add(std::string("double_") + activation, mlp, rows.to(torch::kDouble));
  }
  LogisticRegression double_rest({.in_features = 4, .num_classes = 3, .multi_class = "ovr"});
  double_rest.to(torch::kDouble);
  add("double_rest", double_rest, rows.to(torch::kDouble));
  LinearRegression value({.in_features = 4, .out_features = 1});
  add("value", value, rows);
  LinearRegression values({.in_features = 4, .out_features = 3, .bias = false});
  add("values", values, rows);

  const auto result = test::run_python("onnx_run.py", {folder_.string()});
  if (result.status == 77) {
    GTEST_SKIP() << "no Python with onnx, onnxruntime and numpy; set LEVIN_PYTHON to one";
  }
  ASSERT_EQ(result.status, 0) << result.output;
  const Value outputs = Value::from_json(result.output);
  EXPECT_EQ(outputs.as_object().size(), expected_.size());
  for (const auto& [name, predictions] : expected_) {
    for (const auto& [output, tensor] : predictions) {
      const double bound = name == "exact" ? 1e-12 : 1e-5;
      EXPECT_LT(distance(outputs.at(name).at(output), to_lists(tensor)), bound)
          << name << " " << output;
    }
  }
  EXPECT_EQ(outputs.at("images").at("shape"), Value(Value::Array{"batch", "3", "2", "2"}));
  EXPECT_EQ(outputs.at("binary").at("metadata").at("class_names"), Value(R"(["no","yes"])"));
}

TEST_F(OnnxModel, what_is_no_shipped_model_with_layers_is_refused) {
  Own own({.in_features = 4, .num_classes = 3});
  const auto message = [](const Module& module, const OnnxOptions& options = {}) {
    return message_of<Error>([&] { onnx_model(module, options); });
  };
  EXPECT_TRUE(says(message(own), {"how a Own computes isn't known", "MLP", ".safetensors"}));
  EXPECT_TRUE(says(message(MLP({})), {"the module's layers aren't made yet"}));
  MLP mlp({.in_features = 4, .num_classes = 3});
  EXPECT_TRUE(
      says(message(mlp, {.row_shape = {2, 3}}), {"other sizes than the model's 4 features"}));
  EXPECT_TRUE(says(message(mlp, {.deviation = torch::ones({3})}), {"other sizes"}));
}

}  // namespace levin::onnx_model_test
