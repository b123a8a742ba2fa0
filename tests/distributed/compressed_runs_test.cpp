// Runs of several ranks that send packed gradients (TrainerOptions::gradient_compression).
#include <cstdlib>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <levin/datamodules/digits.h>
#include <levin/framework/compression/gradient_compression.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>

#include "distributed/run_ranks.h"

namespace levin::test::compressed_runs_test {

using CompressedRuns = RanksTest;

/// Each way, with settings that suit a short run, as a configuration has them.
std::vector<Value> ways() {
  std::vector<Value> all;
  for (const auto& name : shipped_gradient_compressions().names()) {
    Value way = Value::Object{{"name", name}};
    if (name == "topk") way["ratio"] = 0.1;
    if (name == "powersgd") way["start_powersgd_iter"] = 2;
    all.push_back(std::move(way));
  }
  return all;
}

/// A global batch of 16 of 103 rows; the last one has 7.
Value common(const Value& way) {
  Value value;
  value["global_batch_size"] = 16;
  value["dtype"] = "float32";
  value["trainer"]["max_epochs"] = 3;
  value["trainer"]["gradient_compression"] = way;
  return value;
}

// rows 40, 41: what wasn't sent and the random numbers go on, and ranks have the same bits.
TEST_F(CompressedRuns, resume_with_the_same_bits_in_the_middle_of_an_epoch) {
  for (const auto& way : ways()) {
    const auto& name = way.at("name").as_string();
    SCOPED_TRACE(name);
    auto settings = common(way);
    const auto whole = run_on(2, name + "-whole", settings);
    EXPECT_EQ(difference(whole.rank(1).child("model"), whole.rank(0).child("model")), 0.0);
    auto first = settings;
    first["trainer"]["max_steps"] = 10;  // in the second epoch
    first["save"] = (folder_ / (name + ".ckpt")).string();
    run_on(2, name + "-first", first);
    settings["ckpt_path"] = first.at("save");
    const auto rest = run_on(2, name + "-rest", settings);
    for (const int64_t rank : {0, 1}) {
      EXPECT_EQ(difference(rest.rank(rank).child("model"), whole.rank(0).child("model")), 0.0);
    }
    EXPECT_EQ(rest.values().at("global_step"), whole.values().at("global_step"));
    // With another number of ranks, the run goes on with what both of them haven't sent.
    const auto three = run_on(3, name + "-three", settings);
    EXPECT_EQ(difference(three.rank(2).child("model"), three.rank(0).child("model")), 0.0);
    EXPECT_EQ(three.values().at("global_step"), whole.values().at("global_step"));
  }
}

TEST_F(CompressedRuns, resume_from_sharded_checkpoints_with_the_same_bits) {
  auto settings = common(Value::Object{{"name", "topk"}, {"ratio", 0.1}});
  settings["trainer"]["strategy"] = "zero_stage_1";
  const auto whole = run_on(2, "whole", settings);
  auto first = settings;
  first["trainer"]["max_steps"] = 10;
  first["save"] = (folder_ / "sharded.ckpt").string();
  run_on(2, "first", first);
  EXPECT_TRUE(fs::is_directory(folder_ / "sharded.ckpt"));
  settings["ckpt_path"] = first.at("save");
  const auto rest = run_on(2, "rest", settings);
  for (const int64_t rank : {0, 1}) {
    EXPECT_EQ(difference(rest.rank(rank).child("model"), whole.rank(0).child("model")), 0.0);
  }
}

/// Trains a softmax regression on the digits and tests it.
int train_digits(const Value& settings) {
  try {
    seed_everything(3);
    torch::set_num_threads(1);
    TrainerOptions options;
    options.accelerator = "cpu";
    options.max_epochs = 20;
    options.default_root_dir = settings.at("out").as_string();
    from_value(describe(options), settings.at("trainer"), "trainer");
    DigitsDataModule data({.batch_size = 16, .val_split = 0.0, .test_split = 0.4});
    LogisticRegression model(
        {.in_features = 64, .num_classes = 10, .learning_rate = 0.1, .optimizer = "SGD"});
    Trainer trainer(options);
    const auto history = trainer.fit(model, data);
    StateDict result;
    result.values["comm_bytes"] = history.epochs.back().metrics.at("comm_bytes");
    result.values["test_acc"] = trainer.test(model, data).at("test_acc");
    result.add("model", model.state_dict());
    save_checkpoint(settings.at("out").as_string() + "/rank-" + std::getenv("RANK") + ".ckpt",
                    result);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

// rows 40, 41: as good as full precision, with fewer bytes.
TEST_F(CompressedRuns, come_to_the_accuracy_of_full_precision) {
  const auto run_with = [&](const Value& way) {
    Value settings;
    settings["trainer"]["gradient_compression"] = way;
    return run_on(2, way.at("name").as_string(), settings, train_digits);
  };
  const auto plain = run_with(Value::Object{{"name", "none"}}).values();
  EXPECT_GT(plain.at("test_acc").as_double(), 0.93);
  for (const auto& way : ways()) {
    SCOPED_TRACE(way.at("name").as_string());
    const auto run = run_with(way);
    EXPECT_NEAR(run.values().at("test_acc").as_double(), plain.at("test_acc").as_double(), 0.005);
    EXPECT_LT(run.values().at("comm_bytes").as_double(), plain.at("comm_bytes").as_double() * 0.6);
    EXPECT_EQ(difference(run.rank(1).child("model"), run.rank(0).child("model")), 0.0);
  }
}

}  // namespace levin::test::compressed_runs_test
