#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <torch/torch.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/launch/device_mesh.h>
#include <levin/framework/nn/parallel_linear.h>
#include <levin/framework/optimizers/adam.h>
#include <levin/framework/optimizers/lbfgs.h>
#include <levin/framework/run/pipeline_module.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/mlp.h>

#include "distributed/killed_rank.h"
#include "distributed/mesh_settings.h"
#include "distributed/pipeline_rows.h"
#include "distributed/rank_outcome.h"
#include "distributed/run_ranks.h"
#include "framework/message_of.h"

// Runs of the Trainer whose layers are shared by several ranks, also in pipelines.

namespace levin::test::tensor_runs_test {
namespace {

/// Layers that can be divided, beside others.
class SharedNet final : public levin::PipelineModule {
 public:
  explicit SharedNet(Value settings) : settings_(std::move(settings)) {
    layers_->push_back(torch::nn::Linear(3, 4));
    layers_->push_back(torch::nn::Tanh());
    if (settings_.contains("dropout")) layers_->push_back(torch::nn::Dropout(0.3));
    layers_->push_back(ColumnLinear(ColumnLinearOptions{.in_features = 4, .out_features = 7}));
    layers_->push_back(torch::nn::Tanh());
    layers_->push_back(RowLinear(RowLinearOptions{.in_features = 7, .out_features = 5}));
    layers_->push_back(torch::nn::Tanh());
    layers_->push_back(ColumnLinear(
        ColumnLinearOptions{.in_features = 5, .out_features = 6, .gather_output = true}));
    layers_->push_back(torch::nn::Linear(6, 2));
    layers_->to(torch::kDouble);
  }
  torch::nn::Sequential layers() override { return layers_; }
  torch::Tensor loss(const torch::Tensor& outputs, const levin::Batch& batch) override {
    return torch::cross_entropy_loss(outputs, batch.target());
  }
  void on_train_batch_start(const levin::Batch& /*batch*/, levin::Step& /*step*/) override {
    mark_.leave(settings_);
  }
  void validation_step(const levin::Batch& batch, levin::Step& step) override {
    const auto outputs = forward(batch);
    step.log("val_loss", loss(outputs, batch));
  }
  void test_step(const levin::Batch& batch, levin::Step& step) override {
    step.log("test_loss", loss(forward(batch), batch));
  }
  levin::NamedTensors predict(const levin::Batch& batch) override {
    return {{"outputs", forward(batch)}};
  }
  void on_train_batch_end(const torch::Tensor& /*loss*/, const levin::Batch& /*batch*/,
                          levin::Step& step) override {
    auto& run = step.run();
    const bool raises = run.ranks().rank() + 1 == run.ranks().size() && run.global_step() == 1;
    if (run.ranks().any_after_step("flag", raises) && flag_step < 0) flag_step = run.global_step();
  }
  void on_train_epoch_end(levin::Run& run) override {
    if (const auto* mesh = run.place().mesh) {
      place = mesh->place_of(run.ranks().rank());
    }
    if (settings_.contains("load") && run.epoch() == 0) {
      run.load_weights(fs::path(settings_.at("load").as_string()));
    }
  }
  void on_train_end(levin::Run& run) override {
    run.save(fs::path(settings_.at("out").as_string()) / "weights.ckpt", {.weights_only = true});
  }
  bool automatic_optimization() const override { return !settings_.contains("by_hand"); }
  levin::Optimizers configure_optimizers() override {
    for (const auto& parameter : parameters()) own_numbers += parameter.numel();
    if (settings_.contains("lbfgs")) return levin::LBFGS(parameters(), {});
    return levin::Adam(parameters(), {.learning_rate = 0.02});
  }

  int64_t own_numbers = 0;
  MeshPlace place{.pipeline = -1, .data = -1, .tensor = -1};  // that hooks are told
  int64_t flag_step = -1;  // after which this rank learned of the last rank's flag

 private:
  Value settings_;
  TrainingMark mark_;
  torch::nn::Sequential layers_ = register_module("layers", torch::nn::Sequential());
};

/// A softmax regression whose classes are divided.
class SharedClasses final : public levin::Module {
 public:
  SharedClasses() { scores_->to(torch::kDouble); }
  torch::Tensor training_step(const levin::Batch& batch, levin::Step& step) override {
    const auto loss = mean_loss(batch);
    step.log("train_loss", loss, {.on_step = false, .on_epoch = true});
    return loss;
  }
  void validation_step(const levin::Batch& batch, levin::Step& step) override {
    step.log("val_loss", mean_loss(batch));
  }
  levin::Optimizers configure_optimizers() override {
    return levin::Adam(parameters(), {.learning_rate = 0.02});
  }

 private:
  torch::Tensor mean_loss(const levin::Batch& batch) {
    return class_parallel_cross_entropy(scores_(batch.input()), batch.target(), scores_->shard,
                                        scores_->group())
        .mean();
  }
  ColumnLinear scores_ = register_module(
      "scores", ColumnLinear(ColumnLinearOptions{.in_features = 3, .out_features = 2}));
};

int train_shared_net(const Value& settings) {
  auto options = begin_as_rank(settings, settings.at("epochs").as_int());
  SharedNet model(settings);
  PipelineRows data(replicas_in(settings));
  levin::Trainer trainer(options);
  const bool resumes = settings.contains("resume");
  const auto history =
      trainer.fit(model, data, resumes ? settings.at("resume").as_string() : std::string());
  const std::string out = settings.at("out").as_string();
  levin::StateDict result;
  result.values["own_numbers"] = model.own_numbers;
  result.values["flag_step"] = model.flag_step;
  result.values["data_place"] = model.place.data;
  result.values["tensor_place"] = model.place.tensor;
  for (const char* name : {"train_loss", "val_loss"}) result.values[name] = history.last(name);
  trainer.save_checkpoint(out + "/end.ckpt");
  result.add("model", model.state_dict().clone());
  result.values["test_loss"] = trainer.test(model, data, out + "/weights.ckpt").at("test_loss");
  StateDict predicted;
  for (const auto& [name, tensor] : trainer.predict(model, data)) predicted.tensors[name] = tensor;
  result.add("predicted", std::move(predicted));
  leave_result(settings, result);
  return 0;
}

int train_shared_classes(const Value& settings) {
  const auto options = begin_as_rank(settings, settings.at("epochs").as_int());
  SharedClasses model;
  PipelineRows data(replicas_in(settings));
  levin::Trainer trainer(options);
  const auto history = trainer.fit(model, data);
  levin::StateDict result;
  for (const char* name : {"train_loss", "val_loss"}) result.values[name] = history.last(name);
  if (std::getenv("RANK") != nullptr) result.values["comm_bytes"] = history.last("comm_bytes");
  result.add("model", model.state_dict().clone());
  leave_result(settings, result);
  return 0;
}

}  // namespace

class TensorRuns : public KilledRankTest {
 protected:
  Run train(const std::string& name, const Value& more) const {
    const auto& options = more.at("trainer");
    const int64_t ranks = options.at("pipeline_size").as_int() *
                          options.at("tensor_size").as_int() * replicas_in(more);
    return run_on(ranks, name, more, train_shared_net);
  }
  static void expect_same(const Run& run, const Run& alone, int64_t ranks, int64_t data = 1) {
    const StateDict expected = alone.rank(0);
    for (int64_t rank = 0; rank < ranks; ++rank) {
      const StateDict own = run.rank(rank);
      for (const char* part : {"model", "predicted"}) {
        EXPECT_LT(difference(own.child(part), expected.child(part)), 1e-12) << part << rank;
      }
      for (const std::string name : {"train_loss", "val_loss", "test_loss"}) {
        if (data > 1 && name == "train_loss") continue;  // of a step's own rows
        EXPECT_NEAR(own.values.at(name).as_double(), expected.values.at(name).as_double(), 1e-12)
            << name << " of rank " << rank;
      }
    }
  }
};

// Row 45: equal to one process to 1e-12. A dropout draws the numbers of one process on all ranks
// that share the layers around it.
TEST_F(TensorRuns, equal_one_process_in_every_stage_of_the_trainer) {
  auto alone_settings = mesh_of(1, 1, 1);
  alone_settings["dropout"] = true;
  const auto alone = train("alone", alone_settings);
  const int64_t all = alone.values().at("own_numbers").as_int();
  EXPECT_EQ(alone.values().at("tensor_place").as_int(), -1);  // nobody shares a model
  auto two = mesh_of(1, 1, 2);
  two["dropout"] = true;
  const auto shared = train("two", two);
  expect_same(shared, alone, 2);
  const int64_t shared_numbers =
      shared.values(0).at("own_numbers").as_int() + shared.values(1).at("own_numbers").as_int();
  EXPECT_EQ(shared_numbers, all + 3 * 4 + 4 + 5 + 6 * 2 + 2);  // what isn't divided is on both
  const auto two_by_two = train("two-by-two", mesh_of(1, 2, 2));
  expect_same(two_by_two, train("alone-2", mesh_of(1, 1, 1)), 4, 2);
  for (int64_t rank = 0; rank < 4; ++rank) {  // the flag of the last rank reaches all in one step
    EXPECT_GT(two_by_two.values(rank).at("flag_step").as_int(), 0);
    EXPECT_EQ(two_by_two.values(rank).at("flag_step"), two_by_two.values(0).at("flag_step"));
    EXPECT_EQ(two_by_two.values(rank).at("data_place").as_int(), rank / 2);
    EXPECT_EQ(two_by_two.values(rank).at("tensor_place").as_int(), rank % 2);
  }
}

// Issue 15: "also combined 2 x 2 x 2 on 8 processes", and the mapping that is printed.
TEST_F(TensorRuns, in_pipelines_with_several_replicas_equal_one_process_and_print_the_mapping) {
  const auto alone = train("alone", mesh_of(1, 1, 1));
  const auto run = train("mesh", mesh_of(2, 2, 2));
  expect_same(run, alone, 8, 2);
  EXPECT_TRUE(says(run.out, {"8 ranks: pipeline 2 x data 2 x tensor 2", "pipeline  data  ranks",
                             "       1     0    4-5"}))
      << run.out;
  const auto saved = load_checkpoint(run.folder / "end.ckpt");
  EXPECT_LT(difference(saved.child("model"), alone.rank(0).child("model")), 1e-12);
}

TEST_F(TensorRuns, resume_from_checkpoints_of_any_other_mapping) {
  const auto whole = train("whole", mesh_of(1, 1, 1, 4));
  const auto first = train("first", mesh_of(1, 1, 2));
  const std::string of_two = (first.folder / "end.ckpt").string();
  const auto saved = load_checkpoint(of_two);
  EXPECT_EQ(difference(saved.child("model"), first.rank(0).child("model")), 0.0);
  EXPECT_EQ(saved.tensor("optimizer.0.layers.2.weight.exp_avg").sizes(),
            (std::vector<int64_t>{7, 4}));
  const struct { int64_t pipeline, data, tensor; } meshes[] = {{1, 1, 1}, {1, 1, 3}, {2, 1, 2}};
  for (const auto& one : meshes) {
    auto settings = mesh_of(one.pipeline, one.data, one.tensor, 4);
    settings["resume"] = of_two;
    const auto name = fmt::format("on-{}-{}-{}", one.pipeline, one.data, one.tensor);
    const int64_t ranks = one.pipeline * one.data * one.tensor;
    expect_same(train(name, settings), whole, ranks, one.data);
  }
  const auto start = train("start", mesh_of(1, 1, 1));
  auto settings = mesh_of(1, 2, 2, 4);
  settings["resume"] = (start.folder / "end.ckpt").string();
  expect_same(train("spread", settings), whole, 4, 2);
}

TEST_F(TensorRuns, load_whole_weights_while_they_train) {
  auto settings = mesh_of(1, 1, 1);
  const auto other = train("other", settings);
  settings["load"] = (other.folder / "weights.ckpt").string();
  const auto alone = train("alone", settings);
  EXPECT_GT(difference(alone.rank(0).child("model"), other.rank(0).child("model")), 1e-6);
  auto shared = mesh_of(1, 1, 2);
  shared["load"] = settings.at("load");
  expect_same(train("two", shared), alone, 2);
}

TEST_F(TensorRuns, resume_with_the_same_bits) {
  auto settings = mesh_of(1, 2, 2, 4);
  settings["dropout"] = true;
  const auto whole = train("whole", settings);
  auto first = settings;
  first["epochs"] = 2;
  const auto half = train("first", first);
  settings["resume"] = (half.folder / "end.ckpt").string();
  const auto run = train("second", settings);
  for (const int64_t rank : {0, 3}) {
    EXPECT_EQ(difference(run.rank(rank).child("model"), whole.rank(0).child("model")), 0.0);
  }
}

TEST_F(TensorRuns, of_divided_classes_equal_one_process) {
  const auto alone = run_on(1, "alone", mesh_of(1, 1, 1), train_shared_classes);
  const auto run = run_on(2, "two", mesh_of(1, 1, 2), train_shared_classes);
  for (const int64_t rank : {0, 1}) {
    EXPECT_LT(difference(run.rank(rank).child("model"), alone.rank(0).child("model")), 1e-12);
    for (const char* name : {"train_loss", "val_loss"}) {
      EXPECT_NEAR(run.values(rank).at(name).as_double(), alone.values().at(name).as_double(),
                  1e-12);
    }
    // 3 numbers for each of 29 rows of training and 13 of validation, in 2 steps of an epoch.
    EXPECT_EQ(run.values(rank).at("comm_bytes").as_double(), (29 + 13) * 3 * 8 / 2);
  }
}

// Issue 15: "never hangs, nothing left behind".
TEST_F(TensorRuns, a_rank_killed_at_a_random_moment_ends_all_ranks) {
  kill_at_a_random_moment(4, "killed", mesh_of(1, 2, 2, 1000000), train_shared_net);
}

/// A model that can't be divided.
class Undivided final : public levin::Module {
 public:
  void validation_step(const levin::Batch& /*batch*/, levin::Step& /*step*/) override {}
};

/// Leaves what the run says against its settings.
int leave_refusal(const Value& settings) {
  levin::StateDict result;
  result.values["message"] = message_of<levin::Error>([&] {
    if (!settings.contains("undivided") && !settings.contains("penalised")) {
      train_shared_net(settings);
      return;
    }
    Undivided plain;
    levin::MLP penalised({.in_features = 3, .num_classes = 2, .l2_strength = 0.1});
    PipelineRows data;
    levin::Trainer trainer(begin_as_rank(settings, 1));
    settings.contains("undivided") ? trainer.validate(plain, data)
                                   : trainer.validate(penalised, data);
  });
  leave_result(settings, result);
  return 0;
}

TEST_F(TensorRuns, refuse_what_needs_whole_layers) {
  const auto refusal = [&](const char* kind, int64_t tensor = 2) {
    auto more = mesh_of(1, 1, tensor);
    more["trainer"]["accumulate_grad_batches"] = 1;
    more["trainer"].as_object().erase("gradient_clip_val");
    more[kind] = true;
    return run_on(2, kind, more, leave_refusal).values(1).at("message").as_string();
  };
  const auto of_lbfgs = refusal("lbfgs");
  EXPECT_TRUE(says(of_lbfgs, {"LBFGS with tensor_size = 2", "SGD or Adam"})) << of_lbfgs;
  const auto by_hand = refusal("by_hand");
  EXPECT_TRUE(says(by_hand, {"by hand with tensor_size = 2", "tensor_size = 1"})) << by_hand;
  const auto undivided = refusal("undivided");
  EXPECT_TRUE(says(undivided, {"no layer that can be divided", "ColumnLinear"})) << undivided;
  const auto penalised = refusal("penalised");
  EXPECT_TRUE(says(penalised, {"l2_strength", "divided among ranks"})) << penalised;
  const auto uneven = refusal("uneven", 3);
  EXPECT_TRUE(says(uneven, {"tensor_size = 3 with 2 ranks", "a multiple of 3"})) << uneven;
  const auto alone = message_of<ConfigError>([&] {
    levin::Trainer trainer(TrainerOptions{.accelerator = "cpu", .devices = 1, .tensor_size = 2});
    SharedNet model(Value::Object{});
    PipelineRows data;
    trainer.fit(model, data);
  });
  EXPECT_TRUE(says(alone, {"tensor_size = 2 with one device", "devices = 2"})) << alone;
}

}  // namespace levin::test::tensor_runs_test
