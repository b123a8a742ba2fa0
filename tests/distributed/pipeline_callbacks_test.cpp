// What callbacks and logged values see of pipelines, whose ranks all have the same rows.
#include <memory>
#include <string>

#include <torch/torch.h>

#include <levin/callbacks/prediction_writer.h>
#include <levin/callbacks/progressive_validation.h>
#include <levin/callbacks/weight_averaging.h>
#include <levin/framework/data/dataset.h>
#include <levin/framework/metrics/regression_metrics.h>
#include <levin/framework/optimizers/sgd.h>
#include <levin/framework/run/pipeline_module.h>
#include <levin/framework/trainer/trainer.h>

#include "distributed/pipeline_rows.h"
#include "distributed/rank_outcome.h"
#include "distributed/run_ranks.h"
#include "framework/message_of.h"

namespace levin::test::pipeline_callbacks_test {
namespace {

/// Two layers, one for each of two ranks. The last rank logs more than the first one.
class TwoLayers final : public levin::PipelineModule {
 public:
  TwoLayers() {
    layers_->push_back(torch::nn::Linear(3, 4));
    layers_->push_back(torch::nn::Linear(4, 1));
    layers_->to(torch::kDouble);
  }
  torch::nn::Sequential layers() override { return layers_; }
  torch::Tensor loss(const torch::Tensor& outputs, const levin::Batch& batch) override {
    return torch::mse_loss(outputs, batch.target());
  }
  void on_outputs(const torch::Tensor& outputs, const torch::Tensor& /*loss*/,
                  const levin::Batch& batch, levin::Step& step) override {
    step.log("train_mean", outputs.mean(), {.on_step = false, .on_epoch = true});
    step.log("train_sum", outputs.sum(),
             {.on_step = false, .on_epoch = true, .reduce = levin::Reduce::sum});
    train_mse_.update(outputs, batch.target());
    step.log("train_mse", train_mse_);
  }
  void validation_step(const levin::Batch& batch, levin::Step& step) override {
    const auto outputs = forward(batch);
    if (!is_last(step.run())) return;
    step.log("last_loss", loss(outputs, batch));
    step.log("last_min", outputs.min(), {.reduce = levin::Reduce::min});
    step.log("last_max", outputs.max(), {.reduce = levin::Reduce::max});
    step.log("last_sum", outputs.sum(), {.reduce = levin::Reduce::sum});
    mse_.update(outputs, batch.target());
    step.log("last_mse", mse_);
  }
  void on_train_epoch_end(levin::Run& run) override {
    if (is_last(run)) run.log("last_epoch", 2.5);
    run.log("nothing", 0.0);
    const auto own = torch::full({1}, is_last(run) ? 3.0 : 5.0);
    run.log("sum_of_models", run.reduce(own));
    run.log("mean_of_models", run.reduce(own, levin::Reduce::mean));
  }
  levin::NamedTensors predict(const levin::Batch& batch) override {
    return {{"outputs", forward(batch)}};
  }
  levin::Optimizers configure_optimizers() override {
    return levin::SGD(parameters(), {.learning_rate = 0.05});
  }

 private:
  static bool is_last(const levin::Run& run) {
    return run.place().model_rank + 1 == run.place().model_size;
  }

  torch::nn::Sequential layers_ = register_module("layers", torch::nn::Sequential());
  levin::MeanSquaredError mse_;
  levin::MeanSquaredError train_mse_;
};

/// 13 rows in batches of 4 on all ranks together.
class Rows final : public levin::DataModule {
 public:
  explicit Rows(int64_t replicas) : batch_size_(4 / replicas) {}
  levin::DataLoaders train_dataloader() override { return loader(); }
  levin::DataLoaders val_dataloader() override { return loader(); }
  levin::DataLoaders predict_dataloader() override { return loader(); }

 private:
  levin::DataLoader loader() const {
    const auto x = torch::randn({13, 3}, at::detail::createCPUGenerator(1), torch::kDouble);
    return {std::make_shared<levin::TensorDataset>(x, x.sum(1, true)), {.batch_size = batch_size_}};
  }

  int64_t batch_size_;
};

int train_two_layers(const Value& settings) {
  auto options = begin_as_rank(settings, settings.at("epochs").as_int());
  TwoLayers model;
  Rows data(replicas_in(settings));
  levin::Trainer trainer(options);
  auto& progressive = trainer.add<levin::ProgressiveValidation>();
  trainer.add<levin::PredictionWriter>(
      {.output_dir = settings.at("out").as_string() + "/predictions"});
  const bool resumes = settings.contains("resume");
  const auto history =
      trainer.fit(model, data, resumes ? settings.at("resume").as_string() : std::string());
  if (settings.contains("save")) {  // in the middle of the epoch
    trainer.save_checkpoint(settings.at("save").as_string());
    return 0;
  }
  levin::StateDict result;
  for (const char* name :
       {"train_mean", "train_sum", "train_mse", "last_loss", "last_min", "last_max", "last_sum",
        "last_mse", "last_epoch", "nothing", "progressive_loss"}) {
    result.values["metrics"][name] = history.last(name);
  }
  result.values["sum"] = history.last("sum_of_models");
  result.values["mean"] = history.last("mean_of_models");
  result.values["rows"] = progressive.rows();
  result.values["model_size"] = trainer.run().place().model_size;
  result.values["model_rank"] = trainer.run().place().model_rank;
  for (const auto& [name, tensor] : trainer.predict(model, data)) result.tensors[name] = tensor;
  leave_result(settings, result);
  return 0;
}

int average_weights(const Value& settings) {
  auto options = begin_as_rank(settings, 1);
  TwoLayers model;
  Rows data(1);
  levin::Trainer trainer(options);
  trainer.add<levin::WeightAveraging>();
  const auto message = message_of<ConfigError>([&] { trainer.fit(model, data); });
  return says(message, {"WeightAveraging with a model that is divided among 2 ranks"}) ? 0 : 1;
}

}  // namespace

class PipelineCallbacks : public RanksTest {
 protected:
  /// Runs `work` on `replicas` pipelines of `ranks` ranks each.
  Run on(int64_t ranks, const std::string& name, Work work,
         Value settings = Value::Object{{"epochs", 2}}, int64_t replicas = 1) const {
    settings["replicas"] = replicas;
    settings["trainer"]["pipeline_size"] = ranks;
    settings["trainer"]["pipeline_schedule"] = "gpipe";
    settings["trainer"]["micro_batches"] = 2;
    return run_on(ranks * replicas, name, settings, work);
  }

  /// Expects that all ranks of `run`, of pipelines of two ranks, have the values of one process.
  static void expect_values(const Run& run, const Value& expected, int64_t replicas) {
    for (int64_t rank = 0; rank < 2 * replicas; ++rank) {
      const auto values = run.values(rank);
      EXPECT_EQ(values.at("model_size").as_int(), 2);
      EXPECT_EQ(values.at("model_rank").as_int(), rank / replicas);
      EXPECT_EQ(values.at("rows").as_int(), 26);
      EXPECT_EQ(values.at("sum").as_double(), 5.0 * static_cast<double>(replicas))
          << "of the first rank of each model";
      EXPECT_EQ(values.at("mean").as_double(), 5.0);
      for (const auto& [name, value] : expected.at("metrics").as_object()) {
        EXPECT_NEAR(values.at("metrics").at(name).as_double(), value.as_double(), 1e-12)
            << name << " of rank " << rank;
      }
    }
  }
};

TEST_F(PipelineCallbacks, every_rank_has_what_one_of_them_has_logged_and_rows_count_once) {
  const auto alone = on(1, "alone", train_two_layers);
  const auto expected = alone.values();
  EXPECT_TRUE(says(alone.err, {"pipeline_size is 1", "pipeline_schedule, micro_batches."}));
  EXPECT_EQ(expected.at("rows").as_int(), 26);
  EXPECT_EQ(expected.at("model_size").as_int(), 1);
  EXPECT_EQ(expected.at("metrics").at("last_epoch").as_double(), 2.5);
  const auto spread = on(2, "spread", train_two_layers);
  EXPECT_EQ(spread.err.find("pipeline_size is"), std::string::npos) << spread.err;
  expect_values(spread, expected, 1);
  for (const int batch : {0, 1, 2, 3}) {
    const auto name = "predictions/batch-0-" + std::to_string(batch) + ".safetensors";
    EXPECT_LT(
        difference(load_checkpoint(spread.folder / name), load_checkpoint(alone.folder / name)),
        1e-12);
  }
  const auto files = fs::directory_iterator(spread.folder / "predictions");
  EXPECT_EQ(std::distance(begin(files), end(files)), 4) << "each batch is written once";
}

TEST_F(PipelineCallbacks, of_several_pipelines_count_the_rows_of_each_once) {
  const auto alone = on(1, "alone", train_two_layers);
  const auto spread = on(2, "spread", train_two_layers, Value::Object{{"epochs", 2}}, 2);
  expect_values(spread, alone.values(), 2);
  for (const int64_t rank : {0, 1, 2, 3}) {
    const auto outputs = spread.rank(rank).tensor("outputs");
    EXPECT_LT((outputs - alone.rank(0).tensor("outputs")).abs().max().item<double>(), 1e-12);
  }
  int64_t rows = 0;
  for (const auto& file : fs::directory_iterator(spread.folder / "predictions")) {
    const auto name = file.path().stem().string();
    EXPECT_TRUE(name.ends_with("-rank0") || name.ends_with("-rank1")) << name;
    rows += load_checkpoint(file.path()).tensor("outputs").size(0);
  }
  EXPECT_EQ(rows, 13) << "each row is written once";
}

// 4 steps an epoch, of which the pipelines take two.
TEST_F(PipelineCallbacks, rows_of_an_epoch_begun_count_once_if_another_mapping_goes_on) {
  const Value settings = Value::Object{{"epochs", 1}};
  const auto expected = on(1, "whole", train_two_layers, settings).values().at("metrics");
  const auto begin_with = [&](int64_t ranks, int64_t replicas) {
    const auto name = "begun-" + std::to_string(ranks) + "x" + std::to_string(replicas);
    auto begun = settings;
    begun["save"] = (folder_ / (name + ".ckpt")).string();
    begun["trainer"]["max_steps"] = 2;
    on(ranks, name, train_two_layers, begun, replicas);
    auto resumed = settings;
    resumed["resume"] = begun.at("save");
    return resumed;
  };
  const auto compare = [&](const Run& run, int64_t ranks) {
    for (int64_t rank = 0; rank < ranks; ++rank) {
      const auto metrics = run.values(rank).at("metrics");
      for (const char* name : {"train_mean", "train_sum", "train_mse", "last_loss"}) {
        EXPECT_NEAR(metrics.at(name).as_double(), expected.at(name).as_double(), 1e-12)
            << name << " of rank " << rank << " in " << run.folder;
      }
    }
  };
  const auto of_one = begin_with(2, 1);
  compare(on(1, "alone", train_two_layers, of_one), 1);
  compare(on(2, "again", train_two_layers, of_one), 2);
  // As many ranks, each of which has rows of its own.
  compare(run_on(2, "rows", of_one, train_two_layers), 2);
  const auto of_two = begin_with(2, 2);
  compare(on(1, "one-process", train_two_layers, of_two), 1);
  compare(on(2, "two-by-two", train_two_layers, of_two, 2), 4);
  compare(on(2, "one-pipeline", train_two_layers, of_two), 2);
  compare(on(2, "spread", train_two_layers, begin_with(1, 1), 2), 4);
}

TEST_F(PipelineCallbacks, averages_of_weights_are_refused) { on(2, "averages", average_weights); }

}  // namespace levin::test::pipeline_callbacks_test
