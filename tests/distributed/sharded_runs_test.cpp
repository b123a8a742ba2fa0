// Whole runs whose ranks share the optimizer's state and gradients: row 50 of the requirements.
#include <torch/torch.h>

#include <levin/framework/checkpoint/module_description.h>

#include "distributed/run_ranks.h"

namespace levin::test::sharded_runs_test {

using ShardedRuns = RanksTest;

Value common(const char* strategy = "auto") {
  Value value;
  value["global_batch_size"] = 16;
  value["trainer"]["max_epochs"] = 3;
  value["trainer"]["strategy"] = strategy;
  value["trainer"]["accumulate_grad_batches"] = 2;
  value["trainer"]["gradient_clip_val"] = 0.05;
  value["trainer"]["bucket_cap_mb"] = 1e-4;  // several buckets
  return value;
}

TEST_F(ShardedRuns, equal_one_process) {
  const auto one = run_on(1, "one", common()).rank(0);
  for (const char* strategy : {"zero_stage_1", "zero_stage_2", "zero_stage_3"}) {
    for (const int64_t ranks : {1, 3}) {
      const auto name = std::string(strategy) + "-" + std::to_string(ranks);
      SCOPED_TRACE(name);
      const auto many = run_on(ranks, name, common(strategy));
      for (int64_t rank = 0; rank < ranks; ++rank) {
        const auto model = many.rank(rank).child("model");
        EXPECT_LE(difference(model, one.child("model")), 1e-12);
        EXPECT_EQ(difference(model, many.rank(0).child("model")), 0.0);
      }
    }
  }
}

TEST_F(ShardedRuns, go_on_with_any_strategy_and_any_number_of_ranks) {
  const auto undisturbed = run_on(1, "undisturbed", common()).rank(0).child("model");
  auto short_run = common("zero_stage_2");
  const auto path = (folder_ / "three.ckpt").string();
  short_run["trainer"]["max_epochs"] = 2;
  short_run["save"] = path;
  run_on(3, "short", short_run);
  ASSERT_TRUE(fs::exists(fs::path(path) / "index.json"));
  const std::pair<const char*, int64_t> others[] = {
      {"auto", 1}, {"ddp", 2}, {"zero_stage_1", 2}, {"zero_stage_2", 4}, {"zero_stage_3", 3}};
  for (const auto& [strategy, ranks] : others) {
    SCOPED_TRACE(strategy);
    auto settings = common(strategy);
    settings["ckpt_path"] = path;
    const auto name = std::string("resumed-") + strategy;
    EXPECT_LE(difference(run_on(ranks, name, settings).rank(0).child("model"), undisturbed), 1e-12);
  }
}

// Row 50: validations, tests and predictions gather layer by layer, also on ranks without rows.
TEST_F(ShardedRuns, evaluate_as_one_process_with_divided_parameters) {
  auto settings = common("auto");
  settings["evaluate"] = true;
  settings["trainer"]["max_epochs"] = 1;
  settings["checkpoint"]["save_weights_only"] = true;
  const auto one = run_on(1, "one", settings).rank(0);
  settings["trainer"]["strategy"] = "zero_stage_3";
  const auto run = run_on(3, "many", settings);
  for (const char* stage : {"validate", "test"}) {
    for (const auto& [name, value] : one.values.at(stage).as_object()) {
      EXPECT_NEAR(run.values(2).at(stage).at(name).as_double(), value.as_double(), 1e-12) << name;
    }
  }
  EXPECT_LE((run.rank(1).tensor("predicted.logits") - one.tensor("predicted.logits"))
                .abs()
                .max()
                .item<double>(),
            1e-12);
  EXPECT_TRUE(run.values(0).at("same_in_parts").as_bool());
  int64_t weights = 0;
  for (const auto& entry : fs::recursive_directory_iterator(run.folder)) {
    if (entry.path().extension() != ".ckpt" || !entry.is_directory()) continue;
    ++weights;
    const auto saved = load_checkpoint(entry.path());
    EXPECT_FALSE(saved.has_child("optimizer"));
    EXPECT_EQ(difference(saved.child("model"), run.rank(0).child("model")), 0.0);
  }
  EXPECT_EQ(weights, 1) << "each rank wrote its slices";
}

TEST_F(ShardedRuns, restore_weights_that_were_kept_after_a_validation) {
  auto settings = common();
  settings["restore_worst"] = true;
  const auto one = run_on(1, "one", settings).rank(0).child("model");
  const auto last = run_on(1, "last", common()).rank(0).child("model");
  EXPECT_GT(difference(one, last), 1e-6);
  settings["trainer"]["strategy"] = "zero_stage_3";
  const auto many = run_on(2, "many", settings);
  EXPECT_LE(difference(many.rank(1).child("model"), one), 1e-12);
}

TEST_F(ShardedRuns, name_a_hook_of_a_validation_that_reads_divided_parameters) {
  auto settings = common("zero_stage_3");
  settings["confusion"] = true;  // on_validation_batch_end computes with the layers
  settings["trainer"]["devices"] = 2;
  const Value all = this->settings("hook", settings);
  const auto refused = wait_all(fork_ranks(2, all), all);
  EXPECT_NE(refused.status, 0);
  EXPECT_NE(refused.err.find("divided among the ranks"), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find("WholeTensors"), std::string::npos) << refused.err;
}

TEST_F(ShardedRuns, refuse_batch_norms_over_all_ranks_where_layers_are_gathered) {
  auto settings = common("zero_stage_3");
  settings["norm"] = true;
  settings["trainer"]["devices"] = 2;
  const Value all = this->settings("norm", settings);
  const auto refused = wait_all(fork_ranks(2, all), all);
  EXPECT_NE(refused.status, 0);  // of its own error, or of that of the other rank
  EXPECT_NE(refused.err.find("zero_stage_3 with batch norms over all ranks"), std::string::npos)
      << refused.err;
}

TEST_F(ShardedRuns, say_in_their_checkpoints_what_these_are_of) {
  auto settings = common("zero_stage_1");
  settings["trainer"]["max_epochs"] = 1;
  const auto path = folder_ / "two.ckpt";
  settings["save"] = path.string();
  run_on(2, "run", settings);
  ASSERT_TRUE(fs::exists(path / "index.json"));
  const auto description = module_description(load_checkpoint(path));
  ASSERT_TRUE(description);
  EXPECT_FALSE(description->class_path.empty());
  ASSERT_TRUE(description->input);
  EXPECT_EQ(description->input->shape.size(), 1U);
  EXPECT_EQ(description->input->dtype, "float64");
}

TEST_F(ShardedRuns, replace_their_checkpoints_and_leave_no_part_behind) {
  auto settings = common("zero_stage_1");
  settings["checkpoint"]["save_top_k"] = 1;
  settings["checkpoint"]["save_last"] = true;
  const auto run = run_on(2, "run", settings);
  const auto folder = run.folder / "levin_logs" / "version_0" / "checkpoints";
  size_t checkpoints = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    ++checkpoints;
    ASSERT_TRUE(entry.is_directory()) << entry.path();
    EXPECT_EQ(std::distance(fs::directory_iterator(entry.path()), fs::directory_iterator()), 3);
    EXPECT_TRUE(load_checkpoint(entry.path()).has_child("optimizer"));
  }
  EXPECT_EQ(checkpoints, 2u);
}

}  // namespace levin::test::sharded_runs_test
