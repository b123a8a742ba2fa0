// Fits by online learners, held against a plain loop over all weights in every step.
#include "framework/support.h"

#include <algorithm>
#include <barrier>
#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <levin/callbacks/progressive_validation.h>
#include <levin/datamodules/array.h>
#include <levin/datamodules/stream.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/run/run_control.h>
#include <levin/framework/solvers/online_methods.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/linear_regression.h>
#include <levin/models/logistic_regression.h>

#include "framework/message_of.h"
#include "models/support.h"

namespace levin::online_training_test {
namespace {

using test::message_of;
using test::says;
using test::TemporaryFolder;

constexpr int64_t kFeatures = 30;
constexpr int64_t kRows = 96;
constexpr int64_t kBatch = 16;

struct Settings {
  std::string method;
  double rate = 0.2;
  double l1 = 0.0;
  double l2 = 0.0;
  int64_t rows_a_step = 1;
};

Optimizers make(const Settings& s, std::vector<torch::Tensor> parameters) {
  if (s.method == "sgd") {
    return OnlineSGD(std::move(parameters), {.learning_rate = s.rate,
                                             .rate_decay = 0.01,
                                             .l1_strength = s.l1,
                                             .l2_strength = s.l2,
                                             .rows_a_step = s.rows_a_step});
  }
  if (s.method == "adagrad") {
    return OnlineAdagrad(std::move(parameters), {.learning_rate = s.rate,
                                                 .l1_strength = s.l1,
                                                 .l2_strength = s.l2,
                                                 .rows_a_step = s.rows_a_step});
  }
  return FTRL(std::move(parameters),
              {.learning_rate = s.rate, .l1 = s.l1, .l2 = s.l2, .rows_a_step = s.rows_a_step});
}

/// Rows of which a few numbers aren't 0, some of whose features are rare.
struct Data {
  torch::Tensor x, y, weight;
};

Data make_rows() {
  torch::manual_seed(3);
  const auto density = torch::linspace(0.02, 0.5, kFeatures);
  const auto present = torch::rand({kRows, kFeatures}).lt(density);
  const auto x = torch::randn({kRows, kFeatures}) * present;
  const auto noise = 0.3 * torch::randn({kRows});
  const auto y = (x.mv(torch::randn({kFeatures})) + noise).gt(0);
  return {x, y.to(torch::kLong), 0.25 + torch::rand({kRows})};
}

/// Rows with weights, in order.
class TensorRows final : public DataModule {
 public:
  explicit TensorRows(NamedTensors rows, bool validates = false)
      : rows_(std::make_shared<TensorDataset>(std::move(rows))), validates_(validates) {}
  DataLoaders train_dataloader() override { return DataLoader(rows_, {.batch_size = kBatch}); }
  DataLoaders val_dataloader() override { return validates_ ? train_dataloader() : DataLoaders(); }

 private:
  std::shared_ptr<TensorDataset> rows_;
  bool validates_;
};

ArrayDataModule rows_in_order(const torch::Tensor& x, const torch::Tensor& y) {
  return {Rows(x), y, {.batch_size = kBatch, .val_split = 0, .test_split = 0, .shuffle = false}};
}

/// The same updates, made for all weights in every step, in double.
struct Plain {
  explicit Plain(Settings settings) : s(std::move(settings)) {}

  void learn(const torch::Tensor& x, const torch::Tensor& y, bool is_squared = false) {
    const int64_t size = s.rows_a_step == 0 ? kBatch : s.rows_a_step;
    const auto rows = x.to(torch::kDouble);
    for (int64_t first = 0; first < x.size(0); first += size) {
      const int64_t count = std::min(size, x.size(0) - first);
      const auto some = rows.narrow(0, first, count);
      const auto target = y.narrow(0, first, count).to(torch::kDouble);
      const auto z = some.mv(w) + b;
      const auto row_loss = is_squared ? (z - target).square() : torch::softplus(z) - target * z;
      loss += row_loss.sum().item<double>();
      const auto slope = (is_squared ? 2 * (z - target) : torch::sigmoid(z) - target) / count;
      step(some.t().mv(slope), slope.sum());
    }
  }

  void step(const torch::Tensor& g, const torch::Tensor& gb) {
    const auto root = squares.sqrt(), bias_root = bias_squares.sqrt();
    const double sgd_rate = s.rate / std::sqrt(1.0 + 0.01 * static_cast<double>(steps++));
    squares = squares + g * g;
    bias_squares = bias_squares + gb * gb;
    if (s.method == "ftrl") {
      zs = zs + g - (squares.sqrt() - root) / s.rate * w;
      bias_z = bias_z + gb - (bias_squares.sqrt() - bias_root) / s.rate * b;
      w = -(zs - zs.sign() * s.l1) / (s.l2 + (1.0 + squares.sqrt()) / s.rate);
      w = torch::where(zs.abs() <= s.l1, 0.0, w);
      b = -bias_z / ((1.0 + bias_squares.sqrt()) / s.rate);
      return;
    }
    const bool is_sgd = s.method == "sgd";
    auto rate = is_sgd ? torch::full_like(g, sgd_rate) : s.rate / (squares.sqrt() + 1e-10);
    rate = is_sgd ? rate : torch::where(squares > 0, rate, 0.0);
    w = (1.0 - 2.0 * s.l2 * rate).clamp_min(0) * w - rate * g;
    w = w.sign() * (w.abs() - rate * s.l1).clamp_min(0);
    b = b - (is_sgd ? torch::full_like(gb, sgd_rate) : s.rate / (bias_squares.sqrt() + 1e-10)) * gb;
  }

  Settings s;
  torch::Tensor w = torch::zeros({kFeatures}, torch::kDouble), squares = torch::zeros_like(w),
                zs = torch::zeros_like(w);
  torch::Tensor b = torch::zeros({}, torch::kDouble), bias_squares = torch::zeros_like(b),
                bias_z = torch::zeros_like(b);
  double loss = 0.0;
  int64_t steps = 0;
};

std::unique_ptr<LogisticRegression> make_model(LogisticRegressionOptions options = {},
                                               torch::Dtype type = torch::kDouble) {
  options.in_features = kFeatures;
  options.num_classes = 2;
  auto model = std::make_unique<LogisticRegression>(options);
  model->to(type);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : model->parameters()) parameter.zero_();
  return model;
}

TrainerOptions quiet(const std::string& root, int64_t epochs = 1) {
  return {.accelerator = "cpu",
          .max_epochs = epochs,
          .num_sanity_val_steps = 0,
          .deterministic = true,
          .default_root_dir = root};
}

/// Keeps the weights that checkpoints, validations and ends of epochs see, by the step.
class Watch : public Callback {
 public:
  void on_validation_start(Run& run) override { keep("validation", run); }
  void on_train_epoch_end(Run& run) override { keep("epoch", run); }
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override {
    loss_sum += loss.item<double>() * static_cast<double>(batch.rows());
    if (step.global_step() == 4) step.run().save("at_4.ckpt");
  }
  void keep(const std::string& where, Run& run) {
    seen[where] = run.module().named_parameters()["linear.weight"].detach().clone().reshape({-1});
  }
  std::map<std::string, torch::Tensor> seen;
  double loss_sum = 0.0;
};

void fit(Module& model, DataModule& data, const Settings& settings, Trainer& trainer,
         const std::string& checkpoint = {}) {
  trainer.set_optimizers([&](Module& m) { return make(settings, m.parameters()); });
  trainer.fit(model, data, checkpoint);
}

torch::Tensor weight_of(const Module& model) {
  return model.named_parameters()["linear.weight"].detach().reshape({-1});
}

std::vector<Settings> all_settings() {
  std::vector<Settings> all;
  for (const char* method : {"sgd", "adagrad", "ftrl"}) {
    for (const int64_t rows_a_step : {1, 0, 5}) {
      const bool is_ftrl = std::string(method) == "ftrl";
      all.push_back({method, 0.2, 0.0, 0.0, rows_a_step});
      const double l1 = is_ftrl ? 0.5 : 0.004;
      const double l2 = is_ftrl ? 1.5 : 0.01;
      all.push_back({method, 0.2, l1, l2, rows_a_step});
      if (rows_a_step != 5) continue;
      all.push_back({method, 0.2, l1, 0.0, rows_a_step});
      all.push_back({method, 0.2, 0.0, l2, rows_a_step});
    }
  }
  return all;
}

TEST(OnlineTraining, weights_read_anywhere_are_those_of_dense_updates_in_every_step) {
  const auto data = make_rows();
  const auto sparse = data.x.to_sparse_csr();
  for (const auto& s : all_settings()) {
    SCOPED_TRACE(s.method + " l1 " + std::to_string(s.l1) + " rows a step " +
                 std::to_string(s.rows_a_step));
    const TemporaryFolder folder;
    Plain plain(s);
    Plain at_4(s);
    for (int64_t first = 0; first < kRows; first += kBatch) {
      const auto x = data.x.narrow(0, first, kBatch);
      const auto y = data.y.narrow(0, first, kBatch);
      plain.learn(x, y);
      if (first < 4 * kBatch) at_4.learn(x, y);
    }
    for (const auto type : {torch::kDouble, torch::kFloat}) {
      if (type == torch::kFloat && s.rows_a_step != 1) continue;
      auto model = make_model({}, type);
      TensorRows rows({{"input", sparse}, {"target", data.y}}, /*validates=*/true);
      Trainer trainer(quiet(folder.string()));
      auto& watch = trainer.add<Watch>();
      fit(*model, rows, s, trainer);
      const double tolerance = type == torch::kDouble ? 1e-9 : 2e-6;
      EXPECT_TENSORS_NEAR(weight_of(*model).to(torch::kDouble), plain.w, tolerance);
      EXPECT_TENSORS_NEAR(watch.seen.at("epoch").to(torch::kDouble), plain.w, tolerance);
      EXPECT_TENSORS_NEAR(watch.seen.at("validation").to(torch::kDouble), plain.w, tolerance);
      EXPECT_NEAR(model->named_parameters()["linear.bias"].item<double>(), plain.b.item<double>(),
                  tolerance);
      EXPECT_NEAR(watch.loss_sum, plain.loss, 1e-5);
      const auto saved = load_checkpoint(trainer.run().log_dir() / "at_4.ckpt").child("model");
      EXPECT_TENSORS_NEAR(saved.tensor("linear.weight").reshape({-1}).to(torch::kDouble), at_4.w,
                          tolerance);
      EXPECT_GT((plain.w - at_4.w).abs().max().item<double>(), 1e-3);
    }
  }
}

TEST(OnlineTraining, batches_of_weighted_rows_and_classes_are_those_of_the_optimizer_SGD) {
  const auto data = make_rows();
  const TemporaryFolder folder;
  const auto train = [&](const std::string& optimizer, bool is_logistic, const torch::Tensor& x) {
    NamedTensors rows;
    rows.emplace_back("input", x);
    rows.emplace_back("target", is_logistic ? data.y : data.x.sum(1));
    rows.emplace_back("weight", data.weight);
    TensorRows module(std::move(rows));
    Trainer trainer(quiet(folder.string(), 2));
    trainer.set_optimizers([&](Module& m) -> Optimizers {
      if (optimizer == "SGD") return SGD(m.parameters(), {.learning_rate = 0.1});
      return OnlineSGD(m.parameters(), {.learning_rate = 0.1, .rows_a_step = 0});
    });
    std::unique_ptr<Module> model =
        make_model({.l2_strength = 0.05, .class_weight = {{0.5, 2.0}}}, torch::kFloat);
    if (!is_logistic) {
      model = std::make_unique<LinearRegression>(LinearRegressionOptions{
          .in_features = kFeatures, .out_features = 1, .l2_strength = 0.05});
      const torch::NoGradGuard no_grad;
      for (auto& parameter : model->parameters()) parameter.zero_();
    }
    trainer.fit(*model, module);
    return std::pair(model->state_dict().clone(), trainer.run().history().values("train_loss"));
  };
  for (const bool is_logistic : {true, false}) {
    const auto [expected, losses] = train("SGD", is_logistic, data.x);
    for (const auto& x : {data.x, data.x.to_sparse_csr()}) {
      const auto [found, found_losses] = train("OnlineSGD", is_logistic, x);
      EXPECT_TENSORS_NEAR(found.tensor("linear.weight"), expected.tensor("linear.weight"), 1e-6);
      EXPECT_TENSORS_NEAR(found.tensor("linear.bias"), expected.tensor("linear.bias"), 1e-6);
      ASSERT_EQ(found_losses.size(), losses.size());
      EXPECT_NEAR(found_losses.back(), losses.back(), 1e-5);
    }
    EXPECT_GT(expected.tensor("linear.weight").abs().max().item<double>(), 0.05);
  }
}

/// Ends a fit after a step, with a checkpoint.
class EndAfter : public Callback {
 public:
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    if (step.global_step() != 8) return;
    step.run().save("end.ckpt");
    step.run().stop("as planned");
  }
};

TEST(OnlineTraining, resumes_bit_exact_and_counts_on) {
  const auto data = make_rows();
  const auto sparse = data.x.to_sparse_csr();
  const auto rows = [&] {
    return ArrayDataModule(Rows(sparse), data.y,
                           {.batch_size = kBatch, .val_split = 0.2, .test_split = 0});
  };
  for (const auto& s : all_settings()) {
    if (s.l1 == 0.0) continue;
    SCOPED_TRACE(s.method);
    const TemporaryFolder folder;
    const auto run = [&](Trainer& trainer, const std::string& checkpoint) {
      seed_everything(5);
      auto model = make_model({}, torch::kFloat);
      auto module = rows();
      fit(*model, module, s, trainer, checkpoint);
      return std::pair(model->state_dict().clone(),
                       trainer.run().history().values("progressive_loss"));
    };
    Trainer whole(quiet(folder.string(), 3));
    whole.add<ProgressiveValidation>();
    const auto [expected, losses] = run(whole, {});
    Trainer first(quiet(folder.string(), 3));
    first.add<ProgressiveValidation>();
    first.add<EndAfter>();
    const auto [early, early_losses] = run(first, {});
    EXPECT_FALSE(torch::equal(early.tensor("linear.weight"), expected.tensor("linear.weight")));
    Trainer second(quiet(folder.string(), 3));
    second.add<ProgressiveValidation>();
    const auto [found, found_losses] = run(second, (first.run().log_dir() / "end.ckpt").string());
    for (const auto& [name, tensor] : expected.tensors) {
      EXPECT_TRUE(torch::equal(found.tensor(name), tensor)) << name;
    }
    EXPECT_EQ(found_losses, losses);
  }
}

TEST(OnlineTraining, a_further_fit_begins_with_the_weights_there_are) {
  const auto data = make_rows();
  for (const char* method : {"sgd", "adagrad", "ftrl"}) {
    SCOPED_TRACE(method);
    const Settings s{method};
    const TemporaryFolder folder;
    auto model = make_model();
    {
      const torch::NoGradGuard no_grad;
      model->named_parameters()["linear.weight"].fill_(0.125);
      model->named_parameters()["linear.bias"].fill_(-0.5);
    }
    auto rows = rows_in_order(data.x.to_sparse_csr(), data.y);
    Trainer trainer(quiet(folder.string()));
    fit(*model, rows, s, trainer);
    Plain plain(s);
    plain.w.fill_(0.125);
    plain.b.fill_(-0.5);
    plain.zs = -plain.w / s.rate;  // beta is 1
    plain.bias_z = -plain.b / s.rate;
    plain.learn(data.x, data.y);
    EXPECT_TENSORS_NEAR(weight_of(*model), plain.w, 1e-9);
    // Weights that a checkpoint brings are a start, too.
    const auto path = folder.path() / "weights.ckpt";
    trainer.save_checkpoint(path);
    auto loaded = make_model();
    loaded->load_state_dict(load_checkpoint(path));
    EXPECT_TRUE(torch::equal(weight_of(*loaded), weight_of(*model)));
    Trainer further(quiet(folder.string()));
    fit(*loaded, rows, s, further);
    EXPECT_FALSE(torch::equal(weight_of(*loaded), weight_of(*model)));
  }
}

TEST(OnlineTraining, rows_that_are_read_from_files_as_they_come_are_learned_from_alike) {
  const auto data = make_rows();
  const TemporaryFolder folder;
  const auto path = folder.path() / "rows.csv";
  {
    std::ofstream file(path);
    for (int64_t i = 0; i < kRows; ++i) {
      for (int64_t j = 0; j < kFeatures; ++j) {
        file << fmt::format("{:.9g},", data.x[i][j].item<float>());
      }
      file << data.y[i].item<int64_t>() << "\n";
    }
  }
  for (const char* method : {"sgd", "adagrad", "ftrl"}) {
    SCOPED_TRACE(method);
    const Settings s{method};
    StreamDataModule rows({.train = {path.string()}, .batch_size = kBatch, .shuffle = false});
    auto model = make_model();
    Trainer trainer(quiet(folder.string()));
    fit(*model, rows, s, trainer);
    Plain plain(s);
    plain.learn(data.x, data.y);
    EXPECT_TENSORS_NEAR(weight_of(*model), plain.w, 1e-9);
  }
}

/// A scheduler's rates count for penalties of weights that were last changed at another rate.
TEST(OnlineTraining, schedulers_change_the_rate) {
  const auto data = make_rows();
  const TemporaryFolder folder;
  for (const char* method : {"sgd", "adagrad"}) {
    SCOPED_TRACE(method);
    Settings s{method, 0.2, 0.004, 0.01};
    auto rows = rows_in_order(data.x.to_sparse_csr(), data.y);
    auto model = make_model();
    Trainer trainer(quiet(folder.string(), 2));
    trainer.set_optimizers([&](Module& m) {
      auto optimizers = make(s, m.parameters());
      optimizers.add_scheduler(
          std::make_unique<StepLR>(StepLROptions{.step_size = 1, .gamma = 0.5}));
      return optimizers;
    });
    trainer.fit(*model, rows);
    Plain plain(s);
    plain.learn(data.x, data.y);
    plain.s.rate = 0.1;
    plain.learn(data.x, data.y);
    EXPECT_TENSORS_NEAR(weight_of(*model), plain.w, 1e-9);
  }
}

class OwnModel : public LogisticRegression {
 public:
  using LogisticRegression::LogisticRegression;
};

TEST(OnlineTraining, what_cannot_be_learned_is_refused_before_the_first_step) {
  const auto data = make_rows();
  const TemporaryFolder folder;
  const auto refusal = [&](Module& model, TrainerOptions options, const Settings& s,
                           const torch::Tensor& x) {
    auto rows = rows_in_order(x, data.y);
    Trainer trainer(std::move(options));
    auto message = message_of<ConfigError>([&] { fit(model, rows, s, trainer); });
    EXPECT_EQ(trainer.run().global_step(), 0);
    return message;
  };
  const auto x = data.x.to_sparse_csr();
  const auto options = quiet(folder.string());
  LogisticRegression several({.in_features = kFeatures, .num_classes = 3});
  EXPECT_TRUE(says(refusal(several, options, {"sgd"}, x), {"OnlineSGD", "3 outputs", "solver"}));
  OwnModel own({.in_features = kFeatures, .num_classes = 2});
  EXPECT_TRUE(says(refusal(own, options, {"adagrad"}, x), {"OwnModel", "linear_loss"}));
  auto clipped = options;
  clipped.gradient_clip_val = 1.0;
  EXPECT_TRUE(says(refusal(*make_model(), clipped, {"ftrl"}, x), {"gradient_clip_val", "FTRL"}));
  auto windows = options;
  windows.accumulate_grad_batches = 2;
  EXPECT_TRUE(says(refusal(*make_model(), windows, {"sgd"}, x), {"accumulate_grad_batches = 2"}));
  const auto penalised = make_model({.l1_strength = 0.1});
  EXPECT_TRUE(says(refusal(*penalised, options, {"ftrl"}, x), {"l1_strength = 0.1", "sum"}));
  EXPECT_TRUE(says(refusal(*penalised, options, {"sgd", 0.1, 0.1}, x), {"of its own"}));
  const int64_t wide = OnlineBatch::kMostDenseFeatures + 1;
  LogisticRegression many({.in_features = wide, .num_classes = 2});
  EXPECT_TRUE(
      says(refusal(many, options, {"sgd"}, torch::zeros({kRows, wide})), {"4097", "sparse rows"}));
  EXPECT_TRUE(says(message_of<ConfigError>([] {
                     FTRL({torch::zeros({1, 2})}, {.beta = 0.0});
                   }),
                   {"beta"}));
  EXPECT_TRUE(says(message_of<ConfigError>([] {
                     OnlineSGD({torch::zeros({1, 2})}, {.rows_a_step = -1});
                   }),
                   {"rows_a_step"}));
}

TEST(OnlineTraining, the_model_names_a_learner_and_its_penalties_count) {
  const auto data = make_rows();
  const TemporaryFolder folder;
  auto model = make_model({.learning_rate = 0.2,
                           .optimizer = "OnlineAdagrad",
                           .l1_strength = 0.004,
                           .l2_strength = 0.01});
  auto rows = rows_in_order(data.x.to_sparse_csr(), data.y);
  Trainer trainer(quiet(folder.string()));
  trainer.fit(*model, rows);
  Plain plain({"adagrad", 0.2, 0.004, 0.01});
  plain.learn(data.x, data.y);
  EXPECT_TENSORS_NEAR(weight_of(*model), plain.w, 1e-9);
  EXPECT_GT(plain.w.eq(0).sum().item<int64_t>(), 0);
}

/// Two ranks that are threads of this process.
class ThreadRanks final : public Ranks {
 public:
  struct Shared {
    std::barrier<> meeting{2};
    std::vector<std::string> texts{2};
  };
  ThreadRanks(Shared& shared, int64_t rank) : shared_(shared), rank_(rank) {}
  int64_t rank() const override { return rank_; }
  int64_t size() const override { return 2; }
  std::string from_rank_zero(const std::string&,
                             const std::function<std::string()>& make) override {
    return make();
  }
  bool any(bool raised) override { return raised; }
  std::vector<std::string> gather(const std::string& own) override {
    shared_.texts[static_cast<size_t>(rank_)] = own;
    shared_.meeting.arrive_and_wait();
    auto all = shared_.texts;
    shared_.meeting.arrive_and_wait();
    return all;
  }
  void barrier() override {}

 private:
  Shared& shared_;
  int64_t rank_;
};

TEST(OnlineTraining, ranks_go_on_from_the_mean_of_what_they_have_learned) {
  const auto data = make_rows();
  for (const char* method : {"sgd", "adagrad", "ftrl"}) {
    SCOPED_TRACE(method);
    const bool is_ftrl = std::string(method) == "ftrl";
    const Settings s{method, 0.2, is_ftrl ? 0.5 : 0.004, is_ftrl ? 1.5 : 0.01};
    const auto rows_of = [&](int64_t rank, int64_t part) {
      const int64_t first = rank * kRows / 2 + part * kBatch;
      return std::pair(data.x.narrow(0, first, kBatch), data.y.narrow(0, first, kBatch));
    };
    ThreadRanks::Shared shared;
    std::vector<std::unique_ptr<LogisticRegression>> models;
    for (int64_t rank = 0; rank < 2; ++rank) models.push_back(make_model());
    const auto work = [&](int64_t rank) {
      auto& model = *models[static_cast<size_t>(rank)];
      ThreadRanks ranks(shared, rank);
      auto optimizers = make(s, model.parameters());
      auto& learner = dynamic_cast<OnlineLearner&>(*optimizers.entries()[0].optimizer);
      learner.begin(*model.linear_loss());
      for (int64_t part = 0; part < 2; ++part) {
        const auto [x, y] = rows_of(rank, part);
        learner.learn(Batch({{"input", x.to_sparse_csr()}, {"target", y}}));
        if (part == 0) learner.average(ranks);
      }
      learner.complete_parameters();
    };
    std::thread other([&] { work(1); });
    work(0);
    other.join();
    std::vector<Plain> plain(2, Plain(s));
    for (int64_t rank = 0; rank < 2; ++rank) {
      const auto [x, y] = rows_of(rank, 0);
      plain[static_cast<size_t>(rank)].learn(x, y);
    }
    const auto& [a, b] = std::tie(plain[0], plain[1]);
    const auto squares = (a.squares + b.squares) / 2,
               bias_squares = (a.bias_squares + b.bias_squares) / 2;
    const bool by_squares = std::string(method) == "adagrad";
    auto w = (a.w + b.w) / 2, bias = (a.b + b.b) / 2;
    if (by_squares) {
      w = torch::where(squares > 0, (a.w * a.squares + b.w * b.squares) / (2 * squares), w);
      bias = (a.b * a.bias_squares + b.b * b.bias_squares) / (2 * bias_squares);
    }
    const auto zs = (a.zs + b.zs) / 2, bias_z = (a.bias_z + b.bias_z) / 2;
    if (is_ftrl) {
      w = -(zs - zs.sign() * s.l1) / (s.l2 + (1.0 + squares.sqrt()) / s.rate);
      w = torch::where(zs.abs() <= s.l1, 0.0, w);
      bias = -bias_z / ((1.0 + bias_squares.sqrt()) / s.rate);
    }
    for (int64_t rank = 0; rank < 2; ++rank) {
      auto& own = plain[static_cast<size_t>(rank)];
      own.w = w;
      own.b = bias;
      own.squares = squares;
      own.bias_squares = bias_squares;
      own.zs = zs;
      own.bias_z = bias_z;
      const auto [x, y] = rows_of(rank, 1);
      own.learn(x, y);
      EXPECT_TENSORS_NEAR(weight_of(*models[static_cast<size_t>(rank)]), own.w, 1e-9);
    }
  }
}

TEST(OnlineTraining, progressive_validation_prints_at_powers_of_two) {
  const auto data = make_rows();
  const TemporaryFolder folder;
  const auto lines_of = [&](int64_t every, double& average, double& sum) {
    auto model = make_model();
    auto rows = rows_in_order(data.x.to_sparse_csr(), data.y);
    Trainer trainer(quiet(folder.string(), 2));
    auto& progress = trainer.add<ProgressiveValidation>({.every_n_rows = every});
    auto& watch = trainer.add<Watch>();
    testing::internal::CaptureStderr();
    fit(*model, rows, {"adagrad"}, trainer);
    std::istringstream text(testing::internal::GetCapturedStderr());
    std::vector<int64_t> counted;
    bool has_begun = false;
    double mean = 0.0, since = 0.0;
    for (std::string line; std::getline(text, line);) {
      std::istringstream words(line);
      double count = 0.0;
      if (has_begun && words >> mean >> since >> count) counted.push_back(std::llround(count));
      has_begun = has_begun || line.find("counted") != std::string::npos;
    }
    EXPECT_NEAR(mean, progress.average(), 1e-6);
    EXPECT_EQ(progress.rows(), 2 * kRows);
    average = progress.average();
    sum = watch.loss_sum;
    return counted;
  };
  double average = 0.0, sum = 0.0;
  EXPECT_EQ(lines_of(0, average, sum), (std::vector<int64_t>{16, 32, 64, 128, 192}));
  EXPECT_NEAR(average, sum / (2.0 * kRows), 1e-9);
  EXPECT_EQ(lines_of(40, average, sum), (std::vector<int64_t>{48, 80, 128, 160, 192}));
  EXPECT_THROW(ProgressiveValidation({.every_n_rows = -1}), ConfigError);
}

// Rank 0 has batches of 3 rows with a loss of 1, rank 1 of 2 rows with a loss of 2.
TEST(OnlineTraining, progressive_validation_counts_the_rows_of_all_ranks) {
  ThreadRanks::Shared shared;
  std::vector<std::vector<int64_t>> seen(2);
  std::vector<double> averages(2);
  testing::internal::CaptureStderr();
  const auto work = [&](int64_t rank) {
    ThreadRanks ranks(shared, rank);
    RunControl run;
    run.set_ranks(ranks);
    LoggedValues unused;
    StepControl step(run, unused, true);
    ProgressiveValidation progress;
    progress.on_fit_start(run);
    const Batch batch({{"input", torch::zeros({rank == 0 ? 3 : 2, 1})}});
    const auto loss = torch::full({}, rank == 0 ? 1.0 : 2.0);
    for (int64_t i = 0; i < 7; ++i) {
      progress.on_train_batch_end(loss, batch, step);
      seen[static_cast<size_t>(rank)].push_back(progress.rows());
    }
    progress.on_train_end(run);
    averages[static_cast<size_t>(rank)] = progress.average();
  };
  std::thread other([&] { work(1); });
  work(0);
  other.join();
  const auto text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(seen[0], (std::vector<int64_t>{5, 10, 10, 20, 20, 20, 35}));  // where ranks have met
  EXPECT_EQ(seen[1], seen[0]);
  EXPECT_NEAR(averages[0], 1.4, 1e-12);
  EXPECT_EQ(averages[1], averages[0]);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'),
            6);  // two of the header, and rank 0's lines
}

}  // namespace
}  // namespace levin::online_training_test
