#include "framework/stub_ranks.h"
#include "framework/support.h"

#include <gtest/gtest.h>

#include <array>

#include <levin/framework/launch/cluster.h>
#include <levin/framework/loggers/csv_logger.h>
#include <levin/framework/strategies/single_device.h>
#include <levin/framework/trainer/starting_point.h>

// What a Trainer says of itself and of its runs, and the modules that it makes.

namespace levin::trainer_properties_test {

using test::Classifier;
using test::PointsModule;
using test::TemporaryFolder;

struct NetOptions {
  int64_t width = 3;
};
class Net : public Classifier {
 public:
  using Options = NetOptions;
  explicit Net(NetOptions options)
      : own_(register_module("own", torch::nn::Linear(2, options.width))) {}
  torch::nn::Linear own_;
};

TEST(TrainerProperties, the_precision_is_that_of_the_option_in_its_long_form) {
  EXPECT_EQ(Trainer({.accelerator = "cpu"}).precision().name(), "32-true");
  EXPECT_EQ(Trainer({.accelerator = "cpu", .precision = 64}).precision().name(), "64-true");
  EXPECT_EQ(Trainer({.accelerator = "cpu", .precision = "bf16"}).precision().name(), "bf16-mixed");
}

TEST(TrainerProperties, a_module_is_made_in_the_type_of_the_precision) {
  const std::pair<const char*, at::ScalarType> types[] = {{"32-true", at::kFloat},
                                                          {"64-true", at::kDouble},
                                                          {"bf16-true", at::kBFloat16},
                                                          {"bf16-mixed", at::kFloat}};
  for (const auto& [precision, type] : types) {
    const Trainer trainer({.accelerator = "cpu", .precision = precision});
    const auto net = trainer.make_module<Net>({.width = 5});
    EXPECT_EQ(net->own_->weight.sizes(), (std::vector<int64_t>{5, 2}));
    for (const auto& parameter : net->parameters()) {
      EXPECT_EQ(parameter.scalar_type(), type) << precision;
    }
    EXPECT_EQ(trainer.make_module<Classifier>(0.5)->parameters().front().scalar_type(), type);
    EXPECT_EQ(torch::empty({}).scalar_type(), at::kFloat) << "the default is put back";
  }
}

TEST(TrainerProperties, modules_made_within_init_module_draw_digits_that_conversion_cannot_give) {
  const Trainer trainer({.accelerator = "cpu", .precision = "64-true"});
  const auto scope = trainer.init_module();
  const Net net({});
  const auto weight = net.own_->weight.detach();
  EXPECT_FALSE(torch::equal(weight, weight.to(at::kFloat).to(at::kDouble)));
}

/// Keeps what the hooks see at the end of each epoch.
class Looking : public Callback {
 public:
  std::string state_key() const override { return "Looking"; }
  void on_validation_epoch_end(Run& run) override { validated = run.logged_metrics(); }
  void on_fit_end(Run& run) override {
    logged = run.logged_metrics();
    all = run.metrics();
    place = run.place();
    run.print("done");
  }
  MetricMap validated, logged, all;
  Place place;
};

TEST(TrainerProperties, logged_metrics_are_what_the_loggers_were_given) {
  const TemporaryFolder folder;
  for (const bool with_logger : {true, false}) {
    Classifier model;
    PointsModule data(24, {.batch_size = 6});
    Trainer trainer({.accelerator = "cpu",
                     .max_epochs = 1,
                     .log_every_n_steps = 3,
                     .default_root_dir = folder.string()});
    if (with_logger) trainer.add_logger<CsvLogger>();
    auto& looking = trainer.add<Looking>();
    ::testing::internal::CaptureStdout();
    trainer.fit(model, data);
    EXPECT_EQ(::testing::internal::GetCapturedStdout(), "done\n");
    if (!with_logger) {
      EXPECT_TRUE(looking.logged.empty());
      continue;
    }
    EXPECT_EQ(looking.validated.size(), 1U) << "the row of the third step";
    EXPECT_EQ(looking.validated.count("train_loss_step"), 1U);
    std::vector<std::string> names;
    for (const auto& [name, value] : looking.logged) names.push_back(name);
    EXPECT_EQ(names, (std::vector<std::string>{"train_loss_epoch", "train_loss_step", "val_acc",
                                               "val_loss"}));
    for (const char* name : {"train_loss_epoch", "val_acc", "val_loss"}) {
      EXPECT_EQ(looking.logged.at(name), looking.all.at(name)) << name;
    }
    EXPECT_NE(looking.logged.at("train_loss_step"), looking.all.at("train_loss_step"))
        << "the last step had no row";
  }
}

TEST(TrainerProperties, a_run_alone_is_the_only_rank_of_its_host) {
  Classifier model;
  PointsModule data(12, {.batch_size = 6});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1});
  auto& looking = trainer.add<Looking>();
  ::testing::internal::CaptureStdout();
  trainer.print("begin");
  trainer.fit(model, data);
  trainer.print("end");
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "begin\ndone\nend\n");
  EXPECT_EQ(looking.place.device, at::Device(at::kCPU));
  EXPECT_EQ(looking.place.node_rank, 0);
  EXPECT_EQ(looking.place.num_nodes, 1);
  EXPECT_EQ(looking.place.local_rank, 0);
  EXPECT_EQ(looking.place.num_devices, 1);
}

/// Writes down where the run is, by hook.
class Locating : public Callback {
 public:
  std::string state_key() const override { return "Locating"; }
  void on_train_start(Run& run) override {
    note("train", run);
    limits = run.progress();
  }
  void on_validation_start(Run& run) override { note("validation", run); }
  void on_test_start(Run& run) override { note("test", run); }
  void on_predict_start(Run& run) override { note("predict", run); }
  void on_train_end(Run& run) override { note("end", run); }
  void on_train_batch_start(const Batch&, Step& step) override {
    batches.push_back({step.epoch(), step.global_step(), step.batch_index()});
    EXPECT_EQ(step.stage(), Stage::fit);
    EXPECT_EQ(step.run().epoch(), step.epoch());
    EXPECT_EQ(step.run().global_step(), step.global_step());
  }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    batches_left.push_back(step.run().progress().has_batches_left());
  }
  std::vector<std::string> stages;
  std::vector<bool> batches_left;
  std::vector<std::array<int64_t, 3>> batches;
  Progress limits;

 private:
  void note(const char* hook, const Run& run) {
    stages.push_back(std::string(hook) + ": " + std::string(stage_name(run.stage())));
  }
};

TEST(TrainerProperties, the_stage_is_that_of_the_pass_that_calls_a_hook) {
  Classifier model;
  PointsModule data(12, {.batch_size = 6});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1});
  const auto& locating = trainer.add<Locating>();
  trainer.fit(model, data);
  trainer.validate(model, data);
  trainer.test(model, data);
  trainer.predict(model, data);
  EXPECT_EQ(locating.stages,
            (std::vector<std::string>{"validation: sanity_check", "train: fit",
                                      "validation: validate", "end: fit", "validation: validate",
                                      "test: test", "predict: predict"}));
}

TEST(TrainerProperties,
     epochs_steps_and_batches_are_counted_from_0_and_limits_are_those_of_the_fit) {
  Classifier model;
  PointsModule data(18, {.batch_size = 6});
  Trainer trainer({.accelerator = "cpu",
                   .max_epochs = 2,
                   .min_epochs = 1,
                   .max_steps = 9,
                   .min_steps = 3,
                   .accumulate_grad_batches = 2});
  const auto& locating = trainer.add<Locating>();
  trainer.fit(model, data);
  // Epoch, step and batch. The steps of an epoch are of 2 batches and of 1.
  EXPECT_EQ(locating.batches,
            (std::vector<std::array<int64_t, 3>>{
                {0, 0, 0}, {0, 0, 1}, {0, 1, 2}, {1, 2, 0}, {1, 2, 1}, {1, 3, 2}}));
  EXPECT_EQ(locating.batches_left, (std::vector<bool>{true, true, false, true, true, false}));
  EXPECT_EQ(locating.limits.max_epochs, 2);
  EXPECT_EQ(locating.limits.min_epochs, 1);
  EXPECT_EQ(locating.limits.max_steps, 9);
  EXPECT_EQ(locating.limits.min_steps, 3);
  EXPECT_EQ(locating.limits.num_batches, 3);
  EXPECT_EQ(locating.limits.accumulate, 2);
  EXPECT_EQ(trainer.run().epoch(), 2);
  EXPECT_EQ(trainer.run().global_step(), 4);
}

/// A rank that is the only one of the second host.
class SecondHost : public SingleDeviceStrategy {
 public:
  SecondHost() : SingleDeviceStrategy(at::kCPU) {}
  Ranks& ranks() override { return ranks_; }

 private:
  test::StubRanks ranks_{1, 2};
};

TEST(TrainerProperties, data_are_prepared_on_each_host_or_once_for_all) {
  class Preparing : public PointsModule {
   public:
    Preparing() : PointsModule(12, {.batch_size = 6}) {}
    void prepare_data() override { ++prepared; }
    int prepared = 0;
  };
  for (const bool per_node : {true, false}) {
    for (const bool second : {true, false}) {
      SecondHost second_host;
      SingleDeviceStrategy first_host(at::kCPU);
      Strategy& strategy = second ? static_cast<Strategy&>(second_host) : first_host;
      Classifier model;
      Preparing data;
      set_up_data(strategy, model, data, Stage::fit, Precision(), std::nullopt, per_node);
      EXPECT_EQ(data.prepared, per_node || !second ? 1 : 0);
    }
  }
}

}  // namespace levin::trainer_properties_test
