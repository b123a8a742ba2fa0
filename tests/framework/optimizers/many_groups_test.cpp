// Steps of optimizers with many groups of few entries, such as those of many small models, which
// kernels of Levin's own make without the lists that other steps need.

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/optimizers/all.h>

namespace levin::many_groups_test {

constexpr size_t kGroups = 20;

/// The parameters of a group: a matrix and a vector, in float64 in one of the groups.
std::vector<torch::Tensor> parameters_of(size_t group) {
  torch::manual_seed(group);
  const auto type = group == 3 ? torch::kDouble : torch::kFloat;
  return {torch::randn({50, 40}, type).requires_grad_(), torch::randn({10}, type).requires_grad_()};
}

ParameterGroup make_group(size_t number, std::vector<torch::Tensor> parameters) {
  const auto rank = static_cast<double>(number);
  return {.parameters = std::move(parameters),
          .learning_rate = 0.001 * (1.0 + rank),
          .weight_decay = number % 3 == 0 ? 0.0 : 0.01 * rank};
}

/// The gradient of a step; undefined for a parameter that has none in it.
torch::Tensor gradient_of(const torch::Tensor& parameter, size_t group, int64_t step) {
  const bool begins_late = group == 5 && step < 2;
  const bool is_left_out = group % 4 == 1 && step == 3 && parameter.dim() == 1;
  if (begins_late || is_left_out) return {};
  torch::manual_seed(100 * group + static_cast<uint64_t>(step));
  const auto gradient = torch::randn_like(parameter.detach());
  const bool is_turned = group == 7 && step % 2 == 1 && parameter.dim() == 2;
  return is_turned ? gradient.t().contiguous().t() : gradient;
}

/// Gives a parameter a gradient. If gradients are kept, it is written over the last one, unless
/// they differ in their layout or one of them is undefined.
void give(torch::Tensor& parameter, const torch::Tensor& gradient, bool keeps) {
  const auto& last = parameter.grad();
  if (keeps && last.defined() && gradient.defined() && last.strides().equals(gradient.strides())) {
    last.copy_(gradient);
  } else {
    parameter.mutable_grad() = gradient;
  }
}

/// Compares the steps of one optimizer of all groups with those of an optimizer of each group.
/// `keeps`: whether the gradients stay at their places.
template <class Class>
void expect_steps_of_each_group_alone(const typename Class::Options& options, bool keeps = false) {
  std::vector<ParameterGroup> groups;
  std::vector<std::vector<torch::Tensor>> together, alone;
  std::vector<Class> optimizers;
  for (size_t k = 0; k < kGroups; ++k) {
    together.push_back(parameters_of(k));
    alone.push_back(parameters_of(k));
    groups.push_back(make_group(k, together.back()));
    optimizers.emplace_back(std::vector<ParameterGroup>{make_group(k, alone.back())}, options);
  }
  Class all(std::move(groups), options);
  if (keeps) all.keep_gradients();
  for (int64_t step = 0; step < 5; ++step) {
    for (size_t k = 0; k < kGroups; ++k) {
      for (auto& one : alone[k]) one.mutable_grad() = gradient_of(one, k, step);
      for (auto& one : together[k]) give(one, gradient_of(one, k, step), keeps);
      optimizers[k].step();
    }
    if (step == 3) together[2].front().set_data(together[2].front().detach().clone());  // it moves
    const auto version = together.front().front()._version();
    all.step();
    EXPECT_GT(together.front().front()._version(), version) << "autograd would miss the change";
    for (size_t k = 0; k < kGroups; ++k) {
      for (size_t i = 0; i < 2; ++i) {
        EXPECT_TRUE(torch::equal(together[k][i], alone[k][i]))
            << "step " << step << ", group " << k << ", parameter " << i;
      }
    }
  }
  for (size_t k = 0; k < kGroups; ++k) {
    EXPECT_FALSE(torch::equal(together[k].front(), parameters_of(k).front())) << k;
  }
}

TEST(OptimizersManyGroups, sgd_steps_each_group_as_if_it_were_alone) {
  expect_steps_of_each_group_alone<SGD>({});
  expect_steps_of_each_group_alone<SGD>({.maximize = true});
  expect_steps_of_each_group_alone<SGD>({.momentum = 0.9});
}

TEST(OptimizersManyGroups, adam_steps_each_group_as_if_it_were_alone) {
  expect_steps_of_each_group_alone<Adam>({});
  expect_steps_of_each_group_alone<Adam>({.betas = {0.5, 0.9}, .maximize = true});
  expect_steps_of_each_group_alone<Adam>({.amsgrad = true});
  expect_steps_of_each_group_alone<AdamW>({});
}

TEST(OptimizersManyGroups, gradients_that_stay_where_they_are_are_found_again_and_others_anew) {
  expect_steps_of_each_group_alone<SGD>({}, /*keeps=*/true);
  expect_steps_of_each_group_alone<SGD>({.momentum = 0.9}, /*keeps=*/true);
  expect_steps_of_each_group_alone<Adam>({}, /*keeps=*/true);
  expect_steps_of_each_group_alone<AdamW>({}, /*keeps=*/true);
  expect_steps_of_each_group_alone<RMSprop>({}, /*keeps=*/true);
}

TEST(OptimizersManyGroups,
     a_state_that_is_loaded_is_that_of_the_next_step_when_gradients_are_kept) {
  const auto make = [](const std::vector<std::vector<torch::Tensor>>& parameters) {
    std::vector<ParameterGroup> groups;
    for (size_t k = 0; k < kGroups; ++k) groups.push_back(make_group(k, parameters[k]));
    Adam optimizer(std::move(groups), {});
    optimizer.keep_gradients();
    return optimizer;
  };
  const auto step = [](Adam& optimizer, int64_t number) {
    for (size_t k = 0; k < kGroups; ++k) {
      for (auto& one : optimizer.groups()[k].parameters) {
        give(one, gradient_of(one, k, number), /*keeps=*/true);
      }
    }
    optimizer.step();
  };
  std::vector<std::vector<torch::Tensor>> first, second;
  for (size_t k = 0; k < kGroups; ++k) {
    first.push_back(parameters_of(k));
    second.push_back(parameters_of(k));
  }
  auto straight = make(first);
  const auto beginning = straight.state_dict();
  for (int64_t i = 0; i < 3; ++i) step(straight, i);
  auto restarted = make(second);
  step(restarted, 4);
  step(restarted, 4);
  for (size_t k = 0; k < kGroups; ++k) {
    for (auto& one : second[k]) one.detach().copy_(parameters_of(k)[one.dim() == 2 ? 0 : 1]);
  }
  restarted.load_state_dict(beginning);
  for (int64_t i = 0; i < 3; ++i) step(restarted, i);
  for (size_t k = 0; k < kGroups; ++k) {
    for (size_t i = 0; i < 2; ++i) EXPECT_TRUE(torch::equal(first[k][i], second[k][i])) << k;
  }
}

TEST(OptimizersManyGroups, zero_grad_leaves_gradients_that_are_kept) {
  auto parameter = torch::ones({3}).requires_grad_();
  parameter.mutable_grad() = torch::ones({3});
  SGD optimizer({parameter}, {});
  optimizer.keep_gradients();
  optimizer.zero_grad();
  EXPECT_TRUE(parameter.grad().defined());
  SGD other({parameter}, {});
  other.zero_grad();
  EXPECT_FALSE(parameter.grad().defined());
}

TEST(OptimizersManyGroups, rmsprop_and_adagrad_step_each_group_as_if_it_were_alone) {
  expect_steps_of_each_group_alone<RMSprop>({});
  expect_steps_of_each_group_alone<Adagrad>({});
}

// The counts of steps are part of the state.
TEST(OptimizersManyGroups, the_state_is_that_of_each_group_alone) {
  std::vector<ParameterGroup> groups;
  for (size_t k = 0; k < kGroups; ++k) groups.push_back(make_group(k, parameters_of(k)));
  Adam all(std::move(groups), {});
  for (int64_t step = 0; step < 4; ++step) {
    for (size_t k = 0; k < kGroups; ++k) {
      for (auto& one : all.groups()[k].parameters) one.mutable_grad() = gradient_of(one, k, step);
    }
    all.step();
  }
  const auto state = all.state_dict();
  const auto steps_of = [&](size_t group, size_t parameter) {
    const auto& name = all.groups()[group].names[parameter];
    return state.tensor(name + ".step").item<float>();
  };
  EXPECT_EQ(steps_of(0, 0), 4.0F);
  EXPECT_EQ(steps_of(1, 0), 4.0F);
  EXPECT_EQ(steps_of(1, 1), 3.0F);
  EXPECT_EQ(steps_of(5, 0), 2.0F);
}

}  // namespace levin::many_groups_test
