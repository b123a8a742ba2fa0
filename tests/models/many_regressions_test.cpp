// Models of many regressions and of cross-validated ones, fitted by the Trainer.
#include "models/support.h"

#include <cmath>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <levin/datamodules/array.h>
#include <levin/datamodules/sparse.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/dataset.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression_cv.h>
#include <levin/models/many_regressions.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

namespace levin::many_regressions_test {
namespace {

/// 60 rows of 4 features with two targets, 0 or 1, and one of 3 groups.
struct Rows60 {
  torch::Tensor x;
  torch::Tensor y;
  torch::Tensor group = torch::arange(60).remainder(3);
  Rows60() {
    torch::manual_seed(3);
    x = torch::randn({60, 4});
    y = (x.mm(torch::randn({4, 2})) + torch::randn({60, 2})).gt(0.0).to(torch::kFloat);
  }
};

class ManyData final : public DataModule {
 public:
  explicit ManyData(NamedTensors tensors)
      : data_(std::make_shared<TensorDataset>(std::move(tensors))) {}
  /// Some rows, in this order.
  ManyData(NamedTensors tensors, std::vector<int64_t> rows)
      : data_(std::make_shared<Subset>(std::make_shared<TensorDataset>(std::move(tensors)),
                                       std::move(rows))) {}
  DataLoaders train_dataloader() override { return DataLoader(data_, {.batch_size = 16}); }
  DataLoaders val_dataloader() override { return DataLoader(data_, {.batch_size = 16}); }

 private:
  std::shared_ptr<const Dataset> data_;
};

ManyData data_of(const Rows60& rows) { return ManyData({{"input", rows.x}, {"target", rows.y}}); }
ManyData data_of_groups(const Rows60& rows) {
  return ManyData({{"input", rows.x}, {"target", rows.y}, {"group", rows.group}});
}

/// Fits and, if a path is given, saves a checkpoint there.
History fit(Module& module, DataModule& data, const std::string& root, int64_t max_epochs = 100,
            const std::string& save = {}, const std::string& from = {}) {
  Trainer trainer({.accelerator = "cpu", .max_epochs = max_epochs, .default_root_dir = root});
  auto history = trainer.fit(module, data, from);
  if (!save.empty()) trainer.save_checkpoint(save);
  return history;
}

void expect_same_state(const Module& module, const Module& other) {
  const auto state = module.state_dict();
  for (const auto& [name, tensor] : other.state_dict().tensors) {
    EXPECT_TRUE(torch::equal(tensor, state.tensor(name))) << name;
  }
}

TEST(ManyRegressions, are_each_the_logistic_regression_of_a_target_and_a_c) {
  const test::TemporaryFolder folder;
  const Rows60 rows;
  auto data = data_of(rows);
  const std::vector<double> Cs{0.1, 1.0, 10.0};
  ManyRegressions many({.C = Cs, .tol = 1e-6});
  const auto history = fit(many, data, folder.string());
  EXPECT_NE(history.stop_reason.find("converged"), std::string::npos) << history.stop_reason;
  const auto parameters = many.named_parameters();
  const auto probability = many.predict(test::batch_of(rows.x, rows.y)).front().second;
  double sum = 0.0;
  for (int64_t k = 0; k < 6; ++k) {
    LogisticRegression alone({.C = Cs[static_cast<size_t>(k % 3)], .solver = "auto", .tol = 1e-6});
    ManyData own({{"input", rows.x}, {"target", rows.y.select(1, k / 3).to(torch::kLong)}});
    const auto theirs = fit(alone, own, folder.string());
    EXPECT_TENSORS_NEAR(parameters["weight"][k], alone.named_parameters()["linear.weight"][0],
                        1e-4);
    EXPECT_NEAR(many.losses().flatten()[k].item<double>(), theirs.last("val_loss"), 1e-5);
    EXPECT_TENSORS_NEAR(probability.select(1, k),
                        alone.forward(rows.x).detach().select(1, 0).sigmoid(), 1e-4);
    sum += theirs.last("val_loss");
  }
  EXPECT_NEAR(history.last("val_loss"), sum / 6.0, 1e-5);
  // On the rows that it was trained on, the weakest penalty is the best.
  EXPECT_TRUE(torch::equal(many.best_strengths(), torch::full({1, 2}, 2, torch::kLong)));
}

/// Lines in the format of Criteo's table: a label, 13 counts and 26 categories, some of them empty.
std::string criteo_lines(int rows) {
  std::minstd_rand random(5);
  std::string text;
  for (int row = 0; row < rows; ++row) {
    const auto kind = random() % 4;
    text += random() % 4 < kind ? "1" : "0";
    for (int i = 0; i < 13; ++i) text += "\t" + (i < 2 ? std::to_string(kind + random() % 2) : "");
    for (int i = 0; i < 26; ++i) text += i < 3 ? "\tc" + std::to_string(random() % 3) : "\t";
    text += "\n";
  }
  return text;
}

// row 52
TEST(ManyRegressions, a_thousand_learn_from_criteos_table_in_one_go_each_as_if_alone) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "day_0") << criteo_lines(120);
  const SparseDataModuleOptions options = {.train = {(folder / "day_0").string()},
                                           .format = "criteo",
                                           .hash_bits = 5,
                                           .batch_size = 40,
                                           .shuffle = false};
  std::vector<double> strengths;
  for (int i = 0; i < 1000; ++i) strengths.push_back(1e-3 * std::pow(1000.0, i / 999.0));
  SparseDataModule data(options);
  ManyRegressions many({.l2_strengths = strengths, .tol = 1e-7});
  const auto history = fit(many, data, folder.string());
  EXPECT_NE(history.stop_reason.find("converged"), std::string::npos) << history.stop_reason;
  const auto weight = many.named_parameters()["weight"];
  ASSERT_EQ(weight.sizes(), (std::vector<int64_t>{1000, 32}));
  for (const size_t k : {0U, 500U, 999U}) {
    SparseDataModule own(options);
    LogisticRegression alone({.l2_strength = strengths[k], .solver = "newton-cg", .tol = 1e-7});
    fit(alone, own, folder.string());
    const auto theirs = alone.named_parameters()["linear.weight"];
    EXPECT_GT(theirs.abs().max().item<double>(), 1e-4);
    EXPECT_TENSORS_NEAR(weight[static_cast<int64_t>(k)], theirs[0], 1e-4);
  }
}

TEST(ManyRegressions, with_an_l1_penalty_are_each_the_logistic_regression_with_it) {
  const test::TemporaryFolder folder;
  const Rows60 rows;
  auto data = data_of(rows);
  const std::vector<double> Cs{0.1, 1.0};
  ManyRegressions many({.C = Cs, .l1_ratio = 0.7, .tol = 1e-7});
  fit(many, data, folder.string());
  for (int64_t k = 0; k < 4; ++k) {
    LogisticRegression alone({.C = Cs[static_cast<size_t>(k % 2)],
                              .l1_ratio = 0.7,
                              .solver = "coordinate-descent",
                              .tol = 1e-7});
    ManyData own({{"input", rows.x}, {"target", rows.y.select(1, k / 2).to(torch::kLong)}});
    fit(alone, own, folder.string());
    const auto weight = many.named_parameters()["weight"][k];
    const auto theirs = alone.named_parameters()["linear.weight"][0];
    EXPECT_TENSORS_NEAR(weight, theirs, 1e-5);
    EXPECT_TRUE(torch::equal(weight.eq(0), theirs.eq(0)));
  }
}

TEST(ManyRegressions, of_a_group_see_and_predict_the_rows_of_the_group) {
  const test::TemporaryFolder folder;
  const Rows60 rows;
  auto data = data_of_groups(rows);
  ManyRegressions many({.loss = "squared", .groups = 3, .l2_strengths = {0.01, 0.1}});
  fit(many, data, folder.string());
  ASSERT_EQ(many.named_parameters()["weight"].sizes(), (std::vector<int64_t>{12, 4}));
  const auto own = rows.group.eq(1).nonzero().squeeze(1);
  ManyRegressions one({.loss = "squared", .l2_strengths = {0.01, 0.1}});
  ManyData rest({{"input", rows.x.index_select(0, own)}, {"target", rows.y.index_select(0, own)}});
  fit(one, rest, folder.string());
  EXPECT_TENSORS_NEAR(many.named_parameters()["weight"].narrow(0, 4, 4),
                      one.named_parameters()["weight"], 1e-5);
  Batch batch({{"input", rows.x}, {"target", rows.y}, {"group", rows.group}});
  const auto values = many.predict(batch).front().second.index_select(0, own);
  const auto theirs = one.predict(test::batch_of(rows.x, rows.y)).front().second;
  EXPECT_TENSORS_NEAR(values, theirs.index_select(0, own), 1e-5);
  EXPECT_TENSORS_NEAR(many.losses()[1], one.losses()[0], 1e-6);
  batch.set("group", Rows(rows.group + 1));
  EXPECT_NE(test::message_of<DataError>([&] { many.predict(batch); }).find("a group is 3"),
            std::string::npos);
}

TEST(ManyRegressions, resume_with_the_same_bits) {
  const test::TemporaryFolder folder;
  const Rows60 rows;
  auto data = data_of(rows);
  const ManyRegressionsOptions options{.C = {0.1, 1.0, 1000.0}, .tol = 1e-8};
  ManyRegressions whole(options);
  fit(whole, data, folder.string());
  ManyRegressions first(options);
  const auto path = folder.string() + "/many.ckpt";
  fit(first, data, folder.string(), 3, path);
  ManyRegressions second(options);
  fit(second, data, folder.string(), 100, {}, path);
  expect_same_state(second, whole);
}

TEST(ManyRegressions, refuse_options_that_cannot_be) {
  const auto refusal = [](const ManyRegressionsOptions& options) {
    return test::message_of<ConfigError>([&] { ManyRegressions many(options); });
  };
  EXPECT_NE(refusal({.loss = "hinge"}).find("squared"), std::string::npos);
  EXPECT_NE(refusal({.l2_strengths = {1.0}, .C = {1.0}}).find("give one of them"),
            std::string::npos);
  EXPECT_NE(refusal({.C = {1.0}, .l1_strengths = {1.0}}).find("give C and l1_ratio"),
            std::string::npos);
  EXPECT_NE(refusal({.l2_strengths = {1.0}, .l1_strengths = {1.0, 2.0}}).find("the same length"),
            std::string::npos);
  EXPECT_NE(refusal({.l1_ratio = 0.5}).find("without C"), std::string::npos);
  EXPECT_NE(refusal({.l2_strengths = {-1.0}}).find("l2_strengths"), std::string::npos);
  EXPECT_NE(refusal({.C = {0.0}}).find("above 0"), std::string::npos);
  EXPECT_NE(refusal({.solver = "Adam"}).find("must be a solver"), std::string::npos);
}

TEST(LogisticRegressionCV, is_in_the_end_the_logistic_regression_of_the_chosen_c) {
  const test::TemporaryFolder folder;
  const Rows60 rows;
  ManyData data({{"input", rows.x}, {"target", rows.y.select(1, 0).to(torch::kLong)}});
  const LogisticRegressionCVOptions options{
      .Cs = {0.01, 0.1, 1.0, 10.0}, .cv = 3, .scoring = "neg_log_loss", .tol = 1e-7};
  LogisticRegressionCV chosen(options);
  EXPECT_FALSE(chosen.C());
  const auto path = folder.string() + "/cv.ckpt";
  const auto history = fit(chosen, data, folder.string(), 100, path);
  EXPECT_EQ(history.epochs.size(), 4U);
  ASSERT_TRUE(chosen.C());
  const auto best = chosen.scores().mean(0).argmax().item<int64_t>();
  EXPECT_EQ(*chosen.C(), chosen.Cs().at(static_cast<size_t>(best)));
  LogisticRegression alone({.C = chosen.C(), .solver = "auto", .tol = 1e-7});
  fit(alone, data, folder.string());
  EXPECT_TENSORS_NEAR(chosen.named_parameters()["linear.weight"],
                      alone.named_parameters()["linear.weight"], 1e-5);

  // Each share of the L1 penalty has the scores that it gets alone.
  auto shared = options;
  shared.l1_ratios = {0.0, 1.0};
  LogisticRegressionCV both(shared);
  fit(both, data, folder.string());
  shared.l1_ratios = {};
  shared.l1_ratio = 1.0;
  LogisticRegressionCV lasso(shared);
  fit(lasso, data, folder.string());
  EXPECT_TENSORS_NEAR(both.scores(), torch::cat({chosen.scores(), lasso.scores()}, 1), 1e-12);
  const bool is_lasso =
      lasso.scores().mean(0).max().item<double>() > chosen.scores().mean(0).max().item<double>();
  EXPECT_EQ(both.l1_ratio(), is_lasso ? 1.0 : 0.0);
  EXPECT_EQ(both.C(), is_lasso ? lasso.C() : chosen.C());

  LogisticRegressionCV first(options);
  fit(first, data, folder.string(), 2, path);
  EXPECT_FALSE(first.C());
  LogisticRegressionCV second(options);
  fit(second, data, folder.string(), 100, {}, path);
  expect_same_state(second, chosen);
}

TEST(LogisticRegressionCV, refuses_options_that_cannot_be) {
  const auto refusal = [](const LogisticRegressionCVOptions& options) {
    return test::message_of<ConfigError>([&] { LogisticRegressionCV model(options); });
  };
  EXPECT_TRUE(test::says(refusal({.Cs = {1.0, 0.0}}), {"Cs", "above 0"}));
  EXPECT_TRUE(test::says(refusal({.num_Cs = 0}), {"num_Cs", "at least 1"}));
  EXPECT_TRUE(test::says(refusal({.l1_ratio = 2.0}), {"l1_ratio", "from 0 to 1"}));
  EXPECT_TRUE(test::says(refusal({.l1_ratios = {0.5, -1.0}}), {"l1_ratios", "from 0 to 1"}));
  EXPECT_TRUE(test::says(refusal({.l1_ratio = 0.5, .l1_ratios = {0.5}}), {"give one of them"}));
  EXPECT_TRUE(test::says(refusal({.cv = 1}), {"cv", "at least 2"}));
  EXPECT_TRUE(test::says(refusal({.scoring = "f1"}), {"f1", "neg_log_loss"}));
}

// Solvers pass the rows of a random split in the order in which they lie in memory.
TEST(LogisticRegressionCV, has_the_same_stratified_folds_in_whatever_order_a_split_has_the_rows) {
  const test::TemporaryFolder folder;
  const Rows60 rows;
  const NamedTensors tensors{{"input", rows.x}, {"target", rows.y.select(1, 0).to(torch::kLong)}};
  std::vector<int64_t> order;
  for (int64_t i = 0; i < 60; ++i) order.push_back((i * 7) % 60);
  ManyData sorted(tensors);
  ManyData mixed(tensors, order);
  const LogisticRegressionCVOptions options{.Cs = {0.1, 1.0}, .cv = 4, .scoring = "neg_log_loss"};
  LogisticRegressionCV expected(options);
  fit(expected, sorted, folder.string());
  LogisticRegressionCV found(options);
  fit(found, mixed, folder.string());
  EXPECT_TENSORS_NEAR(found.scores(), expected.scores(), 1e-12);
}

// What can be known of the data is refused before the first fold.
TEST(LogisticRegressionCV, refuses_classes_of_too_few_rows_before_it_trains) {
  const test::TemporaryFolder folder;
  const Rows60 rows;
  auto y = rows.y.select(1, 0).to(torch::kLong);
  y.narrow(0, 0, 4).fill_(2);
  ManyData data({{"input", rows.x}, {"target", y}});
  LogisticRegressionCV model({.cv = 5});
  EXPECT_TRUE(test::says(test::message_of<ConfigError>([&] { fit(model, data, folder.string()); }),
                         {"5 folds, with a class of 4 training rows", "use fewer folds"}));
  EXPECT_EQ(model.scores().abs().sum().item<double>(), 0.0);
}

}  // namespace
}  // namespace levin::many_regressions_test
