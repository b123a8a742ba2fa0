// What is saved of an optimizer, and that loading it goes on with the same bits.

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/all.h>

namespace state_test {

using Parameters = std::vector<torch::Tensor>;
using Make = std::function<std::unique_ptr<levin::Optimizer>(const Parameters&)>;

struct Case {
  std::string name;
  Make make;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

template <class O>
Case ours(std::string name, typename O::Options options) {
  return {std::move(name),
          [options](const Parameters& p) { return std::make_unique<O>(p, options); }};
}

template <class O, class Options>
Case adapted(std::string name, Options options) {
  return {std::move(name),
          [options](const Parameters& p) { return levin::adapt(std::make_unique<O>(p, options)); }};
}

std::vector<Case> cases() {
  namespace optim = torch::optim;
  return {
      ours<levin::SGD>("sgd", {.learning_rate = 0.1}),
      ours<levin::SGD>(
          "sgd_momentum",
          {.learning_rate = 0.1, .momentum = 0.9, .dampening = 0.1, .weight_decay = 0.01}),
      ours<levin::Adam>("adam", {.learning_rate = 0.05}),
      ours<levin::Adam>("adam_amsgrad", {.learning_rate = 0.05, .amsgrad = true}),
      ours<levin::AdamW>("adamw", {.learning_rate = 0.05}),
      ours<levin::Adagrad>("adagrad", {.learning_rate = 0.1, .lr_decay = 0.1}),
      ours<levin::RMSprop>("rmsprop", {.momentum = 0.5, .centered = true}),
      ours<levin::LBFGS>("lbfgs", {.learning_rate = 0.5, .max_iter = 3, .history_size = 4}),
      ours<levin::LBFGS>("lbfgs_wolfe", {.max_iter = 2, .line_search_fn = "strong_wolfe"}),
      adapted<optim::SGD>("torch_sgd", optim::SGDOptions(0.1).momentum(0.9)),
      adapted<optim::SGD>("torch_sgd_plain", optim::SGDOptions(0.1)),
      adapted<optim::Adam>("torch_adam", optim::AdamOptions(0.05).amsgrad(true)),
      adapted<optim::AdamW>("torch_adamw", optim::AdamWOptions(0.05)),
      adapted<optim::Adagrad>("torch_adagrad", optim::AdagradOptions(0.1).lr_decay(0.1)),
      adapted<optim::RMSprop>("torch_rmsprop",
                              optim::RMSpropOptions(0.01).momentum(0.5).centered(true)),
      adapted<optim::LBFGS>("torch_lbfgs", optim::LBFGSOptions(0.5).max_iter(3).history_size(4)),
  };
}

// A little net; the loss of step k depends on k.
struct Net {
  Parameters parameters;
  levin::NamedTensors named;

  Net() {
    torch::manual_seed(3);
    for (const char* name : {"first.weight", "first.bias", "second.weight"}) {
      const auto sizes = name == std::string("first.bias")     ? std::vector<int64_t>{7}
                         : name == std::string("first.weight") ? std::vector<int64_t>{7, 5}
                                                               : std::vector<int64_t>{2, 7};
      parameters.push_back(torch::randn(sizes).requires_grad_());
      named.emplace_back(name, parameters.back());
    }
  }
  void copy_from(const Net& other) {
    const torch::NoGradGuard no_grad;
    for (size_t i = 0; i < parameters.size(); ++i) parameters[i].copy_(other.parameters[i]);
  }
  void step(levin::Optimizer& optimizer, int k) {
    optimizer.step([&] {
      optimizer.zero_grad();
      const auto x = torch::sin(torch::arange(20, torch::kFloat) * (k + 1)).view({4, 5});
      const auto hidden = torch::tanh(x.matmul(parameters[0].t()) + parameters[1]);
      const auto loss = (hidden.matmul(parameters[2].t()) - 0.5).square().mean();
      loss.backward();
      return loss;
    });
  }
};

bool same_bits(const torch::Tensor& a, const torch::Tensor& b) {
  return a.nbytes() == b.nbytes() && a.is_contiguous() && b.is_contiguous() &&
         std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

class OptimizersState : public testing::TestWithParam<Case> {};

TEST_P(OptimizersState, goes_on_with_the_same_bits) {
  Net through;
  auto whole = GetParam().make(through.parameters);
  whole->set_names(through.named);
  levin::StateDict saved;
  Net stopped;
  for (int k = 0; k < 9; ++k) {
    if (k == 4) {
      whole->set_learning_rate(whole->groups()[0].learning_rate * 0.5);
      saved = whole->state_dict().clone();
      saved.values = levin::Value::from_json(saved.values.to_json());
      stopped.copy_from(through);
    }
    through.step(*whole, k);
  }

  auto resumed = GetParam().make(stopped.parameters);
  resumed->set_names(stopped.named);
  resumed->load_state_dict(saved);
  for (int k = 4; k < 9; ++k) stopped.step(*resumed, k);
  for (size_t i = 0; i < stopped.parameters.size(); ++i) {
    EXPECT_TRUE(same_bits(stopped.parameters[i], through.parameters[i])) << through.named[i].first;
  }
  const auto a = whole->state_dict();
  const auto b = resumed->state_dict();
  EXPECT_EQ(a.values, b.values);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    EXPECT_TRUE(same_bits(tensor.contiguous(), b.tensor(name).contiguous())) << name;
  }
}

TEST_P(OptimizersState, a_saved_state_is_not_touched_by_going_on) {
  Net net;
  auto optimizer = GetParam().make(net.parameters);
  for (int k = 0; k < 3; ++k) net.step(*optimizer, k);
  const auto saved = optimizer->state_dict().clone();
  const auto copy = saved.clone();
  auto other = GetParam().make(net.parameters);
  other->load_state_dict(saved);
  for (int k = 3; k < 6; ++k) net.step(*other, k);
  for (const auto& [name, tensor] : saved.tensors) {
    EXPECT_TRUE(torch::equal(tensor, copy.tensor(name))) << name;
  }
}

TEST_P(OptimizersState, of_other_parameters_is_refused_and_nothing_changes) {
  Net net;
  auto optimizer = GetParam().make(net.parameters);
  optimizer->set_names(net.named);
  for (int k = 0; k < 3; ++k) net.step(*optimizer, k);
  const auto before = optimizer->state_dict().clone();

  auto other = before.clone();
  other.tensors["stranger.exp_avg"] = torch::zeros({3});
  EXPECT_THROW(optimizer->load_state_dict(other), levin::CheckpointError);
  other = before.clone();
  other.values["name"] = "Nobody";
  EXPECT_THROW(optimizer->load_state_dict(other), levin::CheckpointError);
  other = before.clone();
  other.values["groups"].as_array().push_back(other.values.at("groups").as_array()[0]);
  EXPECT_THROW(optimizer->load_state_dict(other), levin::CheckpointError);
  if (!before.tensors.empty()) {
    other = before.clone();
    other.tensors.begin()->second = torch::zeros({3, 3, 3}, torch::kDouble);
    EXPECT_THROW(optimizer->load_state_dict(other), levin::CheckpointError);
  }

  const auto after = optimizer->state_dict();
  EXPECT_EQ(after.values, before.values);
  for (const auto& [name, tensor] : before.tensors) {
    EXPECT_TRUE(torch::equal(tensor, after.tensor(name))) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, OptimizersState, testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

TEST(OptimizersStateNames, follow_the_modules) {
  Net net;
  levin::Adam optimizer(net.parameters);
  net.step(optimizer, 0);
  EXPECT_TRUE(optimizer.state_dict().tensors.count("1.exp_avg"));
  optimizer.set_names(net.named);
  const auto state = optimizer.state_dict();
  EXPECT_EQ(state.tensors.size(), 9U);
  EXPECT_EQ(state.tensor("first.bias.exp_avg_sq").sizes(), torch::IntArrayRef({7}));
  EXPECT_EQ(state.tensor("second.weight.step").item<double>(), 1.0);
  EXPECT_EQ(state.values.at("name").as_string(), "Adam");
}

TEST(OptimizersStateNames, a_missing_part_is_named) {
  Net net;
  levin::Adam optimizer(net.parameters);
  net.step(optimizer, 0);
  auto state = optimizer.state_dict().clone();
  state.tensors.erase("1.exp_avg_sq");
  try {
    optimizer.load_state_dict(state);
    FAIL() << "took a state with a hole";
  } catch (const levin::CheckpointError& error) {
    EXPECT_NE(std::string(error.what()).find("1.exp_avg_sq"), std::string::npos) << error.what();
  }
}

// A parameter that had no gradient yet has no state; loading keeps it so.
TEST(OptimizersStateNames, parameters_never_stepped_have_none) {
  Net net;
  net.parameters[1].requires_grad_(false);
  levin::Adam optimizer(net.parameters);
  net.step(optimizer, 0);
  const auto state = optimizer.state_dict().clone();
  EXPECT_EQ(state.tensors.size(), 6U);
  levin::Adam other(net.parameters);
  other.load_state_dict(state);
  EXPECT_EQ(other.state_dict().tensors.size(), 6U);
}

}  // namespace state_test
