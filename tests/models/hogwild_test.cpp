// Fits of online learners whose threads share the rows of a batch.
#include "framework/support.h"

#include <string>
#include <utility>

#include <levin/datamodules/array.h>
#include <levin/framework/core/error.h>
#include <levin/framework/solvers/hogwild_parts.h>
#include <levin/framework/solvers/online_methods.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>

#include "framework/message_of.h"

namespace levin::hogwild_test {
namespace {

using test::message_of;
using test::says;
using test::TemporaryFolder;

constexpr int64_t kFeatures = 400;
constexpr int64_t kRows = 4 * kHogwildRows;

ArrayDataModule sparse_rows() {
  torch::manual_seed(7);
  const auto x = torch::randn({kRows, kFeatures}) * torch::rand({kRows, kFeatures}).lt(0.05);
  const auto y = x.mv(torch::randn({kFeatures})).add(0.5).gt(0).to(torch::kLong);
  return {Rows(x.to_sparse_csr()),
          y,
          {.batch_size = kRows, .val_split = 0, .test_split = 0, .shuffle = false}};
}

/// A model of which `Learner` with `options` has the parameters.
template <class Learner>
class Model final : public LogisticRegression {
 public:
  explicit Model(typename Learner::Options options, double l2_strength = 0.0)
      : LogisticRegression(
            {.in_features = kFeatures, .num_classes = 2, .l2_strength = l2_strength}),
        options_(options) {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : parameters()) parameter.zero_();
  }
  Optimizers configure_optimizers() override { return Learner(parameters(), options_); }

 private:
  typename Learner::Options options_;
};

/// Fits the model and returns the mean of the last epoch's losses.
double fit(Module& model, CountOrName threads, bool is_deterministic) {
  const TemporaryFolder folder;
  auto data = sparse_rows();
  Trainer trainer({.accelerator = "cpu",
                   .max_epochs = 5,
                   .num_sanity_val_steps = 0,
                   .deterministic = is_deterministic,
                   .threads = std::move(threads),
                   .default_root_dir = folder.string()});
  trainer.fit(model, data);
  return trainer.run().history().values("train_loss").back();
}

TEST(Hogwild, threads_reach_the_loss_of_one_thread_in_a_fit) {
  Model<OnlineAdagrad> one({.learning_rate = 0.1}), shared({.learning_rate = 0.1, .hogwild = true});
  const double expected = fit(one, 1, /*is_deterministic=*/false);
  EXPECT_LT(expected, 0.4) << "it has learned";
  EXPECT_LT(fit(shared, 2, /*is_deterministic=*/false), expected + 1e-3);
}

TEST(Hogwild, a_deterministic_fit_has_the_weights_of_one_thread_for_any_number_of_threads) {
  const auto weights = [](bool hogwild, int64_t threads) {
    Model<OnlineSGD> model({.learning_rate = 0.1, .rate_decay = 0.01, .hogwild = hogwild});
    fit(model, threads, /*is_deterministic=*/true);
    return torch::cat({model.parameters()[0].flatten(), model.parameters()[1].flatten()});
  };
  const auto two = weights(true, 2);
  EXPECT_TRUE(two.equal(weights(true, 1)));
  EXPECT_TRUE(two.allclose(weights(false, 1), 1e-4, 1e-5));
}

TEST(Hogwild, penalties_and_steps_of_several_rows_are_refused) {
  Model<OnlineSGD> own({.l1_strength = 0.1, .hogwild = true}), of_model({.hogwild = true}, 0.1);
  for (Module* model : {static_cast<Module*>(&own), static_cast<Module*>(&of_model)}) {
    const auto message = message_of<ConfigError>([&] { fit(*model, 1, false); });
    EXPECT_TRUE(says(message, {"hogwild", "penalties", "l2_strength", "FTRL"})) << message;
  }
  const auto message = message_of<ConfigError>([] {
    OnlineAdagrad({torch::zeros({1, 2})}, {.rows_a_step = 0, .hogwild = true});
  });
  EXPECT_TRUE(says(message, {"rows_a_step", "hogwild"})) << message;
}

}  // namespace
}  // namespace levin::hogwild_test
