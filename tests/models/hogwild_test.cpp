// Fits of online learners whose threads share the rows of a batch: row 51 of the requirements.
#include "framework/support.h"

#include <memory>
#include <utility>

#include <levin/datamodules/array.h>
#include <levin/framework/core/error.h>
#include <levin/framework/solvers/hogwild_parts.h>
#include <levin/framework/solvers/online_methods.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>

#include "framework/eventually.h"
#include "framework/message_of.h"

namespace levin::hogwild_test {
namespace {

using test::message_of;
using test::says;
using test::TemporaryFolder;

constexpr int64_t kFeatures = 200;
constexpr int64_t kRows = 32 * kHogwildRows;

/// Rows that share few columns. Their targets are drawn, and there are many of them, so that the
/// log-loss hardly depends on the order of the rows: one thread that learns from them in other
/// orders ends within 0.0005 of this one's log-loss.
ArrayDataModule sparse_rows() {
  torch::manual_seed(7);
  const auto x = torch::randn({kRows, kFeatures}) * torch::rand({kRows, kFeatures}).lt(0.05);
  const auto chances = x.mv(torch::randn({kFeatures})).add(0.5).sigmoid();
  const auto y = torch::rand({kRows}).lt(chances).to(torch::kLong);
  return {Rows(x.to_sparse_csr()),
          y,
          {.batch_size = kRows, .val_split = 0, .test_split = 0, .shuffle = false}};
}

std::unique_ptr<LogisticRegression> make_model(double l2_strength = 0.0) {
  auto model = std::make_unique<LogisticRegression>(LogisticRegressionOptions{
      .in_features = kFeatures, .num_classes = 2, .l2_strength = l2_strength});
  const torch::NoGradGuard no_grad;
  for (auto& parameter : model->parameters()) parameter.zero_();
  return model;
}

/// Fits the model by a learner with these options; the mean of the last epoch's losses.
template <class Learner>
double fit(Module& model, typename Learner::Options options, CountOrName threads,
           bool is_deterministic) {
  const TemporaryFolder folder;
  auto data = sparse_rows();
  Trainer trainer({.accelerator = "cpu",
                   .max_epochs = 5,
                   .num_sanity_val_steps = 0,
                   .deterministic = is_deterministic,
                   .threads = std::move(threads),
                   .default_root_dir = folder.string()});
  trainer.set_optimizers([&](Module& m) { return Learner(m.parameters(), options); });
  trainer.fit(model, data);
  return trainer.run().history().values("train_loss").back();
}

torch::Tensor weights_of(const Module& model) {
  return torch::cat({model.parameters()[0].flatten(), model.parameters()[1].flatten()});
}

TEST(Hogwild, threads_reach_the_loss_of_one_thread_in_a_fit) {
  const auto one = make_model(), shared = make_model();
  const double expected = fit<OnlineAdagrad>(*one, {.learning_rate = 0.1}, 1, false);
  EXPECT_LT(expected, 0.45) << "it has learned";
  const OnlineAdagradOptions options{.learning_rate = 0.1, .hogwild = true};
  EXPECT_LT(fit<OnlineAdagrad>(*shared, options, 2, false), expected + 1e-3);
}

// One thread learns from the rows in their order, with the same bits each time. As soon as a second
// one takes part in any of the fits, that order is another one, and so are the bits.
TEST(Hogwild, several_threads_learn_from_the_rows_of_a_batch) {
  const auto weights = [](CountOrName threads) {
    const auto model = make_model();
    const OnlineAdagradOptions options{.learning_rate = 0.1, .hogwild = true};
    fit<OnlineAdagrad>(*model, options, std::move(threads), false);
    return weights_of(*model);
  };
  const auto one = weights(1);
  EXPECT_TRUE(one.equal(weights(1)));
  torch::Tensor two;
  EXPECT_TRUE(test::eventually([&] { return !(two = weights(2)).equal(one); }))
      << "a second thread never learned from any row";
}

TEST(Hogwild, a_deterministic_fit_has_the_bits_of_one_without_it_for_any_number_of_threads) {
  const auto weights = [](bool hogwild, int64_t threads) {
    const auto model = make_model();
    fit<OnlineSGD>(*model, {.learning_rate = 0.1, .rate_decay = 0.01, .hogwild = hogwild}, threads,
                   true);
    return weights_of(*model);
  };
  const auto two = weights(true, 2);
  EXPECT_TRUE(two.equal(weights(true, 1)));
  EXPECT_TRUE(two.equal(weights(false, 1)));
}

TEST(Hogwild, penalties_and_steps_of_several_rows_are_refused) {
  const auto refusal = [](double of_model, double of_learner) {
    const auto model = make_model(of_model);
    return message_of<ConfigError>(
        [&] { fit<OnlineSGD>(*model, {.l1_strength = of_learner, .hogwild = true}, 1, false); });
  };
  EXPECT_TRUE(says(refusal(0.1, 0.0), {"hogwild", "penalties", "l2_strength", "FTRL"}));
  EXPECT_TRUE(says(refusal(0.0, 0.1), {"hogwild", "penalties", "l1_strength", "FTRL"}));
  const auto message = message_of<ConfigError>([] {
    OnlineAdagrad({torch::zeros({1, 2})}, {.rows_a_step = 0, .hogwild = true});
  });
  EXPECT_TRUE(says(message, {"rows_a_step", "hogwild"})) << message;
}

}  // namespace
}  // namespace levin::hogwild_test
