// The optimizers against PyTorch's: tests/baselines/optimizers.json.

#include <cmath>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>
#include <nlohmann/json.hpp>

#include <levin/framework/optimizers/all.h>
#include <levin/framework/solvers/optimizer_list.h>

namespace baseline_test {

using nlohmann::json;
using Parameters = std::map<std::string, torch::Tensor>;

const json& baseline() {
  static const json content = [] {
    std::ifstream file(LEVIN_SOURCE_DIR "/tests/baselines/optimizers.json");
    return json::parse(file);
  }();
  return content;
}

torch::Tensor to_tensor(const json& numbers) {
  std::vector<int64_t> sizes;
  for (const json* level = &numbers; level->is_array(); level = &level->front()) {
    sizes.push_back(static_cast<int64_t>(level->size()));
  }
  std::vector<double> values;
  for (const auto& number : numbers.flatten()) values.push_back(number.get<double>());
  return torch::tensor(values, torch::kDouble).view(sizes);
}

enum class Layout { dense, with_gaps };

Parameters parameters_of(const std::string& problem, Layout layout) {
  Parameters parameters;
  for (const auto& [name, numbers] : baseline()["problems"][problem]["parameters"].items()) {
    auto tensor = to_tensor(numbers);
    if (layout == Layout::with_gaps) tensor = torch::stack({tensor, tensor}, -1).select(-1, 1);
    parameters[name] = tensor.requires_grad_();
  }
  return parameters;
}

std::vector<torch::Tensor> list_of(const json& names, const Parameters& parameters) {
  std::vector<torch::Tensor> list;  // in the file's order: weight, then bias
  for (const char* name : {"weight", "bias", "p"}) {
    if (names.contains(name)) list.push_back(parameters.at(name));
  }
  return list;
}

torch::Tensor least_squares(Parameters& parameters) {
  const torch::NoGradGuard no_grad;
  const auto& problem = baseline()["problems"]["least_squares"];
  const auto x = to_tensor(problem["x"]);
  const auto y = to_tensor(problem["y"]);
  const auto n = static_cast<double>(x.size(0));
  const auto residuals = x.matmul(parameters["weight"].t()) + parameters["bias"] - y;
  parameters["weight"].mutable_grad() = residuals.t().matmul(x) / n;
  parameters["bias"].mutable_grad() = residuals.sum(0) / n;
  return residuals.square().sum() / (2 * n);
}

torch::Tensor rosenbrock(Parameters& parameters) {
  const torch::NoGradGuard no_grad;
  auto& p = parameters["p"];
  const auto a = p[0];
  const auto b = p[1];
  p.mutable_grad() = torch::stack({-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)});
  return (1 - a).square() + 100 * (b - a * a).square();
}

void expect_near(const torch::Tensor& actual, const torch::Tensor& expected,
                 const std::string& what) {
  const auto error = (actual.detach() - expected).abs() / expected.abs().clamp_min(1.0);
  EXPECT_LE(error.max().item<double>(), 1e-12) << what << "\nactual\n"
                                               << actual << "\nexpected\n"
                                               << expected;
}

// Ten steps, each compared.
void follow(const json& test_case, levin::Optimizer& optimizer, Parameters& parameters) {
  const std::string problem = test_case["problem"];
  int64_t evaluations = 0;
  const levin::Closure closure = [&] {
    ++evaluations;
    return problem == "rosenbrock" ? rosenbrock(parameters) : least_squares(parameters);
  };
  int step = 0;
  for (const auto& expected : test_case["steps"]) {
    const std::string place =
        test_case["name"].get<std::string>() + " step " + std::to_string(++step);
    const auto loss = optimizer.step(closure);
    expect_near(loss, to_tensor(expected["loss"]), place + " loss");
    for (const auto& [name, tensor] : parameters) {
      expect_near(tensor, to_tensor(expected[name]), place + " " + name);
    }
    if (expected.contains("evaluations")) {
      EXPECT_EQ(evaluations, expected["evaluations"].get<int64_t>()) << place;
    }
  }
}

levin::Value levin_options(const json& options) {
  levin::Value result = levin::Value::from_json(options.dump());
  if (result.contains("lr")) {
    result["learning_rate"] = result.at("lr");
    result.as_object().erase("lr");
  }
  return result;
}

std::unique_ptr<torch::optim::Optimizer> torch_optimizer(const std::string& name, const json& given,
                                                         std::vector<torch::Tensor> parameters) {
  json o = baseline()["defaults"][name];
  o.update(given);
  const double lr = o["lr"];
  const auto betas = [&] { return std::make_tuple(o["betas"][0], o["betas"][1]); };
  if (name == "SGD") {
    return std::make_unique<torch::optim::SGD>(parameters, torch::optim::SGDOptions(lr)
                                                               .momentum(o["momentum"])
                                                               .dampening(o["dampening"])
                                                               .weight_decay(o["weight_decay"])
                                                               .nesterov(o["nesterov"]));
  }
  if (name == "Adam") {
    return std::make_unique<torch::optim::Adam>(parameters, torch::optim::AdamOptions(lr)
                                                                .betas(betas())
                                                                .eps(o["eps"])
                                                                .weight_decay(o["weight_decay"])
                                                                .amsgrad(o["amsgrad"]));
  }
  if (name == "AdamW") {
    return std::make_unique<torch::optim::AdamW>(parameters, torch::optim::AdamWOptions(lr)
                                                                 .betas(betas())
                                                                 .eps(o["eps"])
                                                                 .weight_decay(o["weight_decay"])
                                                                 .amsgrad(o["amsgrad"]));
  }
  if (name == "Adagrad") {
    return std::make_unique<torch::optim::Adagrad>(
        parameters, torch::optim::AdagradOptions(lr)
                        .lr_decay(o["lr_decay"])
                        .weight_decay(o["weight_decay"])
                        .initial_accumulator_value(o["initial_accumulator_value"])
                        .eps(o["eps"]));
  }
  if (name == "RMSprop") {
    return std::make_unique<torch::optim::RMSprop>(parameters, torch::optim::RMSpropOptions(lr)
                                                                   .alpha(o["alpha"])
                                                                   .eps(o["eps"])
                                                                   .weight_decay(o["weight_decay"])
                                                                   .momentum(o["momentum"])
                                                                   .centered(o["centered"]));
  }
  auto options =
      torch::optim::LBFGSOptions(lr).max_iter(o["max_iter"]).history_size(o["history_size"]);
  if (o["line_search_fn"].is_string()) {
    options.line_search_fn(o["line_search_fn"].get<std::string>());
  }
  return std::make_unique<torch::optim::LBFGS>(parameters, options);
}

const json& names_in(const std::string& problem) {
  return baseline()["problems"][problem]["parameters"];
}

// Row 28: an optimizer is built from the learning rate.
TEST(OptimizersBaseline, every_case_agrees_with_pytorch) {
  ASSERT_GE(baseline()["cases"].size(), 30U);
  for (const auto& test_case : baseline()["cases"]) {
    auto parameters = parameters_of(test_case["problem"], Layout::dense);
    const auto list = list_of(names_in(test_case["problem"]), parameters);
    const auto optimizer = levin::shipped_optimizers().make(
        test_case["optimizer"].get<std::string>(), levin_options(test_case["options"]), list);
    follow(test_case, *optimizer, parameters);
  }
}

// Fused kernels walk raw memory; parameters with gaps must take the other way, with the same maths.
TEST(OptimizersBaseline, parameters_with_gaps_in_memory_agree_too) {
  for (const auto& test_case : baseline()["cases"]) {
    if (test_case["optimizer"] == "LBFGS") continue;
    auto parameters = parameters_of(test_case["problem"], Layout::with_gaps);
    for (const auto& [name, tensor] : parameters) {
      ASSERT_FALSE(tensor.is_non_overlapping_and_dense());
    }
    const auto list = list_of(names_in(test_case["problem"]), parameters);
    const auto optimizer = levin::shipped_optimizers().make(
        test_case["optimizer"].get<std::string>(), levin_options(test_case["options"]), list);
    follow(test_case, *optimizer, parameters);
  }
}

TEST(OptimizersBaseline, adapted_torch_optimizers_agree_too) {
  for (const auto& test_case : baseline()["cases"]) {
    if (test_case["options"].contains("maximize")) continue;  // not in torch::optim
    auto parameters = parameters_of(test_case["problem"], Layout::dense);
    const auto list = list_of(names_in(test_case["problem"]), parameters);
    const auto optimizer =
        levin::adapt(torch_optimizer(test_case["optimizer"], test_case["options"], list));
    EXPECT_EQ(optimizer->name(), test_case["optimizer"].get<std::string>());
    follow(test_case, *optimizer, parameters);
  }
}

TEST(OptimizersBaseline, defaults_are_pytorchs) {
  for (const auto& [name, defaults] : baseline()["defaults"].items()) {
    const levin::Value ours = levin::to_value(levin::shipped_optimizers().at(name).draft().fields);
    levin::Value theirs = levin_options(defaults);
    if (name == "LBFGS") theirs["max_eval"] = levin::Value();  // made from max_iter
    EXPECT_EQ(ours.as_object().size(), theirs.as_object().size()) << name;
    for (const auto& [option, value] : theirs.as_object()) {
      ASSERT_TRUE(ours.contains(option)) << name << "." << option;
      if (value.is_int()) {
        EXPECT_EQ(ours.at(option).as_double(), value.as_double()) << name << "." << option;
      } else {
        EXPECT_EQ(ours.at(option), value) << name << "." << option;
      }
    }
  }
}

}  // namespace baseline_test
