// Callbacks of runs whose ranks share a model, each with a part of it and the same rows.
#include <levin/callbacks/backbone_finetuning.h>
#include <levin/callbacks/early_stopping.h>
#include <levin/callbacks/ema_weight_averaging.h>
#include <levin/callbacks/model_pruning.h>
#include <levin/callbacks/prediction_writer.h>
#include <levin/callbacks/stochastic_weight_averaging.h>
#include <levin/callbacks/throughput_monitor.h>
#include <levin/callbacks/weight_averaging.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/optimizers/optimizers.h>

#include "callbacks/fixture.h"
#include "framework/message_of.h"
#include "framework/stub_ranks.h"

namespace levin::test::divided_model_test {

/// Four ranks: two models of two ranks each.
class DividedLoop : public FakeLoop {
 public:
  explicit DividedLoop(int64_t model_rank) : ranks_(model_rank, 4) {
    run.set_ranks(ranks_);
    run.set_place({.model_size = 2, .model_rank = model_rank, .num_devices = 4});
    run.set_optimizers(&optimizers_);
  }

 private:
  StubRanks ranks_;
  Optimizers optimizers_;
};

TEST(DividedModel, CallbacksThatNeedAllWeightsAreRefusedByName) {
  DividedLoop loop(0);
  const auto refusal = [&](Callback&& callback) {
    return message_of<ConfigError>([&] { callback.on_fit_start(loop.run); });
  };
  const auto says_so = [](const std::string& message, const std::string& name) {
    return says(message,
                {name + " with a model that is divided among 2 ranks: ", "pipeline_size = 1"});
  };
  EXPECT_TRUE(says_so(refusal(ModelPruning({.parameters = {"weight"}})), "ModelPruning"));
  EXPECT_TRUE(says_so(refusal(BackboneFinetuning({.backbone = "backbone"})), "BackboneFinetuning"));
  EXPECT_TRUE(says_so(refusal(WeightAveraging()), "WeightAveraging"));
  EXPECT_TRUE(says_so(refusal(EMAWeightAveraging()), "EMAWeightAveraging"));
  EXPECT_TRUE(
      says_so(refusal(StochasticWeightAveraging({.swa_lrs = {0.1}})), "StochasticWeightAveraging"));
  EXPECT_TRUE(says_so(refusal(EarlyStopping({.monitor = "val_loss", .restore_best_weights = true})),
                      "restore_best_weights"));
  EarlyStopping({.monitor = "val_loss"}).on_fit_start(loop.run);  // it keeps no weights
}

TEST(DividedModel, RowsOfItsRanksCountOnceInThroughput) {
  DividedLoop loop(0);
  ThroughputMonitor monitor({.flops_per_batch = 10.0});
  LoggedValues values;
  StepControl step(loop.run, values, true);
  Batch batch;
  batch.set("input", torch::zeros({3, 1}));
  monitor.on_train_start(loop.run);
  double now = 1.0;
  files::inject_clock([&] { return now; });
  for (int64_t i = 0; i < 2; ++i) {
    now += 0.5;
    values.begin_batch(batch.rows(), 0, 1);
    step.begin(i, 0);
    monitor.on_train_batch_end(torch::Tensor(), batch, step);
  }
  files::inject_clock({});
  const auto logged = values.step_values(LoggedValues::For::callbacks);
  EXPECT_DOUBLE_EQ(logged.at("batches_per_sec"), 2.0);
  EXPECT_DOUBLE_EQ(logged.at("samples_per_sec"), 12.0) << "of two models";
  EXPECT_DOUBLE_EQ(logged.at("flops_per_sec"), 80.0) << "each rank computes its own";
}

TEST(DividedModel, PredictionsAreWrittenByTheFirstRankOfEachModel) {
  for (const int64_t model_rank : {0, 1}) {
    DividedLoop loop(model_rank);
    const auto out = loop.folder.path() / "out";
    PredictionWriter writer({.output_dir = out.string(), .write_interval = "batch_and_epoch"});
    writer.on_predict_start(loop.run);
    LoggedValues unused;
    StepControl step(loop.run, unused, false);
    Batch batch;
    batch.set("input", torch::zeros({3, 1}));
    step.begin(0, 0);
    writer.on_predict_batch_end({{"score", torch::ones({3})}}, batch, step);
    writer.on_predict_epoch_end(loop.run);
    const std::set<std::string> written = {"batch-0-0-rank0.safetensors",
                                           "predictions-rank0.safetensors"};
    EXPECT_EQ(files_in(out), model_rank == 0 ? written : std::set<std::string>{});
  }
}

}  // namespace levin::test::divided_model_test
