#include <levin/framework/trainer/step_checks.h>

#include <gtest/gtest.h>

#include <levin/framework/config/registry.h>
#include <levin/framework/core/error.h>

#include "framework/message_of.h"
#include "framework/support.h"

// A module needs only the steps of what it is used for.

namespace levin::step_checks_test {

using test::message_of;
using test::says;

class TrainsOnly : public Module {
 public:
  TrainsOnly() : linear_(register_module("linear", torch::nn::Linear(4, 3))) {}
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    auto loss = torch::cross_entropy_loss(linear_(batch.input()), batch.target());
    step.log("train_loss", loss, {.on_epoch = true});
    return loss;
  }
  Optimizers configure_optimizers() override { return SGD(parameters(), {.learning_rate = 0.1}); }

 private:
  torch::nn::Linear linear_;
};

/// Points that count how often they were prepared.
class CountedPoints : public test::PointsModule {
 public:
  CountedPoints() : PointsModule(30, {.batch_size = 10}) {}
  void prepare_data() override { ++prepared; }
  int prepared = 0;
};

/// Counts the hooks of validations.
class CountsValidations : public Callback {
 public:
  void on_sanity_check_start(Run&) override { ++count; }
  void on_validation_start(Run&) override { ++count; }
  void on_validation_end(Run&) override { ++count; }
  int count = 0;
};

/// Fits `module` for two epochs and returns what was printed to stderr.
std::string fit(Module& module, TrainerOptions options = {}) {
  CountedPoints data;
  options.accelerator = "cpu";
  options.max_epochs = 2;
  Trainer trainer(options);
  const auto& validations = trainer.add<CountsValidations>();
  testing::internal::CaptureStderr();
  const History history = trainer.fit(module, data);
  const std::string printed = testing::internal::GetCapturedStderr();
  EXPECT_EQ(history.epochs.size(), 2U);
  EXPECT_EQ(validations.count, 0);
  EXPECT_EQ(trainer.run().metrics().count("train_loss_epoch"), 1U);
  return printed;
}

TEST(StepChecks, validation_step_is_optional_and_a_fit_says_once_that_it_leaves_validation_out) {
  TrainsOnly module;
  const std::string printed = fit(module);
  const std::string warning = "warning: there are validation data, but TrainsOnly has no";
  const size_t first = printed.find(warning);
  ASSERT_NE(first, std::string::npos) << printed;
  EXPECT_EQ(printed.find(warning, first + 1), std::string::npos) << printed;
}

TEST(StepChecks, validation_step_is_optional_for_a_module_that_a_registry_made) {
  Registry registry;
  registry.models.add<TrainsOnly>("TrainsOnly");
  const std::unique_ptr<Module> module =
      registry.models.make("TrainsOnly", {}, registry.optimizers);
  EXPECT_TRUE(says(fit(*module), {"TrainsOnly has no validation_step"}));
}

TEST(StepChecks, nothing_is_said_if_validation_is_switched_off) {
  TrainsOnly module;
  EXPECT_EQ(fit(module, {.limit_val_batches = 0}).find("validation_step"), std::string::npos);
}

TEST(StepChecks, a_stage_without_its_step_is_refused_before_anything_else) {
  TrainsOnly module;
  CountedPoints data;
  Trainer trainer({.accelerator = "cpu"});
  EXPECT_TRUE(says(message_of<ModuleError>([&] { trainer.validate(module, data); }),
                   {"validation_step", "TrainsOnly", "Trainer::validate", "override"}));
  EXPECT_TRUE(says(message_of<ModuleError>([&] { trainer.test(module, data); }),
                   {"test_step", "TrainsOnly", "Trainer::test"}));
  EXPECT_TRUE(says(message_of<ModuleError>([&] { trainer.predict(module, data); }),
                   {"predict", "TrainsOnly", "Trainer::predict"}));
  class Nothing : public Module {
  } nothing;
  EXPECT_TRUE(says(message_of<ModuleError>([&] { trainer.fit(nothing, data); }),
                   {"training_step", "Nothing", "Trainer::fit"}));
  EXPECT_EQ(data.prepared, 0);
}

}  // namespace levin::step_checks_test
