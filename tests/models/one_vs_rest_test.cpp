// LogisticRegression with multi_class = ovr: scikit-learn's OneVsRestClassifier, by every solver
// and by batches.
#include "models/support.h"

#include <levin/framework/core/error.h>
#include <levin/framework/data/dataset.h>
#include <levin/framework/metrics/ranking.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>

#include "framework/message_of.h"
#include "framework/solvers/solver_cases.h"
#include "framework/temporary_folder.h"

namespace levin::one_vs_rest_test {
namespace {

class OvrData final : public DataModule {
 public:
  explicit OvrData(NamedTensors tensors)
      : data_(std::make_shared<TensorDataset>(std::move(tensors))) {}
  DataLoaders train_dataloader() override { return DataLoader(data_, {.batch_size = 2000}); }
  DataLoaders val_dataloader() override { return DataLoader(data_, {.batch_size = 64}); }

 private:
  std::shared_ptr<TensorDataset> data_;
};

/// What scikit-learn found, with its rows.
struct Expected {
  const Value& value;
  torch::Tensor x;
  torch::Tensor y;

  explicit Expected(const Value& from) : value(from) {
    const auto& data = text("data");
    auto table = test::read_table(LEVIN_SOURCE_DIR "/datamodules/data/" + data + ".csv");
    x = data == "digits" ? table.x / 16.0
                         : (table.x - table.x.mean(0)) / table.x.std(0, /*unbiased=*/false);
    y = table.y;
  }
  const std::string& text(const char* name) const { return value.at(name).as_string(); }
  std::string name() const {
    return text("data") + ", l1_ratio " + value.at("l1_ratio").to_json() + ", " + text("weighting");
  }
  torch::Tensor numbers(const char* name) const { return test::tensor_of(value.at(name)); }
  NamedTensors tensors() const {
    NamedTensors all{{"input", x}, {"target", y}};
    if (text("weighting") == "rows") {
      all.emplace_back("weight", 1.0 + torch::arange(y.size(0), torch::kDouble).remainder(3));
    }
    return all;
  }
  LogisticRegressionOptions options(const std::string& solver) const {
    LogisticRegressionOptions options{.multi_class = "ovr",
                                      .C = value.at("C").as_double(),
                                      .l1_ratio = value.at("l1_ratio").as_double(),
                                      .solver = solver,
                                      .tol = 1e-8,
                                      .max_iter = 3000};
    if (text("weighting") == "balanced") options.class_weight = std::string("balanced");
    return options;
  }
};

std::vector<Expected> expected_cases(const std::string& data) {
  std::vector<Expected> cases;
  for (const auto& value : test::baseline("one_vs_rest").at("cases").as_array()) {
    if (value.at("data").as_string() == data) cases.emplace_back(value);
  }
  return cases;
}

History fit(Module& module, const NamedTensors& tensors, int64_t max_epochs = 3000,
            const std::string& save = {}, const std::string& from = {}) {
  const test::TemporaryFolder folder;
  OvrData data(tensors);
  Trainer trainer({.accelerator = "cpu",
                   .max_epochs = max_epochs,
                   .check_val_every_n_epoch = 3000,
                   .default_root_dir = folder.string()});
  auto history = trainer.fit(module, data, from);
  if (!save.empty()) trainer.save_checkpoint(save);
  return history;
}

void expect_optimum(const Expected& expected, const std::string& solver) {
  SCOPED_TRACE(expected.name() + " by " + solver);
  LogisticRegression model(expected.options(solver));
  model.to(torch::kDouble);
  const auto history = fit(model, expected.tensors());
  EXPECT_NE(history.stop_reason.find("converged"), std::string::npos) << history.stop_reason;
  const double objective = expected.value.at("objective").as_double();
  EXPECT_NEAR(history.last("objective"), objective, 1e-6 * objective);
  const auto weight = model.named_parameters()["linear.weight"].detach();
  EXPECT_TENSORS_NEAR(weight, expected.numbers("coefficients"), 1e-4);
  EXPECT_TENSORS_NEAR(model.named_parameters()["linear.bias"], expected.numbers("intercepts"),
                      1e-4);
  if (expected.value.at("l1_ratio").as_double() > 0.0) {
    EXPECT_TRUE(torch::equal(weight.eq(0), expected.numbers("coefficients").eq(0)));
  }
  const auto some = torch::arange(0, expected.y.size(0), 25);
  const auto predictions = model.predict(
      test::batch_of(expected.x.index_select(0, some), expected.y.index_select(0, some)));
  EXPECT_TRUE(torch::equal(predictions[0].second, expected.numbers("classes").to(torch::kLong)));
  EXPECT_TENSORS_NEAR(predictions[1].second, expected.numbers("probabilities"), 1e-5);
}

TEST(OneVsRest, is_scikit_learns_by_every_solver_on_iris) {
  for (const auto& expected : expected_cases("iris")) {
    const bool has_l1 = expected.value.at("l1_ratio").as_double() > 0.0;
    for (const char* solver : {"auto", "lbfgs", "coordinate-descent", "saga"}) {
      expect_optimum(expected, solver);
    }
    if (has_l1) continue;
    for (const char* solver :
         {"newton-cg", "trust-region", "newton-cholesky", "sag", "dual-coordinate-descent"}) {
      expect_optimum(expected, solver);
    }
  }
}

TEST(OneVsRest, is_scikit_learns_on_digits) {
  for (const auto& expected : expected_cases("digits")) {
    expect_optimum(expected, "auto");
    if (expected.value.at("l1_ratio").as_double() == 0.0) expect_optimum(expected, "lbfgs");
  }
}

TEST(OneVsRest, steps_of_batches_stay_at_the_optimum) {
  for (const auto& expected : expected_cases("iris")) {
    if (expected.value.at("l1_ratio").as_double() > 0.0) continue;
    SCOPED_TRACE(expected.name());
    auto options = expected.options("newton-cholesky");
    LogisticRegression solved(options);
    solved.to(torch::kDouble);
    fit(solved, expected.tensors());
    options.solver = {};
    options.optimizer = "SGD";
    options.learning_rate = 0.5;
    options.in_features = 4;
    options.num_classes = 3;
    LogisticRegression stepped(options);
    stepped.to(torch::kDouble);
    stepped.load_state_dict(solved.state_dict());
    fit(stepped, expected.tensors(), 5);
    const auto moved = stepped.named_parameters()["linear.weight"].detach() -
                       solved.named_parameters()["linear.weight"].detach();
    EXPECT_LT(moved.abs().max().item<double>(), 1e-7);
    LogisticRegression began(options);  // from elsewhere, the same steps lead far
    began.to(torch::kDouble);
    const auto start = began.named_parameters()["linear.weight"].detach().clone();
    fit(began, expected.tensors(), 5);
    EXPECT_GT((began.named_parameters()["linear.weight"] - start).abs().max().item<double>(), 0.1);
  }
}

TEST(OneVsRest, evaluates_by_the_sum_of_the_losses_and_the_normalised_probabilities) {
  const auto expected = expected_cases("iris").front();
  auto options = expected.options("auto");
  options.metrics = {"auroc", "recall"};
  LogisticRegression model(options);
  model.to(torch::kDouble);
  const test::TemporaryFolder folder;
  OvrData data(expected.tensors());
  Trainer trainer({.accelerator = "cpu", .max_epochs = 50, .default_root_dir = folder.string()});
  const auto history = trainer.fit(model, data);
  const auto z =
      expected.x.mm(expected.numbers("coefficients").t()) + expected.numbers("intercepts");
  const auto own = torch::one_hot(expected.y, 3).to(torch::kDouble);
  const auto loss = (torch::softplus(z) - own * z).sum(1).mean().item<double>();
  EXPECT_NEAR(history.last("val_loss"), loss, 1e-6);
  const auto p = torch::sigmoid(z) / torch::sigmoid(z).sum(1, /*keepdim=*/true);
  double auroc = 0.0;
  for (int64_t k = 0; k < 3; ++k) auroc += roc_auc(p.select(1, k), expected.y.eq(k)) / 3.0;
  EXPECT_NEAR(history.last("val_auroc"), auroc, 1e-9);
  const auto is_right = z.argmax(1).eq(expected.y);
  EXPECT_NEAR(history.last("val_acc"), is_right.to(torch::kDouble).mean().item<double>(), 1e-9);
  EXPECT_NEAR(history.last("val_recall_1"),
              is_right.narrow(0, 50, 50).to(torch::kDouble).mean().item<double>(), 1e-9);
  const auto extreme = model.predict(
      test::batch_of(torch::full({2, 4}, -1e6, torch::kDouble), torch::zeros({2}, torch::kLong)));
  EXPECT_NEAR(extreme[1].second.sum(1)[0].item<double>(), 1.0, 1e-9);  // no 0 / 0
}

TEST(OneVsRest, of_two_classes_is_the_logistic_loss) {
  const auto expected = expected_cases("iris")[1];
  const auto rows = expected.y.ne(0).nonzero().squeeze(1);
  const NamedTensors two{{"input", expected.x.index_select(0, rows)},
                         {"target", expected.y.index_select(0, rows) - 1}};
  auto options = expected.options("newton-cholesky");
  LogisticRegression ovr(options);
  options.multi_class = "multinomial";
  LogisticRegression logistic(options);
  torch::manual_seed(2);  // the same weights at the start, which are made when the data are known
  fit(ovr, two);
  torch::manual_seed(2);
  fit(logistic, two);
  ASSERT_EQ(ovr.named_parameters()["linear.weight"].size(0), 1);
  EXPECT_TRUE(torch::equal(ovr.named_parameters()["linear.weight"],
                           logistic.named_parameters()["linear.weight"]));
}

TEST(OneVsRest, resumes_with_the_same_bits) {
  const auto expected = expected_cases("iris")[2];
  const test::TemporaryFolder folder;
  const auto path = folder.string() + "/ovr.ckpt";
  for (const char* solver : {"lbfgs", "saga", "dual-coordinate-descent"}) {
    SCOPED_TRACE(solver);
    torch::manual_seed(1);
    LogisticRegression whole(expected.options(solver));
    fit(whole, expected.tensors(), 12);
    torch::manual_seed(1);
    LogisticRegression first(expected.options(solver));
    fit(first, expected.tensors(), 4, path);
    LogisticRegression second(expected.options(solver));
    fit(second, expected.tensors(), 12, {}, path);
    EXPECT_TRUE(torch::equal(second.named_parameters()["linear.weight"],
                             whole.named_parameters()["linear.weight"]));
  }
}

TEST(OneVsRest, refuses_what_contradicts_it) {
  const auto refusal = [](const LogisticRegressionOptions& options) {
    return test::message_of<ConfigError>([&] { LogisticRegression model(options); });
  };
  EXPECT_NE(refusal({.multi_class = "ovo"}).find("did you mean 'ovr'"), std::string::npos);
  EXPECT_NE(refusal({.loss = "softmax", .multi_class = "ovr"}).find("leave out loss"),
            std::string::npos);
  EXPECT_NE(refusal({.multi_class = "ovr", .products = "bfloat16"}).find("float32"),
            std::string::npos);
  EXPECT_NE(refusal({.num_classes = 3, .loss = "logistic"}).find("multi_class = ovr"),
            std::string::npos);
  EXPECT_NO_THROW(LogisticRegression({.num_classes = 3, .loss = "logistic", .multi_class = "ovr"}));
}

}  // namespace
}  // namespace levin::one_vs_rest_test
