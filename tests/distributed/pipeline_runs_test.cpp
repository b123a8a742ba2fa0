#include <signal.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <torch/torch.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/nn/sync_batch_norm.h>
#include <levin/framework/optimizers/adam.h>
#include <levin/framework/optimizers/lbfgs.h>
#include <levin/framework/optimizers/sgd.h>
#include <levin/framework/run/pipeline_module.h>
#include <levin/framework/strategies/pipeline_strategy.h>
#include <levin/framework/trainer/trainer.h>

#include "distributed/killed_rank.h"
#include "distributed/pipeline_rows.h"
#include "distributed/rank_outcome.h"
#include "distributed/ranks_as_threads.h"
#include "distributed/run_ranks.h"
#include "framework/message_of.h"

// Runs of the Trainer whose model is spread over ranks.

namespace levin::test::pipeline_runs_test {
namespace {

/// Six layers with parameters.
class DeepNet final : public levin::PipelineModule {
 public:
  explicit DeepNet(Value settings) : settings_(std::move(settings)) {
    for (int64_t i = 0; i < 6; ++i) {
      layers_->push_back(torch::nn::Linear(i == 0 ? 3 : 4, i == 5 ? 2 : 4));
      if (i == 0 && settings_.contains("norm")) layers_->push_back(torch::nn::BatchNorm1d(4));
      if (i < 5) layers_->push_back(torch::nn::Tanh());
    }
    layers_->to(torch::kDouble);
    const auto parameters = layers_->parameters();  // two of each layer
    const int64_t frozen = settings_.contains("frozen") ? settings_.at("frozen").as_int() : 0;
    for (int64_t i = 0; i < 2 * frozen; ++i) {
      parameters[static_cast<size_t>(i)].set_requires_grad(false);
    }
  }
  torch::nn::Sequential layers() override { return layers_; }
  torch::Tensor loss(const torch::Tensor& outputs, const levin::Batch& batch) override {
    die_if_told();
    return torch::cross_entropy_loss(outputs, batch.target());
  }
  void on_outputs(const torch::Tensor& outputs, const torch::Tensor& /*loss*/,
                  const levin::Batch& batch, levin::Step& step) override {
    step.log("train_acc", correct(outputs, batch), {.on_step = false, .on_epoch = true});
    mark_.leave(settings_);
  }
  void validation_step(const levin::Batch& batch, levin::Step& step) override {
    const auto outputs = forward(batch);
    step.log("val_loss", loss(outputs, batch));
    step.log("val_acc", correct(outputs, batch));
  }
  void test_step(const levin::Batch& batch, levin::Step& step) override {
    step.log("test_acc", correct(forward(batch), batch));
  }
  levin::NamedTensors predict(const levin::Batch& batch) override {
    return {{"outputs", forward(batch)}};
  }
  void on_train_end(levin::Run& run) override {
    run.save(fs::path(settings_.at("out").as_string()) / "weights.ckpt", {.weights_only = true});
  }
  levin::Optimizers configure_optimizers() override {
    own_parameters = static_cast<int64_t>(parameters().size());
    if (settings_.contains("lbfgs")) return levin::LBFGS(parameters(), {});
    if (settings_.contains("sgd")) return levin::SGD(parameters(), {.learning_rate = 0.5});
    return levin::Adam(parameters(), {.learning_rate = 0.02});
  }

  int64_t own_parameters = 0;

 private:
  static torch::Tensor correct(const torch::Tensor& outputs, const levin::Batch& batch) {
    return (outputs.argmax(1) == batch.target()).to(torch::kDouble).mean();
  }
  /// Only the last rank computes losses in training.
  void die_if_told() {
    if (settings_.contains("die") && ++losses_ == settings_.at("die").as_int()) {
      ::kill(::getpid(), SIGKILL);
    }
  }

  Value settings_;
  TrainingMark mark_;
  torch::nn::Sequential layers_ = register_module("layers", torch::nn::Sequential());
  int64_t losses_ = 0;
};

int train_deep_net(const Value& settings) {
  auto options = begin_as_rank(settings, settings.at("epochs").as_int());
  DeepNet model(settings);
  PipelineRows data(replicas_in(settings));
  levin::Trainer trainer(options);
  const bool resumes = settings.contains("resume");
  const auto history =
      trainer.fit(model, data, resumes ? settings.at("resume").as_string() : std::string());
  levin::StateDict result;
  result.add("model", model.state_dict().clone());
  result.values["own_parameters"] = model.own_parameters;
  for (const char* name : {"train_loss", "train_acc", "val_loss", "val_acc"}) {
    result.values[name] = history.last(name);
  }
  const auto profile = trainer.profile();
  result.values["batches"] = profile.pipelining.batches;
  result.values["table"] = profile.table();
  trainer.save_checkpoint(settings.at("out").as_string() + "/end.ckpt");
  result.values["test_acc"] = trainer.test(model, data).at("test_acc");
  StateDict predicted;
  for (const auto& [name, tensor] : trainer.predict(model, data)) predicted.tensors[name] = tensor;
  result.add("predicted", std::move(predicted));
  leave_result(settings, result);
  return 0;
}

}  // namespace

class PipelineRuns : public KilledRankTest {
 protected:
  Run train(int64_t ranks, const std::string& name, const Value& more) const {
    return run_on(ranks * replicas_in(more), name, more, train_deep_net);
  }
  static void expect_same(const Run& run, const Run& alone, int64_t ranks, int64_t replicas = 1) {
    for (int64_t rank = 0; rank < ranks; ++rank) {
      const StateDict own = run.rank(rank);
      const StateDict expected = alone.rank(0);
      for (const char* part : {"model", "predicted"}) {
        EXPECT_LT(difference(own.child(part), expected.child(part)), 1e-12) << part << rank;
      }
      for (const std::string name :
           {"train_loss", "train_acc", "val_loss", "val_acc", "test_acc"}) {
        if (replicas > 1 && name == "train_loss") continue;  // of a step's own rows
        EXPECT_NEAR(own.values.at(name).as_double(), expected.values.at(name).as_double(), 1e-12)
            << name << " of rank " << rank;
      }
    }
  }
};

TEST_F(PipelineRuns, equal_one_process_in_every_stage_of_the_trainer) {
  const auto alone = train(1, "alone", pipeline_of(1, "1f1b", 0));
  EXPECT_EQ(alone.values().at("own_parameters").as_int(), 12);
  const struct {
    int64_t ranks;
    const char* schedule;
    int64_t micro_batches;
  } cases[] = {{2, "gpipe", 3}, {3, "interleaved1f1b", 6}, {4, "1f1b", 6}};
  for (const auto& one : cases) {
    SCOPED_TRACE(one.schedule);
    const auto run =
        train(one.ranks, one.schedule, pipeline_of(one.ranks, one.schedule, one.micro_batches));
    expect_same(run, alone, one.ranks);
    int64_t parameters = 0;
    for (int64_t rank = 0; rank < one.ranks; ++rank) {
      parameters += run.values(rank).at("own_parameters").as_int();
    }
    EXPECT_EQ(parameters, 12);  // each is on one rank
  }
}

TEST_F(PipelineRuns, resume_from_checkpoints_of_any_other_number_of_stages) {
  const auto whole = train(1, "whole", pipeline_of(1, "1f1b", 0, 4));
  const auto first = train(2, "first", pipeline_of(2, "1f1b", 4));
  const std::string folder = (first.folder / "end.ckpt").string();
  const auto names = load_checkpoint(folder).child("model").tensors;
  EXPECT_EQ(names.size(), 12U);
  const auto weights = load_checkpoint(first.folder / "weights.ckpt");
  EXPECT_FALSE(weights.has_child("optimizer"));
  EXPECT_EQ(difference(weights.child("model"), first.rank(0).child("model")), 0.0);
  for (const int64_t ranks : {1, 2, 3}) {
    auto settings = pipeline_of(ranks, "1f1b", 4, 4);
    settings["resume"] = folder;
    const auto run = train(ranks, fmt::format("on-{}", ranks), settings);
    expect_same(run, whole, ranks);
  }
  // A checkpoint of one process goes on in a pipeline.
  const auto start = train(1, "start", pipeline_of(1, "1f1b", 0));
  auto settings = pipeline_of(2, "gpipe", 2, 4);
  settings["resume"] = (start.folder / "end.ckpt").string();
  expect_same(train(2, "spread", settings), whole, 2);
}

// Issue 15: "pipeline_size x tensor_size x data", and "checkpoints that load at any other mapping".
TEST_F(PipelineRuns, of_several_pipelines_equal_one_process_and_resume_at_any_mapping) {
  const auto whole = train(1, "whole", pipeline_of(1, "1f1b", 0, 4));
  const auto two_by_two = train(2, "two-by-two", pipeline_of(2, "1f1b", 3, 4, 2));
  expect_same(two_by_two, whole, 4, 2);
  int64_t parameters = 0;
  for (int64_t rank = 0; rank < 4; ++rank) {
    parameters += two_by_two.values(rank).at("own_parameters").as_int();
  }
  EXPECT_EQ(parameters, 2 * 12);
  const auto first = train(2, "first", pipeline_of(2, "gpipe", 2, 2, 2));
  EXPECT_EQ(load_checkpoint(first.folder / "end.ckpt").child("model").tensors.size(), 12U);
  for (const int64_t ranks : {1, 3}) {
    auto settings = pipeline_of(ranks, "1f1b", 4, 4);
    settings["resume"] = (first.folder / "end.ckpt").string();
    expect_same(train(ranks, fmt::format("on-{}", ranks), settings), whole, ranks);
  }
  const auto start = train(1, "start", pipeline_of(1, "1f1b", 0));
  auto settings = pipeline_of(2, "1f1b", 3, 4, 2);
  settings["resume"] = (start.folder / "end.ckpt").string();
  expect_same(train(2, "spread", settings), whole, 4, 2);
}

TEST_F(PipelineRuns, train_the_other_stages_if_the_first_one_is_frozen) {
  const auto frozen = [](int64_t ranks, int64_t replicas) {
    auto settings = pipeline_of(ranks, "1f1b", 3, 2, replicas);
    settings["frozen"] = 3;  // of the six layers
    settings["sgd"] = true;  // Adam's steps hardly depend on the size of gradients
    return settings;
  };
  const auto alone = train(1, "alone", frozen(1, 1));
  for (const int64_t replicas : {1, 2}) {
    const auto run = train(2, fmt::format("pipelines-{}", replicas), frozen(2, replicas));
    expect_same(run, alone, 2 * replicas, replicas);
  }
}

TEST_F(PipelineRuns, give_all_pipelines_the_buffers_of_the_first_one) {
  for (const bool sends : {true, false}) {
    auto settings = pipeline_of(2, "1f1b", 1, 1, 2);  // micro-batches of one row have no norm
    settings["norm"] = true;
    settings["trainer"]["broadcast_buffers"] = sends;
    settings["trainer"]["profiler"] = "simple";
    const auto run = train(2, sends ? "sent" : "kept", settings);
    const auto first = run.rank(0).child("model").tensor("layers.1.running_mean");
    EXPECT_GT(first.abs().max().item<double>(), 0.0);
    for (const int64_t rank : {1, 3}) {  // of the second pipeline
      const auto other = run.rank(rank).child("model").tensor("layers.1.running_mean");
      EXPECT_EQ(torch::equal(other, first), sends) << rank;
    }
    const auto table = run.values().at("table").as_string();
    EXPECT_EQ(table.find("buffers ") != std::string::npos, sends) << table;
  }
}

TEST_F(PipelineRuns, show_passes_and_waiting_in_the_profile_and_in_the_trace) {
  auto more = pipeline_of(2, "1f1b", 4, 1);
  more["trainer"]["profiler"] = "trace";
  const auto run = train(2, "traced", more);
  EXPECT_EQ(run.values(1).at("batches").as_int(), 4);  // 29 rows, 8 at a time
  const auto table = run.values().at("table").as_string();
  EXPECT_TRUE(says(table, {"pipeline", "bubble %", "rank 0", "rank 1"})) << table;
  fs::path trace;
  for (const auto& entry : fs::recursive_directory_iterator(run.folder)) {
    if (entry.path().filename() == "trace.json") trace = entry.path();
  }
  const auto events = read_file(trace);
  for (const char* name : {"forward", "backward", "idle"}) {
    EXPECT_NE(events.find(fmt::format("\"name\":\"{}\"", name)), std::string::npos) << name;
  }
  // At the end of each batch, the last rank waits until the first one has made its last pass.
  std::vector<std::pair<double, double>> idle;  // in microseconds
  std::vector<std::pair<double, double>> ends;
  const Value timeline = Value::from_json(events);
  for (const Value& event : timeline.at("traceEvents").as_array()) {
    if (event.at("pid").as_int() != 1 || event.at("ph").as_string() != "X") continue;
    const double begin = event.at("ts").as_double();
    const auto& name = event.at("name").as_string();
    if (name != "idle" && name != "metrics") continue;
    (name == "idle" ? idle : ends).emplace_back(begin, begin + event.at("dur").as_double());
  }
  EXPECT_GE(ends.size(), 4U) << "one of each batch";
  for (const auto& end : ends) {
    EXPECT_TRUE(std::any_of(idle.begin(), idle.end(), [&](const auto& wait) {
      return wait.first <= end.first + 1.0 && wait.second >= end.second - 1.0;
    })) << end.first;
  }
}

TEST_F(PipelineRuns, resume_with_the_same_bits) {
  const auto whole = train(2, "whole", pipeline_of(2, "1f1b", 3, 4));
  const auto first = train(2, "first", pipeline_of(2, "1f1b", 3));
  auto settings = pipeline_of(2, "1f1b", 3, 4);
  settings["resume"] = (first.folder / "end.ckpt").string();
  const auto run = train(2, "second", settings);
  EXPECT_EQ(difference(run.rank(1).child("model"), whole.rank(1).child("model")), 0.0);
}

TEST_F(PipelineRuns, a_killed_stage_ends_the_ranks_that_wait_for_it) {
  auto more = pipeline_of(3, "1f1b", 4);
  more["die"] = 6;
  more["trainer"]["devices"] = 3;
  more["trainer"]["heartbeat_timeout"] = 3600.0;
  more["trainer"]["process_group_timeout"] = 3600.0;
  const Value all = settings("killed", more);
  const auto run = wait_all(fork_ranks(3, all, train_deep_net), all);
  EXPECT_EQ(run.status, 1);  // of rank 0
  EXPECT_NE(run.err.find("rank 2"), std::string::npos) << run.err;
  EXPECT_EQ(run.err.find("3600"), std::string::npos) << run.err;
}

// Issue 15: "kill -9 of a pipeline stage at random moments: never hangs".
TEST_F(PipelineRuns, a_stage_killed_at_a_random_moment_ends_all_ranks_of_all_pipelines) {
  for (int round = 0; round < 3; ++round) {
    kill_at_a_random_moment(4, fmt::format("round-{}", round),
                            pipeline_of(2, "1f1b", 4, 1000000, 2), train_deep_net);
  }
}

// A module whose override called that of PipelineModule would pass for one that has none.
template <class M>
concept CanCallOnOutputs = requires(M net, torch::Tensor outputs, levin::Batch batch,
                                    levin::Step& step) {
  net.levin::PipelineModule::on_outputs(outputs, outputs, batch, step);
};

TEST_F(PipelineRuns, overrides_of_on_outputs_cannot_call_the_one_that_says_there_is_none) {
  EXPECT_FALSE(CanCallOnOutputs<DeepNet>);
}

int refuse_lbfgs(const Value& settings) {
  const auto message = message_of<ConfigError>([&] { train_deep_net(settings); });
  return message.find("LBFGS with pipeline_size = 2") != std::string::npos ? 0 : 1;
}

TEST_F(PipelineRuns, refuse_optimizers_that_need_all_parameters) {
  auto more = pipeline_of(2, "1f1b", 2);
  more["lbfgs"] = true;
  more["trainer"]["accumulate_grad_batches"] = 1;
  run_on(2, "lbfgs", more, refuse_lbfgs);
}

TEST_F(PipelineRuns, refuse_a_pipeline_that_one_device_cannot_be) {
  const auto message = message_of<ConfigError>([&] {
    TrainerOptions options{.accelerator = "cpu", .devices = 1, .pipeline_size = 2};
    levin::Trainer trainer(options);
    DeepNet model(Value::Object{});
    PipelineRows data;
    trainer.fit(model, data);
  });
  EXPECT_TRUE(says(message, {"pipeline_size = 2 with one device", "devices = 2"}));
}

/// What PipelineStrategy says to `module`, or to a state that it shall save.
std::string refusal(levin::Module& module, const StateDict& state = {}) {
  const auto thrown = run_ranks(1, [&](const Cluster& cluster) {
    PipelineStrategy strategy(cluster, at::kCPU, {.ranks = 1});
    strategy.setup(module);
    auto own = state;
    strategy.mark_own_tensors(own);
  });
  return thrown[0];
}

TEST_F(PipelineRuns, refuse_modules_and_callbacks_that_cannot_be_divided) {
  levin::Module plain;
  EXPECT_TRUE(says(refusal(plain), {"isn't a PipelineModule", "pipeline_size = 1"}));
  DeepNet outside(Value::Object{});
  outside.register_parameter("scale", torch::ones({1}));
  EXPECT_TRUE(says(refusal(outside), {"the parameter scale isn't in them"}));
  DeepNet joined(Value::Object{});
  joined.layers()->push_back(levin::SyncBatchNorm(2));
  EXPECT_TRUE(says(refusal(joined), {"SyncBatchNorm", "the same rows"}));
  DeepNet net(Value::Object{});
  EXPECT_EQ(refusal(net), "");
  StateDict state;
  state.tensors["callbacks.Average.layers.2.weight"] = torch::zeros({4, 4});
  EXPECT_TRUE(says(refusal(net, state), {"keeps copies of weights", "Average.layers.2.weight"}));
  const auto thrown = run_ranks(
      3, [&](const Cluster& cluster) { PipelineStrategy(cluster, at::kCPU, {.ranks = 2}); });
  EXPECT_TRUE(says(thrown[0], {"pipeline_size = 2 with 3 ranks", "a multiple of pipeline_size"}));
}

}  // namespace levin::test::pipeline_runs_test
