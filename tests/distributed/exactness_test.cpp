#include <fmt/format.h>
#include <torch/torch.h>

#include <levin/framework/launch/reserved_port.h>

#include "distributed/run_ranks.h"

namespace levin::test::exactness_test {

class Exactness : public RanksTest {
 protected:
  /// Runs the same in one process, which is returned, and on several numbers of ranks, all of which
  /// have to end with the same bits.
  StateDict expect_on_ranks_as_in_one_process(const Value& settings, const std::string& name,
                                              const std::vector<int64_t>& numbers);
};

/// A global batch of 16 rows; 103 rows leave a tail of 7, fewer than some numbers of ranks need.
Value common() {
  Value value;
  value["global_batch_size"] = 16;
  value["evaluation_global_batch_size"] = 9;  // 31 rows: 9, 9, 9 and 4
  value["evaluate"] = true;
  value["trainer"]["max_epochs"] = 3;
  return value;
}

void expect_same(const StateDict& many, const StateDict& one, double tolerance = 1e-12) {
  EXPECT_LE(difference(many.child("model"), one.child("model")), tolerance);
  EXPECT_LE(difference(many.child("predicted"), one.child("predicted")), tolerance);
  for (const char* stage : {"fit", "validate", "test"}) {
    for (const auto& [name, value] : one.values.at(stage).as_object()) {
      if (name == "train_loss_step") continue;  // a rank's own, of one step
      ASSERT_TRUE(many.values.at(stage).contains(name)) << stage << " " << name;
      EXPECT_NEAR(many.values.at(stage).at(name).as_double(), value.as_double(), tolerance)
          << stage << " " << name;
    }
  }
  EXPECT_EQ(many.values.at("global_step"), one.values.at("global_step"));
}

/// The bytes that each rank sends in a step: 4 * 16 + 16 + 16 * 3 + 3 gradients and 16 numbers
/// beside them, 8 bytes each. In a ring, a rank sends 2 (n - 1) of the n pieces that they are cut
/// into.
double bytes_of_a_step(int64_t ranks) {
  constexpr int64_t kBytes = (131 + 16) * 8;
  return static_cast<double>(2 * (ranks - 1) * ((kBytes + ranks - 1) / ranks));
}

StateDict Exactness::expect_on_ranks_as_in_one_process(const Value& settings,
                                                       const std::string& name,
                                                       const std::vector<int64_t>& numbers) {
  auto one = run_on(1, "one-" + name, settings).rank(0);
  for (const int64_t ranks : numbers) {
    SCOPED_TRACE(fmt::format("{} {}", name, ranks));
    const auto many = run_on(ranks, fmt::format("{}-{}", name, ranks), settings);
    expect_same(many.rank(0), one);
    EXPECT_EQ(difference(many.rank(1).child("model"), many.rank(0).child("model")), 0.0);
  }
  return one;
}

// rows 20, 21, 35, 45, 48: devices by options alone, also eight of them, W workers equal one
// process, data parallel.
TEST_F(Exactness, two_three_four_and_eight_ranks_equal_one_process) {
  const auto one = run_on(1, "one", common()).rank(0);
  for (const int64_t ranks : {2, 3, 4, 8}) {
    SCOPED_TRACE(ranks);
    const auto name = std::to_string(ranks);
    const auto many = ranks == 2 ? launch_on(ranks, name, common()) : run_on(ranks, name, common());
    for (int64_t rank = 0; rank < ranks; ++rank) {
      SCOPED_TRACE(rank);
      expect_same(many.rank(rank), one);
      EXPECT_EQ(many.values(rank).at("world_size").as_int(), ranks);
      // The host's number, the hosts, the rank's number on its host, and the ranks there.
      EXPECT_EQ(many.values(rank).at("place"), Value(Value::Array{0, 1, rank, ranks}));
      // Predictions that are given away batch by batch are given away on rank 0.
      EXPECT_EQ(many.values(rank).at("predicted_parts").as_int(), rank == 0 ? 4 : 0);
      EXPECT_TRUE(many.values(rank).at("same_in_parts").as_bool());
      EXPECT_EQ(many.values(rank).at("fit").at("comm_bytes").as_double(), bytes_of_a_step(ranks));
      EXPECT_EQ(difference(many.rank(rank).child("model"), many.rank(0).child("model")), 0.0);
    }
  }
}

// Run::log of what a rank knows by itself, and Run::reduce.
TEST_F(Exactness, metrics_of_ones_own_are_those_of_all_rows) {
  auto settings = common();
  settings["confusion"] = true;
  const auto one = run_on(1, "one", settings).rank(0);
  for (const char* name : {"own_acc", "balanced_acc"}) {
    EXPECT_GT(one.values.at("fit").at(name).as_double(), 0.0) << name;
  }
  EXPECT_NE(one.values.at("fit").at("own_acc"), one.values.at("fit").at("balanced_acc"));
  for (const int64_t ranks : {2, 3}) {
    SCOPED_TRACE(ranks);
    expect_same(run_on(ranks, std::to_string(ranks), settings).rank(ranks - 1), one);
  }
}

TEST_F(Exactness, several_trainers_and_stages_in_one_program_keep_apart) {
  auto settings = common();
  settings["twice"] = true;
  const auto one = run_on(1, "one", settings).rank(0);
  for (const int64_t ranks : {2, 3}) {
    SCOPED_TRACE(ranks);
    expect_same(run_on(ranks, std::to_string(ranks), settings).rank(ranks - 1), one);
  }
}

TEST_F(Exactness, one_rank_in_ddp_has_the_bits_of_single_device) {
  const auto one = run_on(1, "one", common()).rank(0);
  auto settings = common();
  settings["trainer"]["strategy"] = "ddp";
  const auto ddp = run_on(1, "ddp", settings).rank(0);
  expect_same(ddp, one, 0.0);
}

TEST_F(Exactness, a_rank_that_skips_a_batch_leaves_the_gradient_of_the_others_rows) {
  auto settings = common();
  settings["optimizer"] = "SGD";
  auto of_ranks = settings;
  of_ranks["skip_rank"] = 1;
  const auto many = run_on(2, "many", of_ranks);
  EXPECT_EQ(difference(many.rank(1).child("model"), many.rank(0).child("model")), 0.0);
  settings["skips_odd_rows"] = true;
  const auto one = run_on(1, "one", settings);
  EXPECT_LE(difference(many.rank(0).child("model"), one.rank(0).child("model")), 1e-12);
  EXPECT_EQ(many.values().at("global_step").as_int(), 21);
}

TEST_F(Exactness, accumulation_communicates_once_a_window_and_comes_to_the_same) {
  auto settings = common();
  settings["trainer"]["accumulate_grad_batches"] = 3;
  settings["trainer"]["gradient_clip_val"] = 0.05;
  const auto one = run_on(1, "one", settings).rank(0);
  for (const int64_t ranks : {2, 3}) {
    const auto many = run_on(ranks, std::to_string(ranks), settings);
    expect_same(many.rank(0), one);
    EXPECT_EQ(many.values().at("fit").at("comm_bytes").as_double(), bytes_of_a_step(ranks));
  }
}

TEST_F(Exactness, parameters_that_nothing_uses_need_the_option) {
  auto settings = common();
  settings["unused"] = true;
  settings["trainer"]["devices"] = 2;
  const auto failed = run(this->settings("failed", settings));
  EXPECT_EQ(failed.status, 1);
  EXPECT_NE(failed.err.find("'unused'"), std::string::npos) << failed.err;
  EXPECT_NE(failed.err.find("find_unused_parameters"), std::string::npos) << failed.err;
}

TEST_F(Exactness, unused_parameters_are_allowed_by_the_option_and_stay_as_they_are) {
  auto settings = common();
  settings["unused"] = true;
  const auto one = run_on(1, "one", settings).rank(0);
  settings["trainer"]["find_unused_parameters"] = true;
  const auto many = run_on(2, "many", settings).rank(1);
  expect_same(many, one);
  EXPECT_TRUE(many.tensor("model.unused").eq(1.0).all().item<bool>());
}

TEST_F(Exactness, gradients_may_lie_in_the_buckets) {
  auto settings = common();
  settings["trainer"]["accumulate_grad_batches"] = 2;
  const auto apart = run_on(2, "apart", settings).rank(0);
  settings["trainer"]["gradient_as_bucket_view"] = true;
  settings["trainer"]["bucket_cap_mb"] = 1e-4;  // several buckets
  expect_same(run_on(2, "views", settings).rank(0), apart);
}

TEST_F(Exactness, compressed_gradients_are_near_and_not_the_same) {
  auto settings = common();
  settings["dtype"] = "float32";
  const auto plain = run_on(2, "plain", settings).rank(0);
  for (const char* type : {"fp16", "bf16"}) {
    SCOPED_TRACE(type);
    auto compressed = settings;
    compressed["trainer"]["gradient_compression"] = type;
    const auto run = run_on(2, type, compressed);
    const double gap = difference(run.rank(0).child("model"), plain.child("model"));
    EXPECT_GT(gap, 0.0);
    EXPECT_LT(gap, 0.05);
    EXPECT_EQ(difference(run.rank(1).child("model"), run.rank(0).child("model")), 0.0);
  }
}

// row 36: gradient descent as map and reduce over partitions, with a second-order optimizer, which
// chooses its way by the loss of all rows.
TEST_F(Exactness, lbfgs_over_partitions_equals_one_process_on_the_full_batch) {
  auto settings = common();
  settings["optimizer"] = "LBFGS";
  settings["global_batch_size"] = 103;
  const auto one = run_on(1, "one", settings).rank(0);
  for (const int64_t ranks : {2, 3, 4}) {
    SCOPED_TRACE(ranks);
    const auto many = run_on(ranks, std::to_string(ranks), settings);
    expect_same(many.rank(0), one, 1e-9);  // its line search amplifies the last bits
    EXPECT_EQ(difference(many.rank(1).child("model"), many.rank(0).child("model")), 0.0);
  }
}

// row 46: second-order methods over ranks.
TEST_F(Exactness, solvers_over_ranks_equal_one_process) {
  for (const char* solver : {"newton-cg", "trust-region", "newton-cholesky", "owl-qn"}) {
    SCOPED_TRACE(solver);
    auto settings = common();
    settings["trainer"]["max_epochs"] = 40;
    settings["linear"] = true;
    settings["optimizer"] = std::string(solver) == "owl-qn" ? "lbfgs" : solver;
    if (std::string(solver) == "owl-qn") settings["l1_strength"] = 0.01;
    const auto one = run_on(1, std::string("one-") + solver, settings).rank(0);
    for (const int64_t ranks : {3}) {
      SCOPED_TRACE(ranks);
      const auto many = run_on(ranks, std::to_string(ranks) + solver, settings);
      EXPECT_EQ(difference(many.rank(1).child("model"), many.rank(0).child("model")), 0.0);
      const double objective = one.values.at("fit").at("objective").as_double();
      EXPECT_NEAR(many.values().at("fit").at("objective").as_double(), objective,
                  1e-10 * objective);
      EXPECT_LE(difference(many.rank(0).child("model"), one.child("model")), 1e-6);
      if (std::string(solver) != "newton-cholesky") continue;
      // To each of two other ranks, the blocks of the Hessian, [3, 3, 5, 5], and then the loss, the
      // rows' weight and the gradient of 15 parameters.
      EXPECT_EQ(many.values().at("fit").at("comm_bytes").as_double(), 2 * (225 + 17) * 8);
    }
  }
}

/// Settings for a solver that looks at single rows or features, each rank at its own.
Value row_solver(const std::string& solver) {
  auto settings = common();
  settings["trainer"]["max_epochs"] = 300;
  settings["evaluate"] = false;
  settings["val_rows"] = 0;
  settings["linear"] = true;
  settings["optimizer"] = solver;
  settings["tol"] = 1e-7;
  settings["squared"] = solver == "dual-coordinate-descent";
  settings["l2_strength"] = solver == "dual-coordinate-descent" ? 1.0 : 0.2;
  if (solver == "coordinate-descent") settings["l1_strength"] = 0.05;
  return settings;
}

// row 46: solvers of single rows and features over ranks.
TEST_F(Exactness, solvers_of_single_rows_or_features_over_ranks_equal_one_process) {
  for (const char* solver : {"coordinate-descent", "saga", "dual-coordinate-descent"}) {
    SCOPED_TRACE(solver);
    const auto one = run_on(1, std::string("one-") + solver, row_solver(solver)).rank(0);
    const auto many = run_on(3, std::string("three-") + solver, row_solver(solver));
    EXPECT_NE(many.values().at("stop_reason").as_string().find("converged"), std::string::npos);
    EXPECT_EQ(difference(many.rank(1).child("model"), many.rank(0).child("model")), 0.0);
    const double objective = one.values.at("fit").at("objective").as_double();
    EXPECT_NEAR(many.values().at("fit").at("objective").as_double(), objective, 1e-10 * objective);
    EXPECT_LE(difference(many.rank(0).child("model"), one.child("model")), 1e-6);
    const auto zeros = [](const StateDict& state) {
      return state.tensor("model.direct.weight") == 0.0;
    };
    EXPECT_TRUE(torch::equal(zeros(many.rank(0)), zeros(one)));
    if (std::string(solver) != "saga") continue;
    // To each of two other ranks: the largest curvatures, the 15 weights and biases, and then the
    // loss, the rows' weight and the gradient.
    EXPECT_EQ(many.values().at("fit").at("comm_bytes").as_double(), 2 * (3 + 15 + 17) * 8);
  }
}

// Each rank has dual variables of its own rows.
TEST_F(Exactness, dual_variables_of_each_rank_are_in_the_checkpoint) {
  auto settings = row_solver("dual-coordinate-descent");
  settings["trainer"]["max_epochs"] = 6;
  const auto whole = run_on(2, "whole", settings);
  auto first = settings;
  first["trainer"]["max_epochs"] = 2;
  first["save"] = (folder_ / "middle.ckpt").string();
  run_on(2, "first", first);
  settings["ckpt_path"] = (folder_ / "middle.ckpt").string();
  const auto rest = run_on(2, "rest", settings);
  EXPECT_EQ(rest.values().at("fit").at("n_iter").as_double(), 6.0);
  for (const int64_t rank : {0, 1}) {
    EXPECT_EQ(difference(rest.rank(rank).child("model"), whole.rank(rank).child("model")), 0.0);
  }
  // They fit no other number of ranks, which find others for the same point.
  settings["trainer"]["max_epochs"] = 12;
  const auto three = run_on(3, "three", settings);
  EXPECT_EQ(three.values().at("fit").at("n_iter").as_double(), 12.0);
  EXPECT_LT(three.values().at("fit").at("objective").as_double(),
            rest.values().at("fit").at("objective").as_double());
}

// row 46: the ranks divide the four features instead of the rows, here of some batches.
TEST_F(Exactness, a_solver_over_divided_features_equals_one_process) {
  auto settings = common();
  settings["trainer"]["max_epochs"] = 40;
  settings["trainer"]["limit_train_batches"] = 3;
  settings["linear"] = true;
  settings["shard"] = "features";
  settings["optimizer"] = "newton-cg";
  const auto one = run_on(1, "one", settings).rank(0);
  const auto many = run_on(3, "three", settings);
  const double objective = one.values.at("fit").at("objective").as_double();
  EXPECT_NEAR(many.values().at("fit").at("objective").as_double(), objective, 1e-10 * objective);
  for (const int64_t rank : {0, 2}) {
    EXPECT_LE(difference(many.rank(rank).child("model"), one.child("model")), 1e-6);
    EXPECT_LE(difference(many.rank(rank).child("predicted"), one.child("predicted")), 1e-5);
  }
  EXPECT_EQ(difference(many.rank(1).child("model"), many.rank(0).child("model")), 0.0);
  for (const char* stage : {"validate", "test"}) {
    for (const auto& [name, value] : one.values.at(stage).as_object()) {
      EXPECT_NEAR(many.values().at(stage).at(name).as_double(), value.as_double(), 1e-6) << name;
    }
  }
  // At least the outputs of 48 rows and the rank's six parameters, to each of two other ranks.
  EXPECT_GE(many.values().at("fit").at("comm_bytes").as_double(), 2 * 8 * (48 * 3 + 6));
}

TEST_F(Exactness, divided_features_resume_with_the_same_bits_and_in_any_other_layout) {
  auto settings = common();
  settings["evaluate"] = false;
  settings["trainer"]["max_epochs"] = 6;
  settings["linear"] = true;
  settings["shard"] = "features";
  settings["optimizer"] = "lbfgs";
  const auto whole = run_on(3, "whole", settings);
  auto first = settings;
  first["trainer"]["max_epochs"] = 3;
  first["save"] = (folder_ / "middle.ckpt").string();
  run_on(3, "first", first);
  const auto middle = load_checkpoint(folder_ / "middle.ckpt");
  EXPECT_EQ(middle.tensor("optimizer.0.point").numel(), 15);  // of all ranks
  settings["ckpt_path"] = (folder_ / "middle.ckpt").string();
  const auto rest = run_on(3, "rest", settings);
  EXPECT_EQ(difference(rest.rank(1).child("model"), whole.rank(0).child("model")), 0.0);
  EXPECT_EQ(rest.values().at("fit").at("objective"), whole.values().at("fit").at("objective"));
  settings["trainer"]["max_epochs"] = 60;
  const auto one = run_on(1, "one", settings);
  EXPECT_LE(one.values().at("fit").at("gradient_norm").as_double(), 1e-10);
  settings["shard"] = "rows";
  const auto rows = run_on(2, "rows", settings);
  EXPECT_LE(difference(rows.rank(1).child("model"), one.rank(0).child("model")), 1e-6);
}

TEST_F(Exactness, features_that_cannot_be_divided_are_refused_before_the_first_step) {
  auto settings = common();
  settings["linear"] = true;
  settings["shard"] = "features";
  settings["optimizer"] = "lbfgs";
  settings["trainer"]["devices"] = 5;
  const auto few =
      wait_all(fork_ranks(5, this->settings("few", settings)), this->settings("few", settings));
  EXPECT_NE(few.status, 0);  // 2 of the first rank, and 1 of one that learns of it
  EXPECT_NE(few.err.find("4 features and 5 ranks"), std::string::npos) << few.err;
  settings["linear"] = false;  // a net
  settings["trainer"]["devices"] = 2;
  const auto net =
      wait_all(fork_ranks(2, this->settings("net", settings)), this->settings("net", settings));
  EXPECT_NE(net.status, 0);
  EXPECT_NE(net.err.find("shard = features with the module"), std::string::npos) << net.err;
}

TEST_F(Exactness, a_solver_trains_a_net_over_ranks_by_autograd) {
  auto settings = common();
  settings["trainer"]["max_epochs"] = 4;
  settings["optimizer"] = "lbfgs";
  const auto one = run_on(1, "one", settings).rank(0);
  const auto many = run_on(2, "many", settings);
  EXPECT_EQ(difference(many.rank(1).child("model"), many.rank(0).child("model")), 0.0);
  EXPECT_LE(difference(many.rank(0).child("model"), one.child("model")), 1e-8);
}

/// A net with a batch norm over ranks, "norm" or LibTorch's "torch_norm".
Value with_batch_norm(const char* layer, int64_t rows) {
  auto settings = common();
  settings[layer] = true;
  settings["optimizer"] = "SGD";  // Adam makes steps of rounding errors, where a bias has no effect
  settings["rows"] = rows;
  settings["trainer"]["sync_batchnorm"] = true;
  return settings;
}

// 98 rows leave a tail of two: the third and fourth rank have none.
TEST_F(Exactness, batch_statistics_over_all_ranks_are_those_of_one_process) {
  auto settings = with_batch_norm("norm", 98);
  expect_on_ranks_as_in_one_process(settings, "norm", {2, 3, 4});
}

// The same with layers of LibTorch. Of these, every rank needs at least two rows of each batch.
TEST_F(Exactness, sync_batchnorm_gives_torchs_layers_the_statistics_of_all_rows) {
  auto settings = with_batch_norm("torch_norm", 104);
  const auto one = expect_on_ranks_as_in_one_process(settings, "torch", {2, 3, 4});
  settings["trainer"]["sync_batchnorm"] = false;
  const auto apart = run_on(2, "apart", settings);
  EXPECT_GT(difference(apart.rank(0).child("model"), one.child("model")), 1e-6);
}

// The statistics of averaged weights, for which all training data are read once more.
TEST_F(Exactness, averaged_weights_get_batch_statistics_over_all_ranks) {
  for (const char* layer : {"norm", "torch_norm"}) {
    auto settings = with_batch_norm(layer, 104);
    settings["swa_lrs"] = 0.05;
    expect_on_ranks_as_in_one_process(settings, layer, {2, 3});
  }
}

// row 50: optimizer state sharded.
TEST_F(Exactness, sharded_optimizers_take_the_steps_of_one_process) {
  auto settings = common();
  settings["trainer"]["gradient_clip_val"] = 0.5;
  settings["trainer"]["accumulate_grad_batches"] = 2;
  const auto one = run_on(1, "one", settings).rank(0);
  for (const char* stage : {"zero_stage_1", "zero_stage_2", "zero_stage_3"}) {
    for (const int64_t ranks : {1, 2, 3}) {
      SCOPED_TRACE(fmt::format("{} {}", stage, ranks));
      settings["trainer"]["strategy"] = stage;
      expect_same(run_on(ranks, fmt::format("{}-{}", stage, ranks), settings).rank(0), one);
    }
  }
}

TEST_F(Exactness, sharded_checkpoints_load_at_any_number_of_ranks_in_any_strategy) {
  auto settings = common();
  const auto whole = run_on(1, "whole", settings).rank(0);
  auto first = settings;
  first["trainer"]["strategy"] = "zero_stage_3";
  first["trainer"]["max_steps"] = 10;  // in the second epoch
  first["save"] = (folder_ / "sharded.ckpt").string();
  run_on(3, "first", first);
  EXPECT_TRUE(fs::is_directory(folder_ / "sharded.ckpt"));
  settings["ckpt_path"] = (folder_ / "sharded.ckpt").string();
  for (const char* strategy : {"auto", "zero_stage_1", "zero_stage_2", "zero_stage_3"}) {
    for (const int64_t ranks : {1, 2}) {
      SCOPED_TRACE(fmt::format("{} {}", strategy, ranks));
      settings["trainer"]["strategy"] = strategy;
      expect_same(run_on(ranks, fmt::format("{}-{}", strategy, ranks), settings).rank(0), whole);
    }
  }
}

TEST_F(Exactness, dropout_differs_from_rank_to_rank_and_resumes_with_the_same_bits) {
  auto settings = common();
  settings["dropout"] = 0.5;
  settings["csv"] = true;
  const auto whole = run_on(2, "whole", settings);
  auto first = settings;
  first["trainer"]["max_steps"] = 10;  // in the second epoch
  first["save"] = (folder_ / "middle.ckpt").string();
  run_on(2, "first", first);
  settings["ckpt_path"] = (folder_ / "middle.ckpt").string();
  const auto rest = run_on(2, "rest", settings);
  for (const int64_t rank : {0, 1}) {
    EXPECT_EQ(difference(rest.rank(rank).child("model"), whole.rank(0).child("model")), 0.0);
    EXPECT_EQ(rest.values(rank).at("fit").at("train_loss_epoch"),
              whole.values(rank).at("fit").at("train_loss_epoch"));
  }
}

// As docs/devices.md says.
TEST_F(Exactness, code_before_the_trainer_runs_once_for_each_rank_and_once_in_the_launcher) {
  auto settings = common();
  settings["count_starts"] = true;
  EXPECT_EQ(read_file(launch_on(2, "two", settings).folder / "started"), "once\nonce\nonce\n");
  EXPECT_EQ(read_file(launch_on(1, "one", settings).folder / "started"), "once\n");
}

TEST_F(Exactness, data_are_prepared_once_and_buffers_follow_rank_zero) {
  auto settings = common();
  settings["count_prepares"] = true;
  settings["counts"] = true;
  const auto many = run_on(3, "many", settings);
  // fit, validate, test, and predict twice
  EXPECT_EQ(read_file(many.folder / "prepared"), "once\nonce\nonce\nonce\nonce\n");
  EXPECT_EQ(difference(many.rank(2).child("model"), many.rank(0).child("model")), 0.0);
}

TEST_F(Exactness, each_rank_keeps_its_own_buffers_if_they_are_not_broadcast) {
  auto settings = common();
  settings["evaluate"] = false;  // each stage begins with the buffers of rank 0
  settings["counts"] = true;     // the rows that a rank has seen, in a buffer
  settings["trainer"]["broadcast_buffers"] = false;
  const auto many = run_on(2, "many", settings);
  const auto seen = [&](int64_t rank) {
    return many.rank(rank).child("model").tensor("seen").item<double>();
  };
  EXPECT_EQ(seen(0) + seen(1), 3 * 103.0);
  EXPECT_EQ(seen(0) - seen(1), 3.0) << "an odd number of rows, of which rank 0 has one more";
}

// row 21: the same program on GPUs. One rank by NCCL, and two that share the GPU by Gloo. A copy of
// this process could use no GPU, because this process has asked whether there is one.
class ExactnessCuda : public RanksTest {
 protected:
  void SetUp() override {
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU";
  }
  static Value on_gpu(const char* backend) {
    auto settings = common();
    settings["trainer"]["accelerator"] = "gpu";
    settings["trainer"]["strategy"] = "ddp";
    settings["trainer"]["process_group_backend"] = backend;
    return settings;
  }
  void expect_two_ranks_equal_the_cpu(bool has_norm, double tolerance) {
    auto here = common();
    auto there = on_gpu("gloo");
    if (has_norm) {  // Adam makes steps of rounding errors, where a bias has no effect
      here["norm"] = there["norm"] = true;
      here["optimizer"] = there["optimizer"] = "SGD";
    }
    const auto cpu = launch_on(1, "cpu", here).rank(0);
    const auto place = settings("gpu", there);
    const ReservedPort port;
    std::vector<pid_t> started;
    for (const char* rank : {"0", "1"}) {
      started.push_back(start(place, {},
                              {{"RANK", rank},
                               {"WORLD_SIZE", "2"},
                               {"MASTER_ADDR", "127.0.0.1"},
                               {"MASTER_PORT", std::to_string(port.number())}},
                              rank));
    }
    const auto first = wait(started[0], place, 120, "0");
    ASSERT_EQ(wait(started[1], place, 120, "1").status, 0);
    ASSERT_EQ(first.status, 0) << first.err;
    for (const int64_t rank : {0, 1}) expect_same(first.rank(rank), cpu, tolerance);
  }
};

TEST_F(ExactnessCuda, one_rank_by_nccl_equals_the_cpu) {
  const auto cpu = launch_on(1, "cpu", common()).rank(0);
  const auto gpu = run(settings("gpu", on_gpu("nccl")));
  ASSERT_EQ(gpu.status, 0) << gpu.err;
  expect_same(gpu.rank(0), cpu, 1e-10);
}

TEST_F(ExactnessCuda, two_ranks_on_one_gpu_by_gloo_equal_the_cpu) {
  expect_two_ranks_equal_the_cpu(/*has_norm=*/false, 1e-10);
}

// The ranks have to be processes: within one process, LibTorch computes all gradients of a GPU on
// one thread, on which a rank that waits for another would keep it from coming.
TEST_F(ExactnessCuda, two_ranks_with_batch_norm_on_one_gpu_equal_the_cpu) {
  expect_two_ranks_equal_the_cpu(/*has_norm=*/true, 1e-9);
}

}  // namespace levin::test::exactness_test
