#include <torch/torch.h>

#include <levin/framework/data/dataset.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/linear_regression_cv.h>
#include <levin/models/logistic_regression_cv.h>
#include <levin/models/logistic_regression_path.h>

#include "distributed/rank_outcome.h"
#include "distributed/run_ranks.h"

// Models that search for the strength of their penalty, over ranks that share the rows.

namespace levin::test::penalty_search_test {
namespace {

/// 61 rows in two loaders, each in an order of its own; of three classes or, for least squares,
/// with values. If `reads`, batches are read in each pass, else rows stay in memory.
class SharedData final : public levin::DataModule {
 public:
  SharedData(bool has_values, bool reads) : reads_(reads) {
    const auto generator = at::detail::createCPUGenerator(5);
    const auto x = torch::randn({61, 4}, generator, torch::kDouble);
    const auto scores = x.mm(torch::randn({4, 3}, generator, torch::kDouble)) +
                        torch::randn({61, 3}, generator, torch::kDouble);
    const auto y = has_values ? scores.select(1, 0).contiguous() : scores.argmax(1);
    whole_ = std::make_shared<levin::TensorDataset>(x, y);
  }
  levin::DataLoaders train_dataloader() override { return {loader(0, 40), loader(40, 61)}; }
  levin::DataLoaders val_dataloader() override {
    return levin::DataLoader(whole_, {.batch_size = 9});
  }

 private:
  levin::DataLoader loader(int64_t first, int64_t end) const {
    std::vector<int64_t> rows;
    for (int64_t i = first; i < end; ++i) rows.push_back(first + (7 * i) % (end - first));
    levin::DataLoaderOptions options{.global_batch_size = 8, .shuffle = true};
    if (reads_) options.transform = [](levin::Batch&, const levin::TransformContext&) {};
    return {std::make_shared<levin::Subset>(whole_, rows), options};
  }

  bool reads_;
  std::shared_ptr<levin::TensorDataset> whole_;
};

/// Trains the models one after the other, and writes their states and objectives as RanksTest does.
int search(const Value& settings) {
  torch::set_num_threads(1);
  levin::StateDict result;
  const auto train = [&](const std::string& name, levin::Module& model, bool has_values) {
    levin::seed_everything(7);
    levin::TrainerOptions options;
    levin::from_value(describe(options), settings.at("trainer"), "trainer");
    options.accelerator = "cpu";
    options.max_epochs = 100;
    options.num_sanity_val_steps = 0;
    options.default_root_dir = settings.at("out").as_string();
    model.to(torch::kDouble);
    SharedData data(has_values, settings.at("reads").as_bool());
    levin::Trainer trainer(options);
    const auto history = trainer.fit(model, data);
    result.values["objectives"][name] = history.last("objective");
    result.add(name, model.state_dict().clone());
  };
  levin::LinearRegressionCV lasso({.num_alphas = 10, .cv = 4});
  train("lasso", lasso, true);
  if (!settings.at("reads").as_bool()) {
    levin::LinearRegressionCV ridge({.penalty = "ridge", .cv = 0});
    train("ridge", ridge, true);
    levin::LogisticRegressionPath path(
        {.num_classes = 3, .Cs = {0.05, 0.5}, .l1_ratio = 0.5, .tol = 1e-7});
    train("path", path, false);
    levin::LogisticRegressionCV logistic({.num_classes = 3,
                                          .Cs = {0.05, 0.5},
                                          .cv = 3,
                                          .fold_seed = 2,
                                          .scoring = "neg_log_loss",
                                          .tol = 1e-7});
    train("logistic", logistic, false);
  }
  leave_result(settings, result);
  return 0;
}

}  // namespace

using PenaltySearch = RanksTest;

TEST_F(PenaltySearch, over_ranks_has_the_folds_the_choice_and_the_weights_of_one_process) {
  for (const bool reads : {false, true}) {
    SCOPED_TRACE(reads);
    const Value settings = Value::Object{{"reads", reads}};
    const auto one = run_on(1, reads ? "one-reads" : "one", settings, search).rank(0);
    const auto many = run_on(2, reads ? "two-reads" : "two", settings, search);
    for (const auto& [name, value] : one.values.at("objectives").as_object()) {
      SCOPED_TRACE(name);
      const double objective = value.as_double();
      EXPECT_NEAR(many.values(1).at("objectives").at(name).as_double(), objective,
                  1e-10 * objective);
      if (name == "path") continue;
      const auto chosen = one.child(name).tensor("chosen");
      EXPECT_GT(chosen[0].item<double>(), 0.0);
      EXPECT_TRUE(torch::allclose(many.rank(1).child(name).tensor("chosen"), chosen, 1e-12, 0.0));
    }
    // Scores, errors and strengths as well as weights: other folds would have other scores.
    EXPECT_LE(difference(many.rank(0), one), 1e-6);
    EXPECT_EQ(difference(many.rank(0), many.rank(1)), 0.0);
  }
}

}  // namespace levin::test::penalty_search_test
