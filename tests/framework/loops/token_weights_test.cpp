// Batches that count by their tokens: Step::set_batch_size.
#include "framework/loops/token_net.h"

#include <gtest/gtest.h>

#include <vector>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/newton_cg.h>

#include "framework/message_of.h"

namespace levin::token_weights_test {

using test::message_of;
using test::says;
using test::TokenData;
using test::TokenNet;

TrainerOptions on_cpu(int64_t accumulate = 1) {
  return {.accelerator = "cpu", .max_epochs = 1, .accumulate_grad_batches = accumulate};
}

TEST(TokenWeights, accumulated_gradients_are_those_of_the_mean_over_all_tokens) {
  TokenNet model;
  TokenData data(22, 4);  // windows of 12 and of 10 rows; the last batch has 2
  Trainer(on_cpu(3)).fit(model, data);
  ASSERT_EQ(model.gradients.size(), 2u);
  const int64_t starts[] = {0, 12, 22};
  for (size_t w = 0; w < 2; ++w) {
    const auto window = data.rows(starts[w], starts[w + 1]);
    const auto difference = model.gradients[w] - model.gradient_of(window);
    EXPECT_LT(difference.abs().max().item<double>(), 1e-14) << w;
    EXPECT_NEAR(model.logged[w], model.loss_of(window), 1e-14) << w;
  }
}

TEST(TokenWeights, logged_means_are_those_over_all_tokens) {
  TokenNet model;
  TokenData data(22, 4);
  const auto history = Trainer(on_cpu()).fit(model, data);
  const double all = model.loss_of(data.rows(0, 22));
  const auto& metrics = history.epochs.front().metrics;
  EXPECT_NEAR(metrics.at("loss_epoch"), all, 1e-14);
  EXPECT_NEAR(metrics.at("val_loss"), all, 1e-14);
  EXPECT_GT(std::abs(metrics.at("by_rows") - all), 1e-3) << "its own batch_size counts";
}

TEST(TokenWeights, a_step_of_one_batch_has_the_bits_of_the_plain_mean) {
  TokenData data(22, 4);
  std::vector<torch::Tensor> ends;
  for (const bool says_tokens : {false, true}) {
    TokenNet model;
    model.says_tokens = says_tokens;
    model.learning_rate = 0.1;
    Trainer(on_cpu()).fit(model, data);
    ends.push_back(model.parameters().front().detach().clone());
  }
  EXPECT_TRUE(test::same_bits(ends[0], ends[1]));
}

TEST(TokenWeights, a_number_that_cannot_be_is_refused_and_so_are_solvers) {
  class NoTokens : public TokenNet {
    torch::Tensor training_step(const Batch& batch, Step& step) override {
      step.set_batch_size(0);
      return loss_tensor(batch);
    }
  } none;
  TokenData data(8, 4);
  EXPECT_TRUE(says(message_of<ModuleError>([&] { Trainer(on_cpu()).fit(none, data); }),
                   {"set_batch_size(0)", "isn't positive", "undefined tensor"}));
  TokenNet model;
  Trainer by_solver(on_cpu());
  by_solver.set_optimizers([](Module& module) { return NewtonCG(module.parameters(), {}); });
  EXPECT_TRUE(says(message_of<ModuleError>([&] { by_solver.fit(model, data); }),
                   {"called Step::set_batch_size", "by the rows"}));
}

}  // namespace levin::token_weights_test
