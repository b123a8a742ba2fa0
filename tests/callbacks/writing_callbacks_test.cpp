#include <levin/callbacks/on_exception_checkpoint.h>
#include <levin/callbacks/prediction_writer.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>

#include <stdexcept>

#include "callbacks/counter.h"

namespace levin::test::writing_callbacks_test {

/// Throws once, in that batch.
class Breaks : public Counter {
 public:
  explicit Breaks(int64_t at) : at_(at) {}
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    if (at_-- == 0) throw std::runtime_error("the disk is full");
    return Counter::training_step(batch, step);
  }

 private:
  int64_t at_;
};

TEST(OnExceptionCheckpoint, SavesWhatAResumedFitGoesOnFrom) {
  TemporaryFolder folder;
  Breaks model(6);  // in the second epoch
  SmallData data;
  Trainer trainer(short_fit(folder, 2));
  trainer.add<OnExceptionCheckpoint>({.filename = "crash"});
  EXPECT_THROW(trainer.fit(model, data), std::runtime_error);
  const auto path = trainer.run().log_dir() / "checkpoints" / "crash.ckpt";
  ASSERT_TRUE(fs::exists(path));
  Counter resumed;
  Trainer again(short_fit(folder, 2));
  again.fit(resumed, data, path.string());
  EXPECT_EQ(resumed.value(), 8.0);
}

TEST(OnExceptionCheckpoint, SavesNothingUnlessAFitFails) {
  TemporaryFolder folder;
  Counter model;
  SmallData data;
  Trainer trainer(short_fit(folder, 1));
  trainer.add<OnExceptionCheckpoint>({.dirpath = (folder.path() / "crashes").string()});
  trainer.fit(model, data);
  EXPECT_FALSE(fs::exists(folder.path() / "crashes"));
  EXPECT_THROW(OnExceptionCheckpoint({.filename = ""}), ConfigError);
  EXPECT_THROW(OnExceptionCheckpoint({.filename = "a/b"}), ConfigError);
}

TEST(PredictionWriter, WritesEachBatchWithTheNumbersOfItsRows) {
  TemporaryFolder folder;
  Counter model;
  model.set_trained();
  SmallData data;
  Trainer trainer(short_fit(folder, 1));
  trainer.add<PredictionWriter>({.output_dir = (folder.path() / "out").string()});
  trainer.predict(model, data, [](const NamedTensors&) {});
  EXPECT_EQ(files_in(folder.path() / "out"),
            (std::set<std::string>{"batch-0-0.safetensors", "batch-0-1.safetensors",
                                   "batch-0-2.safetensors", "batch-0-3.safetensors"}));
  const StateDict batch = load_checkpoint(folder.path() / "out" / "batch-0-1.safetensors");
  EXPECT_TRUE(torch::equal(batch.tensor("row"), torch::tensor({2, 3}, torch::kLong)));
  EXPECT_TRUE(torch::equal(batch.tensor("double"), torch::tensor({{4.0F}, {6.0F}})));
}

TEST(PredictionWriter, WritesAllPredictionsAtTheEndOfTheEpoch) {
  TemporaryFolder folder;
  Counter model;
  model.set_trained();
  SmallData data;
  Trainer trainer(short_fit(folder, 1));
  trainer.add<PredictionWriter>({.output_dir = "all", .write_interval = "epoch"});
  const auto returned = trainer.predict(model, data);
  const auto out = trainer.run().log_dir() / "all";
  EXPECT_EQ(files_in(out), std::set<std::string>{"predictions.safetensors"});
  const StateDict all = load_checkpoint(out / "predictions.safetensors");
  EXPECT_TRUE(torch::equal(all.tensor("double"), returned.front().second));
  EXPECT_TRUE(torch::equal(all.tensor("row"), torch::arange(8)));
  EXPECT_THROW(PredictionWriter({.output_dir = ""}), ConfigError);
  EXPECT_THROW(PredictionWriter({.write_interval = "hour"}), ConfigError);
}

TEST(BasePredictionWriter, HandsOverBatchesAndTheEpoch) {
  class Counts : public BasePredictionWriter {
   public:
    Counts() : BasePredictionWriter(WriteInterval::batch_and_epoch) {}
    void write_on_batch_end(const NamedTensors& outputs, const Batch&, Step&) override {
      rows.push_back(outputs.front().second.size(0));
    }
    void write_on_epoch_end(const NamedTensors& outputs, levin::Run&) override {
      rows.push_back(outputs.front().second.size(0));
    }
    std::vector<int64_t> rows;
  };
  TemporaryFolder folder;
  Counter model;
  model.set_trained();
  SmallData data;
  Trainer trainer(short_fit(folder, 1));
  const auto& counts = trainer.add<Counts>();
  trainer.predict(model, data);
  EXPECT_EQ(counts.rows, (std::vector<int64_t>{2, 2, 2, 2, 8}));
}

TEST(LambdaCallback, CallsTheFunctionsThatItHas) {
  TemporaryFolder folder;
  Counter model;
  SmallData data;
  Trainer trainer(short_fit(folder, 2));
  std::vector<std::string> calls;
  trainer.add<LambdaCallback>(
      {.on_train_start = [&](levin::Run&) { calls.emplace_back("start"); },
       .on_train_epoch_end = [&](levin::Run& run) { calls.push_back(std::to_string(run.epoch())); },
       .on_train_end = [&](levin::Run&) { calls.emplace_back("end"); }});
  trainer.fit(model, data);
  EXPECT_EQ(calls, (std::vector<std::string>{"start", "0", "1", "end"}));
}

TEST(LambdaCallback, AHookWithoutAFunctionIsNotCalledInSteps) {
  const LambdaCallback callback({.on_before_backward = [](const torch::Tensor&, Step&) {}});
  const HookSet used = callback.used_hooks(overridden_hooks<LambdaCallback>());
  EXPECT_TRUE(used.has(BatchHook::before_backward));
  EXPECT_FALSE(used.has(BatchHook::train_batch_end));
  EXPECT_FALSE(used.has(BatchHook::train_batch_start));
  EXPECT_FALSE(used.has(BatchHook::predict_batch_end));
}

}  // namespace levin::test::writing_callbacks_test
