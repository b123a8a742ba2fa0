#include <levin/framework/averaging/model_averaging.h>

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <torch/torch.h>

#include <levin/framework/averaging/diloco.h>
#include <levin/framework/core/error.h>

#include "framework/message_of.h"

namespace levin::test::model_averagings_test {

torch::Tensor numbers(uint64_t seed) {
  return torch::randn({3, 2}, at::detail::createCPUGenerator(seed), torch::kDouble);
}

// The rule of the paper: SGD of PyTorch, with delta = last - mean as the gradient.
TEST(DiLoCo, steps_as_sgd_of_pytorch_by_what_the_ranks_have_changed) {
  for (const bool nesterov : {true, false}) {
    SCOPED_TRACE(nesterov ? "nesterov" : "plain");
    DiLoCo rule({.outer_lr = 0.7, .outer_momentum = 0.9, .nesterov = nesterov});
    auto parameter = numbers(1).requires_grad_();
    torch::optim::SGD outer({parameter},
                            torch::optim::SGDOptions(0.7).momentum(0.9).nesterov(nesterov));
    auto last = numbers(1);
    for (uint64_t meeting = 0; meeting < 4; ++meeting) {
      const auto mean = last + 0.1 * numbers(10 + meeting);
      parameter.mutable_grad() = (parameter - mean).detach();
      outer.step();
      last = rule.next("weight", last, mean.clone());
      EXPECT_LE((last - parameter).abs().max().item<double>(), 1e-15);
    }
    EXPECT_GT((last - numbers(1)).abs().max().item<double>(), 0.1);
  }
}

TEST(DiLoCo, with_rate_one_and_no_momentum_is_the_mean) {
  DiLoCo rule({.outer_lr = 1.0, .outer_momentum = 0.0});
  const auto mean = numbers(2);
  EXPECT_LE((rule.next("weight", numbers(1), mean) - mean).abs().max().item<double>(), 1e-15);
}

TEST(DiLoCo, goes_on_from_its_state_with_the_same_bits) {
  DiLoCo whole;
  whole.next("a", numbers(1), numbers(2));
  whole.next("b", numbers(3), numbers(4));
  DiLoCo rest;
  rest.load_state_dict(whole.state_dict().clone());
  for (const char* name : {"a", "b"}) {
    EXPECT_TRUE(torch::equal(rest.next(name, numbers(5), numbers(6)),
                             whole.next(name, numbers(5), numbers(6))));
  }
  EXPECT_FALSE(torch::equal(DiLoCo().next("a", numbers(5), numbers(6)),
                            whole.next("a", numbers(5), numbers(6))));
  const auto other = torch::zeros({4}, torch::kDouble);
  EXPECT_NE(message_of<CheckpointError>([&] { rest.next("a", other, other); }).find("'a'"),
            std::string::npos);
}

TEST(ModelAveraging, rules_have_names_and_refuse_what_is_out_of_range) {
  EXPECT_EQ(shipped_model_averagings().names(),
            (std::vector<std::string>{"local_sgd", "post_local_sgd", "diloco"}));
  EXPECT_FALSE(averages_models("none"));
  const auto rule = shipped_model_averagings().make(
      "post_local_sgd", Value::Object{{"start", 5}, {"period", 3}, {"flags_every", 2}});
  EXPECT_EQ(rule->start(), 5);
  EXPECT_EQ(rule->period(), 3);
  EXPECT_EQ(rule->flags_every(), 2);
  const std::tuple<const char*, const char*, Value> wrong[] = {
      {"local_sgd", "period", 0},        {"local_sgd", "flags_every", 0},
      {"post_local_sgd", "start", -1},   {"diloco", "outer_lr", 0.0},
      {"diloco", "outer_momentum", 1.0}, {"diloco", "outer_momentum", -0.1}};
  for (const auto& [name, setting, value] : wrong) {
    const NamedSettings averaging{name, Value::Object{{setting, value}}};
    const auto message = message_of<ConfigError>([&] { averages_models(averaging); });
    EXPECT_NE(message.find(std::string(name) + ": " + setting + " = "), std::string::npos)
        << message;
  }
  EXPECT_TRUE(says(message_of<ConfigError>([] {
                     averages_models({"none", Value::Object{{"a", 1}}});
                   }),
                   {"model_averaging: none", "'a'"}));
}

}  // namespace levin::test::model_averagings_test
