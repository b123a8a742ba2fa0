#include "framework/stub_ranks.h"
#include "framework/support.h"

#include <gtest/gtest.h>

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
