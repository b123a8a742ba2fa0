#include <levin/framework/optimizers/parameter_groups.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/all.h>

#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::parameter_groups_test {

using test::message_of;
using test::same_bits;
using test::says;

NamedTensors parameters() {
  NamedTensors named;
  for (const char* name :
       {"backbone.0.weight", "backbone.0.bias", "norm1.weight", "head.weight", "head.bias"}) {
    named.emplace_back(name, torch::full({2}, 0.5, torch::requires_grad()));
  }
  return named;
}

std::vector<std::vector<std::string>> names(const std::vector<ParameterGroup>& groups) {
  std::vector<std::vector<std::string>> all;
  for (const auto& group : groups) all.push_back(group.names);
  return all;
}

using Names = std::vector<std::vector<std::string>>;

TEST(ParameterGroups, belong_to_the_first_rule_that_matches) {
  EXPECT_EQ(names(group_parameters(parameters(),
                                   {{.names = {"*.bias", "norm?.*"}}, {.names = {"backbone.*"}}})),
            (Names{{"head.weight"},
                   {"backbone.0.bias", "norm1.weight", "head.bias"},
                   {"backbone.0.weight"}}));
  EXPECT_EQ(names(group_parameters(parameters(), {{.names = {"*"}}})).size(), 1U);
  EXPECT_EQ(names(group_parameters(parameters(), {})).size(), 1U);
}

TEST(ParameterGroups, patterns_match_whole_names) {
  const auto chosen = [](const char* pattern) {
    try {
      return group_parameters(parameters(), {{.names = {pattern}}}).back().names.size();
    } catch (const ConfigError&) {
      return size_t{0};
    }
  };
  EXPECT_EQ(chosen("head.bias"), 1U);
  EXPECT_EQ(chosen("head"), 0U);
  EXPECT_EQ(chosen("head*"), 2U);
  EXPECT_EQ(chosen("*weight*"), 3U);
  EXPECT_EQ(chosen("*0*t"), 1U);
  EXPECT_EQ(chosen("??????????????????"), 0U);
  EXPECT_EQ(chosen("h?ad.b*s"), 1U);
  EXPECT_EQ(chosen(""), 0U);
}

TEST(ParameterGroups, can_be_chosen_by_a_function) {
  const auto groups = group_parameters(
      parameters(), {{.where = [](const std::string& name,
                                  const torch::Tensor&) { return name.ends_with("bias"); },
                      .weight_decay = 0.0}});
  EXPECT_EQ(groups.at(1).names, (std::vector<std::string>{"backbone.0.bias", "head.bias"}));
  EXPECT_EQ(groups.at(1).weight_decay, 0.0);
  EXPECT_TRUE(std::isnan(groups.at(1).learning_rate));
}

TEST(ParameterGroups, that_cannot_be_are_refused) {
  const auto refused = [](ParameterRule rule) {
    return message_of<ConfigError>([&] { group_parameters(parameters(), {rule}); });
  };
  EXPECT_TRUE(says(refused({.names = {"*.bais"}}), {"*.bais", "head.bias"}));
  EXPECT_TRUE(says(refused({}), {"names", "must be given"}));
  EXPECT_TRUE(says(refused({.names = {"*"}, .learning_rate = -1.0}), {"learning_rate = -1"}));
  EXPECT_TRUE(says(refused({.names = {"*"}, .weight_decay = -1.0}), {"weight_decay = -1"}));
  const auto none = [](const std::string&, const torch::Tensor&) { return false; };
  EXPECT_TRUE(says(refused({.where = none}), {"chooses no parameter"}));
}

TEST(ParameterGroups, of_an_optimizer_that_is_divided_are_those_of_one_that_is_made_of_them) {
  const std::vector<ParameterRule> rules = {{.names = {"*.bias"}, .weight_decay = 0.0},
                                            {.names = {"head.*"}, .learning_rate = 1.0}};
  const AdamWOptions options{.learning_rate = 0.1, .weight_decay = 0.5};
  const auto one = parameters();
  const auto other = parameters();
  std::vector<torch::Tensor> plain;
  for (const auto& [name, parameter] : one) plain.push_back(parameter);
  AdamW divided(plain, options);
  divided.set_names(one);
  divided.divide(rules);
  AdamW made(group_parameters(other, rules), options);
  made.set_names(other);
  for (int i = 0; i < 3; ++i) {
    for (const auto& list : {one, other}) {
      for (const auto& [name, parameter] : list) {
        parameter.mutable_grad() = torch::ones_like(parameter);
      }
    }
    divided.step();
    made.step();
  }
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_TRUE(same_bits(one[i].second, other[i].second)) << one[i].first;
  }
  EXPECT_NE(one[3].second[0].item<float>(), one[0].second[0].item<float>());
  EXPECT_EQ(divided.state_dict().values, made.state_dict().values);
  EXPECT_EQ(divided.groups().at(2).base_learning_rate, 1.0);
}

TEST(ParameterGroups, go_on_after_a_resume) {
  const std::vector<ParameterRule> rules = {{.names = {"head.*"}, .learning_rate = 1.0}};
  const auto step = [](const NamedTensors& list, Optimizer& optimizer) {
    for (const auto& [name, parameter] : list) {
      parameter.mutable_grad() = parameter.detach() * 2.0;
    }
    optimizer.step();
  };
  const auto first = parameters();
  Adam whole(group_parameters(first, rules));
  whole.set_names(first);
  step(first, whole);
  whole.set_learning_rate(0.25, 1);  // as a schedule does
  const StateDict saved = whole.state_dict().clone();
  const auto second = parameters();
  {
    const torch::NoGradGuard no_grad;
    for (size_t i = 0; i < first.size(); ++i) second[i].second.copy_(first[i].second);
  }
  Adam resumed(group_parameters(second, rules));
  resumed.set_names(second);
  resumed.load_state_dict(saved);
  EXPECT_EQ(resumed.groups().at(1).learning_rate, 0.25);
  step(first, whole);
  step(second, resumed);
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_TRUE(same_bits(first[i].second, second[i].second)) << first[i].first;
  }
}

TEST(ParameterGroups, are_refused_by_optimizers_that_have_one_setting_for_all) {
  const auto named = parameters();
  LBFGS lbfgs({named[0].second});
  EXPECT_TRUE(says(message_of<ConfigError>([&] { lbfgs.divide({{.names = {"*"}}}); }),
                   {"LBFGS", "same settings"}));
  SGD stepped({named[1].second}, {.learning_rate = 0.1});
  stepped.step();
  EXPECT_FALSE(stepped.is_divisible());
  SGD grouped({{.parameters = {named[2].second}}, {.parameters = {named[3].second}}},
              {.learning_rate = 0.1});
  EXPECT_TRUE(says(message_of<ConfigError>([&] { grouped.divide({{.names = {"*"}}}); }),
                   {"in groups already"}));
}

}  // namespace levin::parameter_groups_test
