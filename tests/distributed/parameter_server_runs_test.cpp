// Runs of the Trainer with strategy = parameter_server: rows 47 and 51 of the requirements.
#include <signal.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <levin/callbacks/lambda_callback.h>
#include <levin/datamodules/array.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>

#include "distributed/rank_outcome.h"
#include "distributed/run_ranks.h"

namespace levin::test::parameter_server_runs_test {

class ParameterServerRuns : public RanksTest {};

Value mode(const std::string& name, Value::Object settings = {}) {
  Value value = std::move(settings);
  value["name"] = name;
  return value;
}

/// A global batch of 16 of 97 rows; the last one of an epoch has 1, on rank 0. Adam.
Value common(const Value& servers) {
  Value value;
  value["rows"] = 97;
  value["global_batch_size"] = 16;
  value["trainer"]["max_epochs"] = 3;
  if (servers.is_null()) return value;
  value["trainer"]["strategy"] = "parameter_server";
  value["trainer"]["parameter_server"] = servers;
  return value;
}

TEST_F(ParameterServerRuns, in_step_equal_one_process_and_have_the_same_bits_each_time) {
  struct Case {
    const char* name;
    int64_t ranks;
    int64_t servers;
    Value::Object more;
    Value::Object trainer;
  };
  const Case cases[] = {
      {"adam", 3, 1, {}, {{"accumulate_grad_batches", 2}, {"gradient_clip_val", 0.05}}},
      {"sgd", 3, 2, {{"optimizer", "SGD"}}, {{"accumulate_grad_batches", 2}}},
      {"unused", 3, 3, {{"unused", true}}, {{"find_unused_parameters", true}}},
      {"one", 1, 1, {}, {}}};
  for (const auto& one : cases) {
    SCOPED_TRACE(one.name);
    Value plain = common(Value());
    Value served = common(mode("bsp", {{"servers", one.servers}}));
    for (auto* settings : {&plain, &served}) {
      for (const auto& [key, value] : one.more) (*settings)[key] = value;
      for (const auto& [key, value] : one.trainer) (*settings)["trainer"][key] = value;
    }
    const std::string name = one.name;
    const auto alone = run_on(1, name + "-alone", plain);
    const auto many = run_on(one.ranks, name + "-many", served);
    for (int64_t rank = 0; rank < one.ranks; ++rank) {
      const auto model = many.rank(rank).child("model");
      EXPECT_LE(difference(model, alone.rank(0).child("model")), 1e-12);
    }
    if (one.servers == 2) {
      const auto again = run_on(3, name + "-again", served);
      EXPECT_EQ(difference(many.rank(1).child("model"), again.rank(0).child("model")), 0.0);
    }
    for (const char* metric : {"train_loss_epoch", "val_loss"}) {
      EXPECT_NEAR(many.values().at("fit").at(metric).as_double(),
                  alone.values().at("fit").at(metric).as_double(), 1e-12);
    }
    EXPECT_EQ(many.values(one.ranks - 1).at("global_step"), alone.values().at("global_step"));
  }
}

TEST_F(ParameterServerRuns, in_step_are_those_of_ddp_if_ranks_skip_batches_or_have_batch_norms) {
  for (const char* type : {"float64", "float32"}) {
    SCOPED_TRACE(type);
    Value plain = common(Value());
    Value served = common("bsp");
    for (auto* settings : {&plain, &served}) {
      (*settings)["rows"] = 100;  // the last batch of an epoch has 2 rows on each rank
      (*settings)["torch_norm"] = true;
      (*settings)["skip_rank"] = 1;
      (*settings)["dtype"] = type;
    }
    const auto ddp = run_on(2, std::string("ddp-") + type, plain);
    const auto many = run_on(2, std::string("bsp-") + type, served);
    const double bound = type == std::string("float64") ? 1e-12 : 1e-5;
    for (const int64_t rank : {0, 1}) {
      const auto gap = difference(many.rank(rank).child("model"), ddp.rank(0).child("model"));
      EXPECT_LE(gap, bound);
    }
  }
}

TEST_F(ParameterServerRuns, in_step_resume_with_the_same_bits_and_from_and_to_other_strategies) {
  auto whole_settings = common(mode("bsp", {{"servers", 2}}));
  const auto whole = run_on(3, "whole", whole_settings).rank(1).child("model");
  auto first = whole_settings;
  first["trainer"]["max_steps"] = 10;
  first["save"] = (folder_ / "servers.ckpt").string();
  run_on(3, "first", first);
  auto rest = whole_settings;
  rest["ckpt_path"] = first.at("save");
  EXPECT_EQ(difference(run_on(3, "rest", rest).rank(2).child("model"), whole), 0.0);
  auto ddp = common(Value());
  ddp["ckpt_path"] = first.at("save");
  EXPECT_LE(difference(run_on(2, "to-ddp", ddp).rank(1).child("model"), whole), 1e-12);

  ddp["ckpt_path"] = "";
  ddp["trainer"]["max_steps"] = 10;
  ddp["save"] = (folder_ / "ddp.ckpt").string();
  run_on(2, "ddp", ddp);
  rest["ckpt_path"] = ddp.at("save");
  EXPECT_LE(difference(run_on(3, "from-ddp", rest).rank(0).child("model"), whole), 1e-12);
}

/// Trains logistic regression by SGD with a decaying rate. Rank 1 waits before its step 5 until
/// rank 0 begins the step "meet_at".
int train_at_two_paces(const Value& settings) {
  auto options = begin_as_rank(settings, settings.at("epochs").as_int());
  const auto generator = at::detail::createCPUGenerator(3);
  const auto x = torch::randn({240, 4}, generator, torch::kFloat);
  const auto y = (x.sum(1) > 0.0).to(torch::kLong);
  levin::ArrayDataModule data(x, y, {.batch_size = 4, .val_split = 0.2});
  levin::LogisticRegression model({.learning_rate = 0.1, .optimizer = "SGD"});
  levin::Trainer trainer(options);
  const fs::path marker = settings.at("out").as_string() + "/marker";
  const bool is_paced = settings.contains("meet_at");
  const int64_t meet_at = is_paced ? settings.at("meet_at").as_int() : 0;
  trainer.add<levin::LambdaCallback>(
      {.on_train_batch_start = [=](const levin::Batch&, levin::Step& step) {
        const auto done = step.run().global_step();
        const auto rank = step.run().ranks().rank();
        if (is_paced && rank == 0 && done == meet_at) std::ofstream(marker) << "here";
        if (is_paced && rank == 1 && done == 5) eventually([&] { return fs::exists(marker); });
      }});
  const auto history = trainer.fit(model, data);
  StateDict result;
  for (const char* name : {"val_acc", "comm_bytes", "staleness"}) {
    const auto& metrics = history.epochs.front().metrics;
    const auto found = metrics.find(name);
    result.values[name] = found == metrics.end() ? -1.0 : found->second;
  }
  result.values["val_acc"] = history.last("val_acc");
  result.values["global_step"] = history.epochs.back().global_step;
  const auto profile = trainer.profile();
  result.values["steps"] = profile.communication.steps;
  result.values["bytes"] = profile.communication.bytes;
  result.values["waiting"] = profile.communication.waiting;
  result.add("model", model.state_dict().clone());
  leave_result(settings, result);
  return 0;
}

Value paces(const Value& servers, int64_t epochs = 1) {
  Value value = Value::Object{{"epochs", epochs}};
  value["trainer"]["strategy"] = "parameter_server";
  value["trainer"]["parameter_server"] = servers;
  value["trainer"]["profiler"] = "simple";
  return value;
}

// Rank 1 has made 5 steps, and rank 0 begins its step 8: the values that it has read lack 3 of the
// gradients of rank 1. If the bound were 2, rank 0 would wait for rank 1, which waits for it.
TEST_F(ParameterServerRuns, with_bounded_staleness_reach_their_bound_and_never_exceed_it) {
  auto settings = paces(mode("ssp", {{"staleness", 3}, {"servers", 2}}));
  settings["meet_at"] = 8;
  const auto run = run_on(2, "bound", settings, train_at_two_paces);
  EXPECT_EQ(run.values(0).at("staleness").as_double(), 3.0);
  EXPECT_EQ(run.values(1).at("staleness").as_double(), 3.0);
  EXPECT_EQ(difference(run.rank(1).child("model"), run.rank(0).child("model")), 0.0);
}

TEST_F(ParameterServerRuns, without_bound_wait_for_nobody) {
  auto settings = paces("asp");
  settings["meet_at"] = 20;
  const auto run = run_on(2, "free", settings, train_at_two_paces);
  EXPECT_GE(run.values(1).at("staleness").as_double(), 15.0);
  EXPECT_EQ(difference(run.rank(1).child("model"), run.rank(0).child("model")), 0.0);
}

// row 51: asynchronous SGD (DistBelief) comes to the accuracy of steps that all ranks take
// together.
TEST_F(ParameterServerRuns, out_of_step_come_to_the_same_accuracy) {
  constexpr int64_t kSteps = 6 * 14;  // 168 rows an epoch
  std::map<std::string, double> accuracies;
  for (const std::string name : {"bsp", "ssp", "asp"}) {
    const auto run = run_on(3, name, paces(name, 6), train_at_two_paces);
    accuracies[name] = run.values().at("val_acc").as_double();
    for (const int64_t rank : {0, 1, 2}) {
      EXPECT_EQ(difference(run.rank(rank).child("model"), run.rank(0).child("model")), 0.0) << name;
      EXPECT_EQ(run.values(rank).at("global_step").as_int(), kSteps) << name;
    }
    EXPECT_EQ(run.values(1).at("staleness").as_double() == -1.0, name == "bsp");
    // Rank 1 sends gradients. Rank 0 sends as much, and weights to three ranks; what it sends after
    // its own last step isn't counted in its steps.
    const auto bytes = [&](int64_t rank) { return run.values(rank).at("bytes").as_double(); };
    EXPECT_GT(bytes(0), (name == "bsp" ? 3.5 : 1.5) * bytes(1)) << name;
    EXPECT_LE(bytes(0), 4.0 * bytes(1)) << name;
    EXPECT_EQ(run.values(1).at("steps").as_int(), kSteps);
    EXPECT_GT(run.values(1).at("waiting").as_double(), 0.0);
    EXPECT_GT(run.values(1).at("comm_bytes").as_double(), 10 * sizeof(float));
  }
  EXPECT_GT(accuracies["bsp"], 0.85);
  EXPECT_GT(accuracies["ssp"], 0.85);
  EXPECT_GT(accuracies["asp"], 0.85);
}

TEST_F(ParameterServerRuns, end_on_all_ranks_if_one_asks_is_interrupted_or_fails) {
  for (const char* name : {"bsp", "asp"}) {
    SCOPED_TRACE(name);
    auto settings = common(name);
    settings["trainer"]["max_epochs"] = 1000000;
    settings["keys"] = 4;
    settings["fail_rank"] = 1;
    settings["fail_step"] = 8;
    settings["fail"] = "ask";
    const auto asked = run_on(2, name + std::string("-asked"), settings);
    EXPECT_EQ(asked.values(0).at("told"), asked.values(1).at("told"));
    EXPECT_EQ(asked.values(0).at("told").as_object().size(), 4U);
    EXPECT_EQ(asked.values(1).at("stop_reason").as_string(), "asked by one");
    EXPECT_EQ(asked.values(0).at("global_step"), asked.values(1).at("global_step"));
    EXPECT_EQ(difference(asked.rank(0).child("model"), asked.rank(1).child("model")), 0.0);

    const auto end_by = [&](const char* how) {
      settings["fail"] = how;
      const Value all = this->settings(name + std::string(how), settings);
      return wait_all(fork_ranks(2, all, work_as_rank), all);
    };
    const auto interrupted = end_by("interrupt");
    EXPECT_EQ(interrupted.status, 130) << interrupted.err;
    EXPECT_TRUE(interrupted.values(0).at("interrupted").as_bool());
    const auto failed = end_by("throw");
    EXPECT_EQ(failed.status, 1);
    EXPECT_NE(failed.err.find("the model broke"), std::string::npos) << failed.err;
  }
}

// A validation, a checkpoint and loaded weights in the middle of an epoch: ranks meet for each.
TEST_F(ParameterServerRuns, out_of_step_show_one_model_to_validations_and_checkpoints) {
  auto settings = common(mode("asp", {{"servers", 2}}));
  settings["trainer"]["val_check_interval"] = 2;
  settings["checkpoint"] = Value::Object{{"every_n_train_steps", 3}, {"save_top_k", -1}};
  settings["save"] = (folder_ / "end.ckpt").string();
  const auto run = run_on(3, "run", settings);
  const auto saved = load_checkpoint(settings.at("save").as_string());
  for (const int64_t rank : {0, 1, 2}) {
    EXPECT_EQ(difference(run.rank(rank).child("model"), saved.child("model")), 0.0);
  }
  EXPECT_LT(run.values().at("fit").at("val_loss").as_double(), 1.0);
  auto more = common("asp");
  more["trainer"]["max_epochs"] = 4;
  more["ckpt_path"] = settings.at("save");
  const auto rest = run_on(2, "rest", more);
  EXPECT_EQ(rest.values().at("epochs").as_int(), 4);
  EXPECT_LE(rest.values().at("fit").at("val_loss").as_double(),
            run.values().at("fit").at("val_loss").as_double() + 0.05);
}

/// The process of each rank that has marked its steps in `file`.
std::map<int, pid_t> processes_in(const fs::path& file) {
  std::map<int, pid_t> processes;
  std::ifstream lines(file);
  int rank = 0;
  pid_t process = 0;
  for (int step = 0; lines >> rank >> process >> step;) processes[rank] = process;
  return processes;
}

// Rank 0 has the server. No silence and no timeout of a collective ends these runs.
TEST_F(ParameterServerRuns, a_killed_server_or_worker_ends_all_ranks_and_is_named) {
  std::mt19937 random(std::random_device{}());
  for (int round = 0; round < 6; ++round) {
    SCOPED_TRACE(round);
    auto watched = common(round % 3 == 0 ? "bsp" : round % 3 == 1 ? "ssp" : "asp");
    const auto marks = folder_ / ("steps-" + std::to_string(round));
    watched["trainer"]["max_epochs"] = 1000000;
    watched["trainer"]["heartbeat_timeout"] = 3600.0;
    watched["trainer"]["process_group_timeout"] = 3600.0;
    watched["mark_steps"] = marks.string();
    const auto place = settings("round-" + std::to_string(round), watched);
    const auto started = fork_ranks(3, place);
    ASSERT_TRUE(eventually([&] { return processes_in(marks).size() == 3; }));
    const int victim = round / 3 == 0 ? 0 : 1 + static_cast<int>(random() % 2);
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 100));
    ASSERT_EQ(::kill(processes_in(marks)[victim], SIGKILL), 0);
    Run ended;
    for (int rank = 0; rank < 3; ++rank) {
      ended = wait(started[static_cast<size_t>(rank)], place);
      EXPECT_EQ(ended.status, rank == victim ? 128 + SIGKILL : 1) << rank << ended.err;
    }
    EXPECT_NE(ended.err.find("rank " + std::to_string(victim)), std::string::npos) << ended.err;
  }
}

TEST_F(ParameterServerRuns, go_on_from_their_last_checkpoint_if_a_server_or_worker_is_killed) {
  auto settings = common("bsp");
  settings["checkpoint"]["every_n_train_steps"] = 2;
  const auto calm = run_on(2, "calm", settings);
  for (const int64_t victim : {0, 1}) {
    SCOPED_TRACE(victim);
    auto disturbed = settings;
    disturbed["trainer"]["devices"] = 2;
    disturbed["trainer"]["max_restarts"] = 2;
    disturbed["fail"] = "kill";
    disturbed["fail_rank"] = victim;
    disturbed["fail_step"] = 9;
    disturbed["fail_once"] = true;
    const auto ended = run(this->settings("killed-" + std::to_string(victim), disturbed));
    EXPECT_EQ(ended.status, 0) << ended.err;
    EXPECT_NE(ended.err.find("training goes on from"), std::string::npos) << ended.err;
    EXPECT_EQ(difference(ended.rank(0).child("model"), calm.rank(0).child("model")), 0.0);
  }
}

#ifndef LEVIN_TORCHRUN
#define LEVIN_TORCHRUN ""
#endif

TEST_F(ParameterServerRuns, are_started_by_torchrun) {
  if (std::string(LEVIN_TORCHRUN).empty()) GTEST_SKIP() << "no torchrun";
  const auto alone = run_on(1, "alone", common(Value()));
  // torchrun leaves its folder of logs behind, so it must be one of the test's own.
  const auto many = run(settings("many", common("bsp")),
                        {LEVIN_TORCHRUN, "--no-python", "--standalone", "--nproc-per-node", "2",
                         "--log-dir", (folder_ / "logs").string()});
  ASSERT_EQ(many.status, 0) << many.err;
  EXPECT_LE(difference(many.rank(1).child("model"), alone.rank(0).child("model")), 1e-12);
}

}  // namespace levin::test::parameter_server_runs_test
