#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <levin/cli/shipped_classes.h>
#include <levin/framework/checkpoint/torch_file.h>
#include <levin/framework/config/job.h>
#include <levin/framework/config/load_datamodule.h>
#include <levin/framework/parameter_server/parameter_client.h>
#include <levin/framework/parameter_server/parameter_server.h>
#include <levin/framework/tensor/divided_memory.h>
#include <levin/levin.h>
#include <levin/tuning/trials/tune.h>

#include "framework/support.h"
#include "framework/temporary_folder.h"

// The C++ that pages of docs/ show: tests/docs/run_page.py compares them with this file. Code that
// needs no more than a few rows is run, and the rest is compiled.

namespace levin::page_blocks_test {

using test::make_points;
using test::TemporaryFolder;

/// Lets relative paths be those of a temporary folder.
class Pages : public ::testing::Test {
 protected:
  Pages() { std::filesystem::current_path(folder_.path()); }
  ~Pages() override { std::filesystem::current_path(before_); }

 private:
  const std::filesystem::path before_ = std::filesystem::current_path();
  TemporaryFolder folder_;
};

std::shared_ptr<const Dataset> some_rows(uint64_t seed) {
  const auto points = make_points(60, seed);
  return std::make_shared<TensorDataset>(points.input, points.target);
}

void write_table(const std::string& path) {
  std::ofstream file(path);
  file << "a,b,class\n";
  for (int row = 0; row < 30; ++row) file << row % 7 << "," << row % 3 << "," << row % 2 << "\n";
}

// --- docs/data.md ---

TEST_F(Pages, data_has_a_fit_from_loaders_and_data_sets) {
  const auto rows = some_rows(1);
  const auto others = some_rows(2);
  const DataLoader more(others, {.batch_size = 256});
  test::Classifier model;
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .num_sanity_val_steps = 0});
  levin::DataLoader train(rows, {.batch_size = 32, .shuffle = true}),
      val(others, {.batch_size = 256});
  trainer.fit(model, train, val);
  trainer.validate(model, {val, more});
  trainer.predict(model, val);

  auto data = levin::from_datasets({.train = {rows}, .val = {others}}, {.batch_size = 32});
  trainer.fit(model, data);
  std::cout << data;
  EXPECT_EQ(trainer.run().global_step(), 2);
}

TEST_F(Pages, data_has_data_modules_made_from_a_checkpoint) {
  write_table("train.csv");
  write_table("new.csv");
  MLP model({});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .num_sanity_val_steps = 0});
  ArrayDataModule trained({.x = "train.csv"});
  trainer.fit(model, trained);
  trainer.save_checkpoint("best.ckpt");

  auto data = levin::load_datamodule(levin::shipped_classes(), "best.ckpt");
  auto rows = levin::load_datamodule<levin::ArrayDataModule>("best.ckpt", [](auto& options) {
    options.x = "";
    options.x_test = "new.csv";
  });
  trainer.test(model, *rows, "best.ckpt");
  EXPECT_EQ(data->hyper_parameters(), trained.hyper_parameters());
  EXPECT_EQ(rows->test_dataloader().front().dataset().size(), 30);
}

void folds() {
  levin::ArrayDataModule all({.x = "train.csv", .val_split = 0, .test_split = 0});
  for (int64_t fold = 0; fold < 5; ++fold) {
    levin::KFoldDataModule data(all, {.folds = 5, .fold = fold, .stratify = true});
    levin::MLP model({});
    levin::Trainer trainer({.max_epochs = 10});
    trainer.fit(model, data);
  }
}

void transformed() {
  levin::CIFAR10DataModule data(
      {.transforms = {"normalize",
                      {"random_crop", levin::Value::Object{{"padding", 4}}},
                      "random_horizontal_flip"}});
}

struct TwoLoaders : DataModule {
  levin::DataLoaders train_dataloader() override {
    return levin::DataLoaders::together({{"labelled", labelled_}, {"unlabelled", unlabelled_}},
                                        levin::LoaderMode::max_size_cycle);
  }
  DataLoader labelled_{some_rows(1), {}};
  DataLoader unlabelled_{some_rows(2), {}};
};

struct TwoParts : Module {
  static torch::Tensor loss(const Batch& labelled, const Batch&) { return labelled.input().sum(); }
  torch::Tensor training_step(const levin::Batch& batch, levin::Step&) override {
    return loss(batch.part("labelled"), batch.part("unlabelled"));
  }
};

// --- docs/own_data.md, docs/own_loss.md, docs/resume.md ---

/// The numbers 0, 1, 2 ... and their squares: input [batch, 1], target [batch, 1].
class Squares : public levin::Dataset {
 public:
  std::optional<int64_t> size() const override { return 1000; }
  void get_batch(std::span<const int64_t> rows, levin::Batch& out) const override {
    const auto numbers = torch::tensor(std::vector<double>(rows.begin(), rows.end())).unsqueeze(1);
    out.set("input", numbers);
    out.set("target", numbers.square());
  }
};

TEST_F(Pages, own_data_has_a_data_set_that_a_loader_reads) {
  levin::DataLoader train(std::make_shared<Squares>(),
                          {.batch_size = 100, .shuffle = true, .num_workers = 2});
  Reader reader = train.open();
  double sum = 0;
  for (Batch batch; reader.next(batch);) {
    EXPECT_TRUE(torch::equal(batch.target(), batch.input().square()));
    sum += batch.input().sum().item<double>();
  }
  EXPECT_EQ(sum, 499500);
}

class FocalNet : public levin::Classifier {
 public:
  FocalNet()
      : Classifier({.num_classes = 3}),
        linear_(register_module("linear", torch::nn::Linear(4, 3))) {}

  torch::Tensor forward(const torch::Tensor& input) override { return linear_(input); }
  torch::Tensor loss(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    const auto losses = torch::cross_entropy_loss(logits, targets, {}, at::Reduction::None);
    return ((1 - (-losses).exp()).square() * losses).mean();
  }

 private:
  torch::nn::Linear linear_;
};

class Robust : public levin::Module {
 public:
  torch::Tensor training_step(const levin::Batch& batch, levin::Step& step) override {
    const auto output = linear_(batch.input());
    const auto loss = torch::smooth_l1_loss(output, batch.target());
    const auto penalty = 1e-3 * output.square().mean();
    step.log("train_loss", loss);
    step.log("train_penalty", penalty);
    return loss + penalty;
  }
  levin::Optimizers configure_optimizers() override {
    return SGD(parameters(), {.learning_rate = 0.1});
  }

 private:
  torch::nn::Linear linear_ = register_module("linear", torch::nn::Linear(4, 1));
};

TEST_F(Pages, own_loss_has_losses_that_are_trained_with) {
  const auto points = make_points(60);
  FocalNet model;
  ArrayDataModule data(points.input, points.target, {.batch_size = 20});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .num_sanity_val_steps = 0});
  trainer.fit(model, data);
  EXPECT_GT(trainer.run().metrics().at("val_loss"), 0);
  Robust robust;
  ArrayDataModule values(points.input, points.target.to(torch::kFloat).unsqueeze(1), {});
  Trainer again({.accelerator = "cpu", .max_epochs = 1, .num_sanity_val_steps = 0});
  again.fit(robust, values);
  EXPECT_GT(again.run().metrics().at("train_penalty"), 0);
}

void resumed(Trainer& trainer, Module& model, DataModule& data) {
  trainer.fit(model, data, "last");
}

// --- docs/sklearn.md ---

TEST_F(Pages, sklearn_has_a_regression_in_cpp) {
  const auto [x, y] = make_points(90);
  levin::ArrayDataModule data(x, y, {.val_split = 0, .test_split = 0});
  levin::LogisticRegression model({.C = 1.0, .solver = "auto"});
  levin::Trainer trainer;
  trainer.fit(model, data);
  const auto right = model.forward(x).argmax(1).eq(y).to(torch::kDouble).mean();
  EXPECT_GT(right.item<double>(), 0.8);
}

// --- docs/configuration.md ---

void linked(Registry& registry) {
  registry.link_arguments("data.batch_size", "model.batch_size");
  registry.link_arguments({"trainer.max_epochs", "data.steps"}, "lr_scheduler.T_max",
                          [](const std::vector<levin::Value>& values) {
                            return levin::Value(values[0].as_int() * values[1].as_int());
                          });
}

// --- docs/exchange.md ---

class Net : public levin::Module {
 public:
  Net() { register_module("linear", linear_); }
  torch::Tensor forward(const torch::Tensor& input) { return linear_(input); }

 private:
  torch::nn::Linear linear_{4, 3};
};

void loaded() {
  auto model = levin::load_module<levin::LogisticRegression>("lightning.ckpt");
  auto mlp = levin::load_module<levin::MLP>(
      "net.pt", {.in_features = 4, .num_classes = 3, .hidden_sizes = {5, 5}});

  Net net;
  levin::load_into(net, "net.pt");
}

void chosen_by_prefix(Module& module) {
  module.load_state_dict(levin::module_weights(levin::load_checkpoint("both.pt")).child("student"));
}

TEST_F(Pages, exchange_has_weights_for_a_module_of_ones_own) {
  save_torch_file("net.pt", Net().state_dict());
  Net net;
  levin::load_into(net, "net.pt");
  EXPECT_FALSE(net.is_training());
}

// --- docs/metrics.md, docs/sharding.md ---

namespace with_metric {
class Net : public levin::Module {
  levin::F1Score val_f1_;
  void validation_step(const levin::Batch& batch, levin::Step& step) override {
    val_f1_.update_logits(forward(batch.input()), batch.target());
    step.log("val_f1", val_f1_, {.prog_bar = true});
  }
  static torch::Tensor forward(const torch::Tensor& input) { return input; }
};
}  // namespace with_metric

struct Norms : Callback {
  void on_train_epoch_end(levin::Run& run) override {
    const levin::WholeTensors whole(run.module().parameters());
    norm_ = run.module().parameters()[0].norm().item<double>();
  }
  double norm_ = 0;
};

// --- docs/parallelism.md ---

namespace divided {
class Net : public levin::Module {
 public:
  torch::Tensor forward(const torch::Tensor& rows) { return down(torch::relu(up(rows))); }
  levin::ColumnLinear up = register_module("up", levin::ColumnLinear(levin::ColumnLinearOptions{
                                                     .in_features = 784, .out_features = 4096}));
  levin::RowLinear down = register_module(
      "down", levin::RowLinear(levin::RowLinearOptions{.in_features = 4096, .out_features = 10}));
};

void step(DataLoader& loader, ProcessGroup& data, const torch::Tensor& row_losses, Net& model,
          double rows_of_all, std::shared_ptr<ProcessGroup>& tensor, Optimizer& optimizer) {
  levin::Reader reader = loader.open(0, 0, {data.rank(), data.world_size()});
  (row_losses.sum() / rows_of_all).backward();
  for (auto& parameter : model.parameters()) data.all_reduce(parameter.mutable_grad());
  levin::clip_grad_norm_of_shards(model, 1.0, *tensor);
  optimizer.step();
}

void checkpoints(Module& model, Optimizer& optimizer, std::shared_ptr<ProcessGroup>& tensor,
                 const ProcessGroup& all) {
  const auto shards = levin::find_shards(model);
  levin::StateDict state;
  state.add("model", levin::gather_shards(model.state_dict(), shards, *tensor));
  state.add("optimizer", levin::gather_shards(optimizer.state_dict(), shards, *tensor));
  if (all.rank() == 0) levin::save_checkpoint("last.ckpt", state);

  const auto saved = levin::load_checkpoint("last.ckpt");
  model.load_state_dict(levin::take_shards(saved.child("model"), shards));
  optimizer.load_state_dict(levin::take_shards(saved.child("optimizer"), shards));
}

void groups(at::Device device, const torch::Tensor& rows) {
  levin::ProcessGroup all(*levin::find_cluster(), device);
  const auto mesh = levin::DeviceMesh::of(all.world_size(), {.tensor = 4});
  auto tensor = std::make_shared<levin::ProcessGroup>(
      all, mesh.group_of(levin::MeshAxis::tensor, all.rank()), "tensor");
  levin::ProcessGroup data(all, mesh.group_of(levin::MeshAxis::data, all.rank()), "data");
  levin::ColumnLinear up(levin::ColumnLinearOptions{.in_features = 784, .out_features = 4096},
                         tensor);
  levin::RowLinear down(levin::RowLinearOptions{.in_features = 4096, .out_features = 10}, tensor);
  const auto logits = down(torch::relu(up(rows)));
}
}  // namespace divided

// --- docs/parameter_server.md, docs/tuning.md ---

void served(const std::string& token, const std::vector<ServerAddress>& addresses, int64_t worker,
            const std::vector<float>& gradient) {
  using levin::ParameterClient, levin::ParameterServer, levin::ServerGradient, levin::ServerSpan;

  ParameterServer server({.workers = 4,
                          .staleness = 2,
                          .rows = 600,
                          .width = 8,
                          .token = token,
                          .host = "10.0.0.1",
                          .server = 0,
                          .servers = 2},
                         std::vector<float>(600 * 8),
                         [](ServerSpan values, std::span<const ServerGradient> gradients) {
                           for (const auto& each : gradients) {
                             levin::add_gradient(values, 8, each, -0.1);
                           }
                         });

  ParameterClient client(addresses, worker, token);
  std::vector<float> weights(1000 * 8), some(2 * 8);
  client.pull(weights);
  client.pull(some, std::vector<int64_t>{3, 700});
  client.push(gradient, std::vector<int64_t>{3, 700}, {.weight = 32.0});
}

double searched() {
  auto space = levin::SearchSpace::from_value(levin::Value::Object{
      {"model.learning_rate", levin::Value::Object{{"low", 1e-4}, {"high", 0.1}, {"log", true}}}});
  const auto result =
      levin::tune(levin::shipped_classes(), levin::read_configuration({"digits.yaml"}, {}),
                  std::move(space), {.metric = {"val_loss"}, .trials = 20});
  const double val_loss = result.best->values[0];
  return val_loss;
}

}  // namespace levin::page_blocks_test
