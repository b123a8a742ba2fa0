// Fits in each precision: what is converted, what a step that is left out changes, and resuming.
#include "framework/loops/captured_fit.h"
#include "framework/message_of.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <tuple>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/schedulers.h>
#include <levin/framework/tensor/random.h>

namespace levin::precision_fit_test {

using test::message_of;
using test::PointsModule;
using test::same_bits;
using test::says;
using test::TemporaryFolder;

constexpr const char* kAll[] = {"32-true", "64-true",    "bf16-true",
                                "16-true", "bf16-mixed", "16-mixed"};

/// Notes what its steps see, and makes gradients infinite in chosen batches.
class Watched : public test::Classifier {
 public:
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    input_type = batch.input().scalar_type();
    const auto logits = forward(batch.input());
    logits_type = logits.scalar_type();
    auto loss = torch::cross_entropy_loss(logits.to(torch::kDouble), batch.target());
    step.log("train_loss", loss, {.on_step = true, .on_epoch = true});
    if (infinite.count(batches++) > 0) loss = loss * std::numeric_limits<double>::infinity();
    return loss * factor;
  }
  void validation_step(const Batch& batch, Step& step) override {
    const auto logits = forward(batch.input());
    val_types = {batch.input().scalar_type(), logits.scalar_type()};
    step.log("val_loss", torch::cross_entropy_loss(logits.to(torch::kDouble), batch.target()));
  }
  NamedTensors predict_step(const Batch& batch, Step&) override {
    return {{"logits", forward(batch.input())}};
  }
  void on_before_optimizer_step(Optimizer& optimizer, Step&) override {
    ++optimizer_steps;
    const auto& parameters = optimizer.groups()[0].parameters;
    double sum = 0.0;
    for (const auto& p : parameters)
      sum += p.grad().to(torch::kDouble).square().sum().item<double>();
    norms.push_back(std::sqrt(sum));
  }
  Optimizers configure_optimizers() override {
    return {Adam(parameters(), {.learning_rate = 1e-2}),
            StepLR({.step_size = 4, .gamma = 0.5}),
            {.interval = Interval::step}};
  }
  std::set<int64_t> infinite;
  double factor = 1.0;
  int64_t batches = 0;
  int64_t optimizer_steps = 0;
  std::vector<double> norms;
  at::ScalarType input_type{};
  at::ScalarType logits_type{};
  std::pair<at::ScalarType, at::ScalarType> val_types;
};

/// Saves at one optimizer step and stops there.
class StopAt : public Callback {
 public:
  explicit StopAt(int64_t at) : at_(at) {}
  std::string state_key() const override { return "StopAt"; }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    if (step.global_step() != at_ || step.run().progress().skipped_steps != 1) return;
    step.run().save("stop.ckpt");
    step.run().stop("as planned");
  }

 private:
  int64_t at_;
};

struct PrecisionFit : ::testing::Test {
  TrainerOptions options(const char* precision) const {
    return {.accelerator = "cpu",
            .precision = precision,
            .max_epochs = 3,
            .num_sanity_val_steps = 0,
            .default_root_dir = folder.path().string()};
  }
  PointsModule data{100, {.batch_size = 10, .shuffle = true, .seed = 3}};
  TemporaryFolder folder;
};

TEST_F(PrecisionFit, computes_in_the_types_of_its_name_and_learns_as_well) {
  struct Expected {
    at::ScalarType parameters, input, logits;
  };
  const std::map<std::string, Expected> expected = {
      {"32-true", {torch::kFloat, torch::kFloat, torch::kFloat}},
      {"64-true", {torch::kDouble, torch::kDouble, torch::kDouble}},
      {"bf16-true", {torch::kBFloat16, torch::kBFloat16, torch::kBFloat16}},
      {"16-true", {torch::kHalf, torch::kHalf, torch::kHalf}},
      {"bf16-mixed", {torch::kFloat, torch::kFloat, torch::kBFloat16}},
      {"16-mixed", {torch::kFloat, torch::kFloat, torch::kHalf}}};
  double in_float32 = 0.0;
  for (const char* name : kAll) {
    SCOPED_TRACE(name);
    seed_everything(1);
    Watched module;
    Trainer trainer(options(name));
    trainer.fit(module, data);
    const auto& types = expected.at(name);
    for (const auto& parameter : module.parameters())
      EXPECT_EQ(parameter.dtype(), types.parameters);
    EXPECT_EQ(module.input_type, types.input);
    EXPECT_EQ(module.logits_type, types.logits);
    EXPECT_EQ(module.val_types, std::pair(types.input, types.logits));
    EXPECT_EQ(trainer.predict(module, data)[0].second.scalar_type(), types.logits);
    EXPECT_FALSE(is_autocast(torch::kCPU));
    const double loss = trainer.validate(module, data).at("val_loss");
    if (in_float32 == 0.0) in_float32 = loss;
    EXPECT_NEAR(loss, in_float32, 0.03);
    EXPECT_LT(loss, 0.9);  // of 1.1 at the beginning
  }
}

// The learning rate follows the counted steps, Adam's own count too; hooks see no step.
TEST_F(PrecisionFit, a_step_that_is_left_out_advances_nothing_and_is_counted) {
  const auto fit = [&](std::set<int64_t> infinite, int64_t accumulate) {
    seed_everything(1);
    Watched module;
    module.infinite = std::move(infinite);
    auto given = options("16-mixed");
    given.max_epochs = 1;
    given.accumulate_grad_batches = accumulate;
    Trainer trainer(given);
    trainer.fit(module, data);
    const auto& run = trainer.run();
    trainer.save_checkpoint(folder.path() / "end.ckpt");
    const auto state = load_checkpoint(folder.path() / "end.ckpt");
    EXPECT_EQ(run.history().values("skipped_steps"),
              std::vector<double>{static_cast<double>(run.progress().skipped_steps)});
    EXPECT_EQ(run.global_step(), module.optimizer_steps);
    return std::tuple(
        run.global_step(), run.progress().skipped_steps,
        state.child("optimizer").child("0").tensor("hidden.weight.step").item<float>(),
        state.child("optimizer").child("0").values.at("groups").to_json(),
        state.child("scaler").tensor("scale").item<double>());
  };
  const auto [steps, skipped, count, groups, scale] = fit({}, 1);
  EXPECT_EQ(std::tuple(steps, skipped, count, scale), std::tuple(10, 0, 10.0F, 65536.0));
  const auto [steps3, skipped3, count3, groups3, scale3] = fit({0, 4, 5}, 1);
  EXPECT_EQ(std::tuple(steps3, skipped3, count3, scale3), std::tuple(7, 3, 7.0F, 8192.0));
  EXPECT_NE(groups3, groups);  // one decay of the rate, not two
  // An infinite batch spoils its window of three.
  const auto [steps_w, skipped_w, count_w, groups_w, scale_w] = fit({4}, 3);
  EXPECT_EQ(std::tuple(steps_w, skipped_w, count_w, scale_w), std::tuple(3, 1, 3.0F, 32768.0));
}

TEST_F(PrecisionFit, a_fit_of_max_steps_takes_so_many_besides_those_left_out) {
  Watched module;
  module.infinite = {1, 2, 12};
  auto given = options("16-mixed");
  given.max_steps = 12;
  Trainer trainer(given);
  trainer.fit(module, data);
  EXPECT_EQ(trainer.run().global_step(), 12);
  EXPECT_EQ(module.batches, 15);
}

TEST_F(PrecisionFit, hooks_and_clipping_see_gradients_without_the_scale) {
  const auto fit = [&](const char* precision, const char* algorithm) {
    seed_everything(1);
    Watched module;
    auto given = options(precision);
    given.max_epochs = 1;
    given.accumulate_grad_batches = 2;
    given.gradient_clip_val = 0.01;
    given.gradient_clip_algorithm = algorithm;
    Trainer trainer(given);
    // Unlike Adam's, its steps are as large as the clipped gradients.
    trainer.set_optimizers([](Module& m) { return SGD(m.parameters(), {.learning_rate = 1.0}); });
    trainer.fit(module, data);
    return std::pair(module.norms, module.state_dict().clone());
  };
  for (const char* algorithm : {"norm", "value"}) {
    const auto [norms, weights] = fit("16-mixed", algorithm);
    const auto [expected_norms, expected] = fit("bf16-mixed", algorithm);
    ASSERT_EQ(norms.size(), expected_norms.size());
    for (size_t i = 0; i < norms.size(); ++i) EXPECT_NEAR(norms[i], expected_norms[i], 0.03);
    for (const auto& [name, tensor] : weights.tensors) {
      EXPECT_LT((tensor - expected.tensor(name)).abs().max().item<double>(), 0.002) << name;
    }
  }
}

TEST_F(PrecisionFit, resumes_bit_exact_in_each_precision) {
  for (const char* name : kAll) {
    SCOPED_TRACE(name);
    const bool scales = std::string(name) == "16-mixed";
    const auto make = [&] {
      seed_everything(1);
      auto module = std::make_unique<Watched>();
      if (scales) module->infinite = {2};
      return module;
    };
    auto whole = make();
    Trainer(options(name)).fit(*whole, data);
    auto module = make();
    Trainer first(options(name));
    if (scales) {
      first.add(std::make_unique<StopAt>(13), HookSet().add(BatchHook::train_batch_end, true));
    }
    auto given = options(name);
    if (!scales) given.max_steps = 13;
    Trainer cut(given);
    Trainer& begun = scales ? first : cut;
    begun.fit(*module, data);
    EXPECT_EQ(begun.run().global_step(), 13);
    const auto path = folder.path() / (std::string(name) + ".ckpt");
    begun.save_checkpoint(path);
    EXPECT_EQ(load_checkpoint(path).values.at("precision").as_string(), name);
    auto resumed = make();
    resumed->infinite.clear();
    Trainer second(options(name));
    second.fit(*resumed, data, path.string());
    EXPECT_EQ(second.run().progress().skipped_steps, scales ? 1 : 0);
    EXPECT_EQ(second.run().global_step(), scales ? 29 : 30);
    for (const auto& [key, tensor] : whole->state_dict().tensors) {
      EXPECT_TRUE(same_bits(tensor, resumed->state_dict().tensor(key))) << key;
    }
  }
}

TEST_F(PrecisionFit, goes_on_in_another_precision_only_with_weights_of_the_same_type) {
  auto given = options("32-true");
  given.max_epochs = 1;
  Watched module;
  Trainer trainer(given);
  trainer.fit(module, data);
  const auto path = (folder.path() / "float32.ckpt").string();
  trainer.save_checkpoint(path);
  for (const char* name : {"64-true", "bf16-true"}) {
    for (const bool trains : {true, false}) {
      Watched other;
      Trainer next(options(name));
      EXPECT_TRUE(says(message_of<CheckpointError>([&] {
                         if (trains) {
                           next.fit(other, data, path);
                         } else {
                           next.validate(other, data, path);
                         }
                       }),
                       {path, name, "Float", "Set precision = 32-true"}));
    }
  }
  Watched other;
  testing::internal::CaptureStderr();
  Trainer next(options("16-mixed"));
  next.fit(other, data, path);
  EXPECT_TRUE(
      says(testing::internal::GetCapturedStderr(), {"precision = \"16-mixed\" (\"32-true\")"}));
  EXPECT_EQ(next.run().global_step(), 30);
}

TEST_F(PrecisionFit, refuses_scaled_gradients_for_an_optimizer_that_compares_points) {
  Watched module;
  Trainer trainer(options("16-mixed"));
  trainer.set_optimizers([](Module& m) { return LBFGS(m.parameters()); });
  EXPECT_TRUE(says(message_of<ConfigError>([&] { trainer.fit(module, data); }),
                   {"16-mixed", "LBFGS", "bf16-mixed"}));
}

// --- captured steps ---

using namespace test::captured;

/// Gradient descent whose steps change nothing on the device if found_inf isn't 0.
class CarefulDescent : public Descent {
 public:
  using Descent::Descent;
  torch::Tensor step(const Closure& closure) override {
    torch::Tensor loss;
    if (!evaluate(closure, loss)) return loss;
    const torch::NoGradGuard no_grad;
    for (const auto& parameter : stepped()) {
      if (!parameter.grad().defined()) continue;
      auto change = parameter.grad() * -0.1;
      if (found_inf_.defined()) change = torch::where(found_inf_.ne(0), 0.0, change);
      parameter.add_(change);
    }
    return loss;
  }
};

/// Overflows at chosen positions of the data: the rows' numbers, which a graph has, too, decide.
class Overflowing : public Net {
 public:
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    const auto loss = Net::training_step(batch, step);
    const auto is_large = batch.input().select(1, 0).max().gt(limit);
    return loss * torch::where(is_large, std::numeric_limits<float>::infinity(), 1.0F);
  }
  Optimizers configure_optimizers() override { return CarefulDescent(parameters()); }
  float limit = 4.2F;
};

struct CapturedResult {
  Result result;
  int64_t steps = 0;
  int64_t skipped = 0;
  std::vector<double> scales;
};

CapturedResult train_overflowing(const char* graph, const char* precision, int64_t accumulate,
                                 bool sees_batches) {
  Fit fit;
  Overflowing module;
  fit.options.cuda_graph = graph;
  fit.options.accumulate_grad_batches = accumulate;
  fit.options.gradient_clip_val = 0.5;
  fit.options.log_every_n_steps = 0;
  fit.options.data_on_device = "on";
  fit.data = PointsModule(203, {.batch_size = 10, .shuffle = true, .seed = 5});
  torch::manual_seed(1);
  for (auto& parameter : module.parameters()) {
    const torch::NoGradGuard no_grad;
    parameter.uniform_(-0.5, 0.5);
  }
  auto optimizers = module.configure_optimizers();
  if (!sees_batches) fit.callback_hooks = HookSet();
  const HookList hooks({{&fit.callback, fit.callback_hooks}}, module);
  const std::vector<Callback*> callbacks;
  LoopParts parts{module,      fit.data,    fit.strategy, hooks,   callbacks,
                  fit.loggers, fit.options, fit.run,      nullptr, &fit.threads};
  parts.precision = Precision(precision);
  FitLoop loop(parts, fit.data.train_dataloader(), {}, optimizers);
  loop.run();
  return {{module.state_dict().clone(), fit.run.history().values("train_loss_epoch"),
           fit.step_losses, fit.strategy.replays},
          fit.run.global_step(),
          fit.run.progress().skipped_steps,
          fit.run.history().values("loss_scale")};
}

// Scaling, the look for infinite gradients and leaving out the step are part of the replay.
TEST(CapturedStep, scales_gradients_in_one_replay_and_counts_as_eager_steps_do) {
  for (const auto& [accumulate, sees_batches] :
       {std::pair(int64_t{1}, true), std::pair(int64_t{1}, false), std::pair(int64_t{3}, false)}) {
    SCOPED_TRACE(testing::Message() << accumulate << " " << sees_batches);
    const auto expected = train_overflowing("off", "16-mixed", accumulate, sees_batches);
    const auto captured = train_overflowing("on", "16-mixed", accumulate, sees_batches);
    EXPECT_GT(captured.result.replays, 5);
    EXPECT_GE(captured.skipped, 3);
    EXPECT_GT(captured.steps, 5);
    EXPECT_EQ(captured.steps, expected.steps);
    EXPECT_EQ(captured.skipped, expected.skipped);
    EXPECT_EQ(captured.scales, expected.scales);
    test::captured::expect_same(captured.result, expected.result);
  }
}

TEST(CapturedStep, gives_the_bits_of_eager_steps_in_each_precision) {
  for (const char* name : {"bf16-mixed", "64-true", "bf16-true"}) {
    SCOPED_TRACE(name);
    const auto fit = [&](const char* graph) {
      Fit own;
      own.options.cuda_graph = graph;
      own.options.data_on_device = "on";
      own.precision = Precision(name);
      own.precision.convert(own.module);
      return own();
    };
    const auto captured = fit("on");
    const auto expected = fit("off");
    EXPECT_GT(captured.replays, 5);
    for (const auto& [key, tensor] : captured.weights.tensors) {
      EXPECT_TRUE(same_bits(tensor, expected.weights.tensor(key))) << key;
    }
    // Sums of float64 numbers on the device and on the host may differ in the last bit.
    ASSERT_EQ(captured.losses.size(), expected.losses.size());
    for (size_t i = 0; i < expected.losses.size(); ++i) {
      EXPECT_NEAR(captured.losses[i], expected.losses[i], 1e-14);
    }
  }
}

}  // namespace levin::precision_fit_test
