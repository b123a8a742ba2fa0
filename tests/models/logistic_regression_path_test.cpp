// LogisticRegressionPath: each point is the logistic regression with that C.
#include "models/support.h"

#include <levin/framework/core/error.h>
#include <levin/framework/data/dataset.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression_path.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

namespace levin::logistic_regression_path_test {
namespace {

class PathData final : public DataModule {
 public:
  PathData() {
    torch::manual_seed(4);
    const auto x = torch::randn({160, 6});
    const auto scores = x.narrow(1, 0, 3) + 2.5 * torch::randn({160, 3});
    const auto y = scores.argmax(1);
    train_ = std::make_shared<TensorDataset>(x.narrow(0, 0, 80), y.narrow(0, 0, 80));
    val_ = std::make_shared<TensorDataset>(x.narrow(0, 80, 80), y.narrow(0, 80, 80));
  }
  DataLoaders train_dataloader() override { return DataLoader(train_, {.batch_size = 80}); }
  DataLoaders val_dataloader() override { return DataLoader(val_, {.batch_size = 80}); }

 private:
  std::shared_ptr<TensorDataset> train_;
  std::shared_ptr<TensorDataset> val_;
};

History fit(Module& module, int64_t max_epochs = 200, const std::string& save = {},
            const std::string& from = {}) {
  const test::TemporaryFolder folder;
  PathData data;
  Trainer trainer(
      {.accelerator = "cpu", .max_epochs = max_epochs, .default_root_dir = folder.string()});
  auto history = trainer.fit(module, data, from);
  if (!save.empty()) trainer.save_checkpoint(save);
  return history;
}

TEST(LogisticRegressionPath, has_the_weights_of_each_c_and_ends_with_the_best) {
  const std::vector<double> Cs{0.01, 0.1, 1.0, 100.0};
  for (const double ratio : {0.0, 1.0}) {
    SCOPED_TRACE(ratio);
    LogisticRegressionPath path({.Cs = Cs, .l1_ratio = ratio, .tol = 1e-7});
    const auto history = fit(path);
    EXPECT_EQ(history.epochs.size(), 4U);
    EXPECT_NE(history.stop_reason.find("converged"), std::string::npos) << history.stop_reason;
    for (int64_t i = 0; i < 4; ++i) {
      LogisticRegression alone(
          {.C = Cs[static_cast<size_t>(i)], .l1_ratio = ratio, .solver = "auto", .tol = 1e-7});
      const auto theirs = fit(alone);
      const auto weight = alone.named_parameters()["linear.weight"];
      EXPECT_TENSORS_NEAR(path.coefs()[i], weight, 1e-4);
      EXPECT_TRUE(torch::equal(path.coefs()[i].eq(0), weight.eq(0)));
      EXPECT_TENSORS_NEAR(path.intercepts()[i], alone.named_parameters()["linear.bias"], 1e-4);
      EXPECT_NEAR(path.objectives()[i].item<double>(), theirs.last("objective"), 1e-6);
      EXPECT_NEAR(path.val_losses()[i].item<double>(), theirs.last("val_loss"), 1e-5);
      EXPECT_EQ(path.val_losses()[i].item<double>(),
                history.values("val_loss")[static_cast<size_t>(i)]);
    }
    const auto best = path.val_losses().argmin().item<int64_t>();
    EXPECT_LT(best, 3);  // the weakest penalty isn't the best
    EXPECT_EQ(path.C(), Cs[static_cast<size_t>(best)]);
    const auto weight = path.named_parameters()["linear.weight"];
    EXPECT_TENSORS_NEAR(weight, path.coefs()[best], 1e-6);
    path.select(0);
    EXPECT_EQ(path.C(), 0.01);
    EXPECT_TENSORS_NEAR(weight, path.coefs()[0], 1e-6);
  }
}

TEST(LogisticRegressionPath, goes_on_with_the_same_bits) {
  const test::TemporaryFolder folder;
  const auto file = folder.string() + "/path.ckpt";
  const LogisticRegressionPathOptions options{.num_Cs = 5, .l1_ratio = 0.5};
  LogisticRegressionPath whole(options);
  fit(whole);
  LogisticRegressionPath first(options);
  fit(first, 2, file);
  EXPECT_FALSE(first.C());
  LogisticRegressionPath second(options);
  fit(second, 200, {}, file);
  const auto state = second.state_dict();
  for (const auto& [name, tensor] : whole.state_dict().tensors) {
    EXPECT_TRUE(torch::equal(tensor, state.tensor(name))) << name;
  }
}

TEST(LogisticRegressionPath, refuses_options_that_cannot_be) {
  const auto refusal = [](const LogisticRegressionPathOptions& options) {
    return test::message_of<ConfigError>([&] { LogisticRegressionPath model(options); });
  };
  EXPECT_NE(refusal({.Cs = {1.0, 0.0}}).find("above 0"), std::string::npos);
  EXPECT_NE(refusal({.num_Cs = 0}).find("at least 1"), std::string::npos);
  EXPECT_NE(refusal({.l1_ratio = 2.0}).find("from 0 to 1"), std::string::npos);
}

}  // namespace
}  // namespace levin::logistic_regression_path_test
