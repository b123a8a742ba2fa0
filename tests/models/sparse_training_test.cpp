// Training, evaluating and predicting on sparse rows gives what the same rows give if they are
// stored densely.
#include "framework/support.h"
#include "models/support.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <levin/datamodules/array.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/sparse_rows.h>
#include <levin/framework/loops/input_scales.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>

#include "framework/loops/captured_fit.h"
#include "framework/message_of.h"

namespace levin::sparse_training_test {

using test::message_of;
using test::says;
using test::TemporaryFolder;

constexpr int64_t kColumns = 60;

/// Rows of which a tenth isn't 0, and classes that depend on them.
std::pair<torch::Tensor, torch::Tensor> make_data(int64_t classes) {
  torch::manual_seed(21);
  const auto x = torch::randn({230, kColumns}) * torch::rand({230, kColumns}).lt(0.1);
  return {x, x.mm(torch::randn({kColumns, classes})).argmax(1)};
}

ArrayDataModuleOptions data_options(int64_t workers) {
  return {.batch_size = 16, .num_workers = workers};
}

TrainerOptions quiet(const std::string& root) {
  return {.accelerator = "cpu", .max_epochs = 3, .deterministic = true, .default_root_dir = root};
}

std::unique_ptr<Classifier> make_model(const std::string& name, int64_t classes) {
  seed_everything(4);
  if (name == "mlp") {
    return std::make_unique<MLP>(MLPOptions{.in_features = kColumns,
                                            .num_classes = classes,
                                            .hidden_sizes = {8},
                                            .learning_rate = 0.01});
  }
  return std::make_unique<LogisticRegression>(
      LogisticRegressionOptions{.in_features = kColumns,
                                .num_classes = classes,
                                .learning_rate = 0.05,
                                .optimizer = name == "sgd" ? "SGD" : "Adam",
                                .l2_strength = 1e-3});
}

struct Outcome {
  StateDict weights;
  std::vector<double> values;
  NamedTensors predictions;
};

Outcome run(const std::string& name, int64_t classes, ArrayDataModule data) {
  const TemporaryFolder folder;
  auto model = make_model(name, classes);
  Trainer trainer(quiet(folder.string()));
  Outcome outcome;
  const auto keep = [&outcome](const MetricMap& metrics) {
    for (const auto& [key, value] : metrics) outcome.values.push_back(value);
  };
  trainer.fit(*model, data);
  for (const char* metric : {"train_loss", "val_loss", "val_acc"}) {
    for (const double value : trainer.run().history().values(metric)) {
      outcome.values.push_back(value);
    }
  }
  keep(trainer.validate(*model, data));
  keep(trainer.test(*model, data));
  outcome.predictions = trainer.predict(*model, data);
  outcome.weights = model->state_dict().clone();
  return outcome;
}

void expect_near(const Outcome& found, const Outcome& expected, double tolerance) {
  for (const auto& [name, tensor] : expected.weights.tensors) {
    EXPECT_TENSORS_NEAR(found.weights.tensor(name), tensor, tolerance);
  }
  ASSERT_EQ(found.values.size(), expected.values.size());
  EXPECT_GT(found.values.size(), 10U);
  for (size_t i = 0; i < found.values.size(); ++i) {
    EXPECT_NEAR(found.values[i], expected.values[i], tolerance) << i;
  }
  ASSERT_EQ(found.predictions.size(), 2U);
  EXPECT_TRUE(torch::equal(found.predictions[0].second, expected.predictions[0].second));
  EXPECT_TENSORS_NEAR(found.predictions[1].second, expected.predictions[1].second, tolerance);
}

TEST(SparseTraining, gives_what_dense_rows_give) {
  struct Case {
    const char* model;
    int64_t classes;
  };
  for (const auto& [model, classes] : {Case{"sgd", 2}, Case{"sgd", 4}, Case{"mlp", 3}}) {
    SCOPED_TRACE(std::string(model) + " " + std::to_string(classes));
    const auto [x, y] = make_data(classes);
    const auto dense = run(model, classes, ArrayDataModule(x, y, data_options(0)));
    for (const int64_t workers : {0, 2}) {
      const auto sparse =
          run(model, classes, ArrayDataModule(x.to_sparse_csr(), y, data_options(workers)));
      expect_near(sparse, dense, 1e-6);
    }
  }
}

// Rows that all have the value 1 need no values at all.
TEST(SparseTraining, rows_without_values_count_as_ones) {
  auto [x, y] = make_data(3);
  x = x.ne(0).to(torch::kFloat);
  const auto csr = x.to_sparse_csr();
  const Rows rows =
      Rows::sparse(csr.crow_indices(), csr.col_indices().to(torch::kInt), {}, kColumns);
  expect_near(run("sgd", 3, ArrayDataModule(rows, y, data_options(0))),
              run("sgd", 3, ArrayDataModule(x, y, data_options(0))), 1e-6);
}

/// Stops a fit at a step, with a checkpoint.
class StopAfter : public Callback {
 public:
  struct Options {
    int64_t step = 0;
  };
  explicit StopAfter(Options options) : step_(options.step) {}
  std::string state_key() const override { return "StopAfter"; }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    if (step.global_step() != step_) return;
    step.run().save("stop.ckpt");
    step.run().stop("as planned");
  }

 private:
  int64_t step_;
};

TEST(SparseTraining, resumes_bit_exact) {
  for (const int64_t classes : {2, 4}) {
    const auto [dense, y] = make_data(classes);
    const auto x = dense.to_sparse_csr();
    for (const int64_t workers : {0, 2}) {
      const TemporaryFolder folder;
      auto whole = make_model("adam", classes);
      ArrayDataModule data(x, y, data_options(workers));
      Trainer(quiet(folder.string())).fit(*whole, data);

      auto model = make_model("adam", classes);
      ArrayDataModule same(x, y, data_options(workers));
      Trainer first(quiet(folder.string()));
      first.add<StopAfter>({.step = 17});
      first.fit(*model, same);
      const auto checkpoint = first.run().log_dir() / "stop.ckpt";
      const auto input = module_description(load_checkpoint(checkpoint))->input;
      ASSERT_TRUE(input);
      EXPECT_EQ(input->shape, std::vector<int64_t>{kColumns});
      EXPECT_EQ(input->dtype, "float32");

      auto resumed = make_model("adam", classes);
      Trainer(quiet(folder.string())).fit(*resumed, same, checkpoint.string());
      const auto expected = whole->state_dict();
      for (const auto& [name, tensor] : resumed->state_dict().tensors) {
        EXPECT_TRUE(test::same_bits(tensor, expected.tensor(name))) << name;
      }
    }
  }
}

LogisticRegressionOptions sparse_options(int64_t classes, const std::string& optimizer,
                                         bool sparse) {
  return {.in_features = kColumns,
          .num_classes = classes,
          .learning_rate = 0.1,
          .optimizer = optimizer,
          .sparse_gradients = sparse};
}

TEST(SparseTraining, sparse_gradients_train_the_columns_that_occur_as_dense_gradients_do) {
  for (const char* optimizer : {"SGD", "Adagrad"}) {
    for (const int64_t classes : {2, 4}) {
      for (const int64_t accumulate : {1, 3}) {
        SCOPED_TRACE(std::string(optimizer) + " " + std::to_string(classes));
        const auto made = make_data(classes);
        const auto& x = made.first;  // a lambda can't capture a structured binding
        const auto& y = made.second;
        x.narrow(1, 20, 10).zero_();
        const TemporaryFolder folder;
        const auto train = [&](bool sparse) {
          seed_everything(4);
          auto model =
              std::make_unique<LogisticRegression>(sparse_options(classes, optimizer, sparse));
          auto options = quiet(folder.string());
          options.accumulate_grad_batches = accumulate;
          options.gradient_clip_val = 0.5;
          ArrayDataModule data(x.to_sparse_csr(), y, data_options(0));
          Trainer(options).fit(*model, data);
          return model->state_dict().clone();
        };
        const auto found = train(true);
        const auto expected = train(false);
        seed_everything(4);
        const LogisticRegression untrained(sparse_options(classes, optimizer, true));
        const auto before = untrained.named_parameters()["linear.weight"].narrow(1, 20, 10);
        const auto weight = found.tensor("linear.weight");
        EXPECT_TENSORS_NEAR(weight, expected.tensor("linear.weight"), 1e-6);
        EXPECT_TENSORS_NEAR(found.tensor("linear.bias"), expected.tensor("linear.bias"), 1e-6);
        EXPECT_TRUE(torch::equal(weight.narrow(1, 20, 10), before));
        EXPECT_FALSE(torch::equal(weight.narrow(1, 0, 10),
                                  untrained.named_parameters()["linear.weight"].narrow(1, 0, 10)));
      }
    }
  }
}

/// Two ranks that never meet.
class TwoRanks : public Ranks {
 public:
  int64_t rank() const override { return 0; }
  int64_t size() const override { return 2; }
  std::string from_rank_zero(const std::string&,
                             const std::function<std::string()>& make) override {
    return make();
  }
  bool any(bool raised) override { return raised; }
  std::vector<std::string> gather(const std::string& own) override { return {own, own}; }
  void barrier() override {}
};

TEST(SparseTraining, sparse_gradients_are_refused_where_they_cannot_be_had) {
  auto options = sparse_options(3, "SGD", true);
  options.l2_strength = 0.1;
  EXPECT_TRUE(says(message_of<ConfigError>([&] { LogisticRegression model(options); }),
                   {"sparse_gradients = true", "l2_strength = 0.1"}));
  const auto [x, y] = make_data(3);
  const TemporaryFolder folder;
  LogisticRegression adam(sparse_options(3, "Adam", true));
  ArrayDataModule data(x.to_sparse_csr(), y);
  EXPECT_TRUE(
      says(message_of<ModuleError>([&] { Trainer(quiet(folder.string())).fit(adam, data); }),
           {"'linear.weight' is sparse", "SGD without momentum or Adagrad"}));
  TwoRanks ranks;
  RunControl two;
  two.set_ranks(ranks);
  LogisticRegression model(sparse_options(3, "SGD", true));
  EXPECT_TRUE(says(message_of<ConfigError>([&] { model.on_fit_start(two); }), {"2 ranks"}));
}

TEST(SparseTraining, refuses_rows_of_another_width) {
  const TemporaryFolder folder;
  const auto [x, y] = make_data(3);
  auto model = make_model("sgd", 3);
  ArrayDataModule data(x.narrow(1, 0, 50).contiguous().to_sparse_csr(), y);
  EXPECT_TRUE(
      says(message_of<DataError>([&] { Trainer(quiet(folder.string())).fit(*model, data); }),
           {"50 features", "in_features = 60"}));
}

TEST(SparseTraining, bfloat16_products_are_left_to_autograd) {
  const auto [x, y] = make_data(3);
  LogisticRegression model({.in_features = kColumns, .num_classes = 3, .products = "bfloat16"});
  LogisticRegression exact({.in_features = kColumns, .num_classes = 3});
  exact.load_state_dict(model.state_dict());
  const auto gradient = [&y = y](Classifier& classifier, const torch::Tensor& input) {
    const auto loss = classifier.loss(classifier.forward(input), y);
    classifier.zero_grad();
    loss.backward();
    return classifier.parameters()[0].grad().clone();
  };
  EXPECT_TENSORS_NEAR(gradient(model, x.to_sparse_csr()), gradient(exact, x), 1e-6);
  const TemporaryFolder folder;
  ArrayDataModule data(x.to_sparse_csr(), y);
  Trainer(quiet(folder.string())).fit(model, data);
}

/// Returns its input.
class Echo : public test::Classifier {
 public:
  NamedTensors predict_step(const Batch& batch, Step&) override {
    return {{"echo", batch.input()}};
  }
};

TEST(SparseTraining, predictions_that_are_sparse_are_refused_by_name) {
  const auto [x, y] = make_data(3);
  const TemporaryFolder folder;
  Echo echo;
  ArrayDataModule data(x.to_sparse_csr(), y);
  EXPECT_TRUE(
      says(message_of<ModuleError>([&] { Trainer(quiet(folder.string())).predict(echo, data); }),
           {"'echo' as a sparse CSR tensor", "to_dense()"}));
}

// Each batch has another number of entries, so that a recorded step couldn't take it.
TEST(SparseTraining, steps_are_not_captured) {
  const auto train = [](const char* graph) {
    test::captured::Fit fit;
    fit.options.cuda_graph = graph;
    fit.data = test::PointsModule(103, {.batch_size = 10,
                                        .shuffle = true,
                                        .seed = 5,
                                        .transform = [](Batch& batch, const TransformContext&) {
                                          batch.set("input", batch.input().to_sparse_csr());
                                        }});
    return fit();
  };
  const auto found = train("auto");
  const auto expected = train("off");
  EXPECT_EQ(found.replays, 0);
  EXPECT_EQ(found.step_losses.size(), 33U);
  EXPECT_EQ(found.step_losses, expected.step_losses);
}

TEST(SparseTraining, columns_of_uneven_scale_are_noticed) {
  auto x = make_data(2).first.abs().clamp_max(2.0);
  EXPECT_TRUE(uneven_scales(Rows(x.to_sparse_csr())).empty());
  x.select(1, 7).mul_(1e6);
  const auto warning = uneven_scales(Rows(x.to_sparse_csr()));
  EXPECT_TRUE(says(warning, {"column 7", "keeps the zeros"}));
  const Rows ones = Rows::sparse(torch::tensor({0, 1}), torch::tensor({1}, torch::kInt), {}, 3);
  EXPECT_TRUE(uneven_scales(ones).empty());
}

}  // namespace levin::sparse_training_test
