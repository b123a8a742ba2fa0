// Fits of modules that optimize by hand.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>

#include <levin/framework/core/error.h>
#include <levin/framework/loggers/logger.h>
#include <levin/framework/run/step.h>

#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::manual_test {

using test::message_of;
using test::same_bits;
using test::says;
using test::TemporaryFolder;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Manual : ::testing::Test {
  Manual() { torch::manual_seed(3); }
  TrainerOptions options() const {
    return {.accelerator = "cpu",
            .max_epochs = 2,
            .num_sanity_val_steps = 0,
            .default_root_dir = folder.path().string()};
  }
  TemporaryFolder folder;
  test::PointsModule data{50, {.batch_size = 8, .shuffle = true, .seed = 5}};
};

void expect_same_weights(const Module& a, const Module& b) {
  const StateDict other = b.state_dict();
  for (const auto& [name, tensor] : a.state_dict().tensors) {
    EXPECT_TRUE(same_bits(tensor, other.tensor(name))) << name;
  }
}

/// The classifier with a schedule, trained by the loop or by hand.
class Scheduled : public test::Classifier {
 public:
  explicit Scheduled(bool by_hand) : by_hand_(by_hand) {}
  bool automatic_optimization() const override { return !by_hand_; }
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    auto loss = torch::cross_entropy_loss(forward(batch.input()).to(torch::kFloat), batch.target());
    step.log("train_loss", loss, {.on_step = true, .on_epoch = true});
    if (step.batch_index() == infinite_batch) loss = loss * kInfinity;
    if (!by_hand_) return loss;
    step.zero_grad();
    step.backward(loss);
    if (max_norm > 0) norms.push_back(step.clip_gradients(0, max_norm).item<double>());
    stepped.push_back(step.step());
    return loss;
  }
  void on_before_optimizer_step(Optimizer&, Step&) override { ++optimizer_steps; }
  Optimizers configure_optimizers() override {
    return {Adam(parameters(), {.learning_rate = 1e-2}),
            StepLR({.step_size = 3, .gamma = 0.5}),
            {.interval = Interval::step}};
  }
  int64_t infinite_batch = -1;
  double max_norm = 0.0;
  std::vector<double> norms;
  std::vector<bool> stepped;
  int64_t optimizer_steps = 0;

 private:
  bool by_hand_;
};

TEST_F(Manual, has_the_bits_of_automatic_optimization) {
  for (const char* precision : {"32-true", "bf16-mixed", "16-mixed"}) {
    SCOPED_TRACE(precision);
    TrainerOptions automatic = options();
    automatic.precision = precision;
    TrainerOptions by_hand = automatic;
    automatic.gradient_clip_val = 0.1;
    Scheduled expected(false);
    Scheduled model(true);
    model.load_state_dict(expected.state_dict());
    for (Scheduled* one : {&expected, &model}) {
      // An infinite loss in an early batch: with 16-mixed, its step is left out.
      if (std::string(precision) == "16-mixed") one->infinite_batch = 2;
    }
    model.max_norm = 0.1;
    Trainer first(automatic);
    Trainer second(by_hand);
    const History a = first.fit(expected, data);
    const History b = second.fit(model, data);
    expect_same_weights(expected, model);
    EXPECT_EQ(first.run().global_step(), second.run().global_step());
    EXPECT_EQ(first.run().progress().skipped_steps, second.run().progress().skipped_steps);
    EXPECT_EQ(expected.optimizer_steps, model.optimizer_steps);
    EXPECT_EQ(a.epochs.back().metrics.at("train_loss"), b.epochs.back().metrics.at("train_loss"));
    EXPECT_EQ(model.stepped[2], std::string(precision) != "16-mixed");
    EXPECT_GT(model.norms.front(), 0.1);
  }
}

/// Two linear layers, each with an optimizer of its own; the second one steps every third batch, by
/// gradients of three batches.
class Two : public Module {
 public:
  Two()
      : one_(register_module("one", torch::nn::Linear(4, 4))),
        two_(register_module("two", torch::nn::Linear(4, 3))) {}
  bool automatic_optimization() const override { return false; }
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    const auto loss = [&] {
      return torch::cross_entropy_loss(two_(torch::tanh(one_(batch.input()))), batch.target());
    };
    step.toggle(0);
    step.zero_grad(0);
    step.backward(loss());
    second_is_frozen = second_is_frozen && !two_->weight.requires_grad();
    step.step(0);
    step.toggle(1);
    step.backward(loss() / 3.0);
    ++batches_;
    if (batches_ % 3 == 0) {
      step.step(1);
      step.zero_grad(1);
    }
    step.log("steps", static_cast<double>(step.global_step()));
    return {};
  }
  Optimizers configure_optimizers() override {
    Optimizers both(SGD(one_->parameters(), {.learning_rate = 0.1, .momentum = 0.9}),
                    ExponentialLR({.gamma = 0.9}), {.interval = Interval::step});
    both.add(std::make_unique<Adam>(two_->parameters(), AdamOptions{.learning_rate = 0.1}));
    both.add_scheduler(std::make_unique<ExponentialLR>(ExponentialLROptions{.gamma = 0.5}),
                       {.interval = Interval::step});
    return both;
  }
  // The count of batches is state of the module's own.
  void on_save_checkpoint(StateDict& checkpoint, Run&) override {
    checkpoint.values["batches"] = batches_;
  }
  void on_load_checkpoint(const StateDict& checkpoint, Run&) override {
    batches_ = checkpoint.values.at("batches").as_int();
  }
  bool second_is_frozen = true;

 private:
  torch::nn::Linear one_;
  torch::nn::Linear two_;
  int64_t batches_ = 0;
};

class Rows : public Logger {
 public:
  void start(Run&) override {}
  void log_metrics(const MetricMap& metrics, int64_t, int64_t step) override {
    if (metrics.contains("steps")) steps.push_back(step);
  }
  void log_epoch_metrics(const MetricMap&, int64_t, int64_t) override {}
  std::vector<int64_t> steps;
};

TEST_F(Manual, several_optimizers_count_their_steps) {
  TrainerOptions with_rows = options();
  with_rows.log_every_n_steps = 4;
  Two model;
  Trainer trainer(with_rows);
  auto& rows = trainer.add_logger<Rows>();
  class Rates : public Callback {
   public:
    std::string state_key() const override { return "Rates"; }
    void on_train_end(levin::Run& run) override {
      for (const auto& entry : run.optimizers().entries()) {
        rates.push_back(entry.optimizer->groups()[0].learning_rate);
      }
    }
    std::vector<double> rates;
  };
  auto& seen = trainer.add<Rates>();
  trainer.fit(model, data);
  // 14 batches: 14 steps of the first optimizer, 4 of the second one.
  EXPECT_EQ(trainer.run().global_step(), 18);
  ASSERT_EQ(seen.rates.size(), 2U);
  EXPECT_NEAR(seen.rates[0], 0.1 * std::pow(0.9, 14), 1e-12);
  EXPECT_NEAR(seen.rates[1], 0.1 * std::pow(0.5, 4), 1e-12);
  EXPECT_TRUE(model.second_is_frozen);
  for (const auto& parameter : model.parameters()) EXPECT_TRUE(parameter.requires_grad());
  // After batches 3, 6, 9 and 12 there are 4, 8, 12 and 16 steps.
  EXPECT_EQ(rows.steps, (std::vector<int64_t>{3, 7, 11, 15}));
}

TEST_F(Manual, max_steps_counts_the_steps_of_all_optimizers) {
  TrainerOptions few = options();
  few.max_steps = 7;
  Two model;
  Trainer trainer(few);
  EXPECT_EQ(trainer.fit(model, data).stop_reason, "max_steps");
  EXPECT_EQ(trainer.run().global_step(), 8) << "a batch isn't left half done";
}

class StopAt : public Callback {
 public:
  explicit StopAt(int64_t batch) : batch_(batch) {}
  std::string state_key() const override { return "StopAt"; }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    if (step.epoch() != 0 || step.batch_index() != batch_) return;
    step.run().save(step.run().log_dir() / "stop.ckpt");
    step.run().stop("as planned");
  }

 private:
  int64_t batch_;
};

TEST_F(Manual, goes_on_with_gradients_that_wait_for_a_later_batch) {
  Two start;
  const StateDict weights = start.state_dict().clone();
  Two whole;
  whole.load_state_dict(weights);
  Trainer(options()).fit(whole, data);
  for (const int64_t batch : {1, 2, 3}) {  // two batches wait, none, one
    SCOPED_TRACE(batch);
    Two stopped;
    stopped.load_state_dict(weights);
    Trainer first(options());
    first.add(std::make_unique<StopAt>(batch));
    first.fit(stopped, data);
    Two resumed;
    Trainer(options()).fit(resumed, data, (first.run().log_dir() / "stop.ckpt").string());
    expect_same_weights(whole, resumed);
  }
}

/// Does what a test tells it, in each batch.
class Told : public test::Classifier {
 public:
  explicit Told(std::function<void(Told&, const torch::Tensor& loss, Step&)> work, bool by_hand)
      : work_(std::move(work)), by_hand_(by_hand) {}
  bool automatic_optimization() const override { return !by_hand_; }
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    const auto loss = torch::cross_entropy_loss(forward(batch.input()), batch.target());
    work_(*this, loss, step);
    return loss;
  }
  Optimizers configure_optimizers() override {
    return make ? make(*this) : test::Classifier::configure_optimizers();
  }
  std::function<Optimizers(Told&)> make;

 private:
  std::function<void(Told&, const torch::Tensor&, Step&)> work_;
  bool by_hand_;
};

using Work = std::function<void(Told&, const torch::Tensor&, Step&)>;

TEST_F(Manual, calls_that_do_not_fit_together_are_refused) {
  const auto refused = [&](const Work& work, bool by_hand = true) {
    Told model(work, by_hand);
    const auto message = message_of<ModuleError>([&] { Trainer(options()).fit(model, data); });
    for (const auto& parameter : model.parameters()) EXPECT_TRUE(parameter.requires_grad());
    return message;
  };
  EXPECT_TRUE(
      says(refused([](Told&, const torch::Tensor& loss, Step& step) { step.backward(loss); },
                   /*by_hand=*/false),
           {"Step::backward", "automatic_optimization"}));
  EXPECT_TRUE(says(refused([](Told&, const torch::Tensor& loss, Step& step) {
                     step.backward(loss);  // in the second batch, too
                     step.step();
                   }),
                   {"Step::step", "zero_grad"}));
  EXPECT_TRUE(says(refused([](Told&, const torch::Tensor& loss, Step& step) {
                     step.toggle(0);
                     step.backward(loss);
                     step.step(1);
                   }),
                   {"Step::step(1)", "1 optimizer"}));
  EXPECT_TRUE(says(
      refused([](Told&, const torch::Tensor& loss, Step& step) { step.backward(loss.detach()); }),
      {"Step::backward", "graph"}));
  EXPECT_TRUE(says(refused([](Told&, const torch::Tensor& loss, Step& step) {
                     step.backward(loss);
                     step.clip_gradients(0, 1.0);
                   }),
                   {"clipped the gradients of optimizer 0"}));
  EXPECT_TRUE(says(refused([](Told& model, const torch::Tensor& loss, Step& step) {
                     step.backward(loss);
                     step.clip_gradient_values(0, 1.0);
                     step.backward(model.parameters()[0].sum());
                   }),
                   {"Step::backward", "clipped already"}));
}

TEST_F(Manual, options_and_optimizers_that_need_the_loop_are_refused) {
  const Work nothing = [](Told&, const torch::Tensor&, Step&) {};
  const auto refused = [&](TrainerOptions with, std::function<Optimizers(Told&)> make = {}) {
    Told model(nothing, true);
    model.make = std::move(make);
    return message_of<ConfigError>([&] { Trainer(std::move(with)).fit(model, data); });
  };
  TrainerOptions windows = options();
  windows.accumulate_grad_batches = 2;
  EXPECT_TRUE(says(refused(windows), {"accumulate_grad_batches = 2", "by hand"}));
  TrainerOptions clips = options();
  clips.gradient_clip_val = 1.0;
  EXPECT_TRUE(says(refused(clips), {"gradient_clip_val = 1", "Step::clip_gradients"}));
  EXPECT_TRUE(says(refused(options(), [](Told& model) { return LBFGS(model.parameters()); }),
                   {"LBFGS", "by hand"}));
}

TEST_F(Manual, toggling_ends_with_the_step_whatever_happens) {
  Told model(
      [](Told&, const torch::Tensor& loss, Step& step) {
        step.toggle(0);
        step.zero_grad(0);
        step.backward(loss);
        if (step.batch_index() == 1) throw std::runtime_error("as planned");
        step.step(0);
      },
      true);
  model.make = [](Told& own) {
    const auto all = own.parameters();
    Optimizers two(SGD({all[0], all[1]}, {.learning_rate = 0.1}));
    two.add(std::make_unique<SGD>(std::vector{all[2], all[3]}, SGDOptions{.learning_rate = 0.1}));
    return two;
  };
  EXPECT_THROW(Trainer(options()).fit(model, data), std::runtime_error);
  for (const auto& parameter : model.parameters()) EXPECT_TRUE(parameter.requires_grad());
  EXPECT_TRUE(model.parameters()[0].grad().defined());
  EXPECT_FALSE(model.parameters()[2].grad().defined());
}

TEST_F(Manual, untoggling_lets_all_parameters_require_gradients_again) {
  Told model(
      [](Told& own, const torch::Tensor& loss, Step& step) {
        const auto all = own.parameters();
        step.toggle(1);
        EXPECT_FALSE(all[0].requires_grad());
        EXPECT_TRUE(all[2].requires_grad());
        step.untoggle();
        EXPECT_TRUE(all[0].requires_grad());
        step.zero_grad(0);
        step.backward(loss);
        EXPECT_TRUE(all[0].grad().defined());
        step.step(0);
      },
      true);
  model.make = [](Told& own) {
    const auto all = own.parameters();
    Optimizers two(SGD({all[0], all[1]}, {.learning_rate = 0.1}));
    two.add(std::make_unique<SGD>(std::vector{all[2], all[3]}, SGDOptions{.learning_rate = 0.1}));
    return two;
  };
  Trainer trainer(options());
  trainer.fit(model, data);
  EXPECT_EQ(trainer.run().global_step(), 14);
}

// --- what the loop tells of itself
// -----------------------------------------------------------------

TEST_F(Manual, the_norm_that_clipping_found_can_be_logged) {
  class Norms : public Scheduled {
   public:
    Norms() : Scheduled(false) {}
    void on_before_optimizer_step(Optimizer&, Step&) override {
      double sum = 0.0;
      for (const auto& p : parameters()) sum += p.grad().square().sum().item<double>();
      expected.push_back(std::sqrt(sum));
    }
    void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
      const auto norm = step.gradient_norm();
      if (!norm.defined()) return;
      step.log("grad_norm", norm, {.on_step = true, .on_epoch = true});
      found.push_back(norm.item<double>());
    }
    std::vector<double> expected;
    std::vector<double> found;
  };
  TrainerOptions clips = options();
  clips.gradient_clip_val = 0.3;
  Norms model;
  Trainer trainer(clips);
  trainer.fit(model, data);
  ASSERT_EQ(model.found.size(), 14U);
  for (size_t i = 0; i < model.found.size(); ++i) {
    EXPECT_NEAR(model.found[i], model.expected[i], 1e-5);
  }
  EXPECT_GT(trainer.run().metrics().at("grad_norm"), 0.01);
  Norms unclipped;
  Trainer(options()).fit(unclipped, data);
  EXPECT_TRUE(unclipped.found.empty());
}

TEST_F(Manual, the_number_of_steps_is_known_when_optimizers_are_made) {
  class Long : public Scheduled {
   public:
    Long() : Scheduled(false) {}
    Optimizers configure_optimizers() override {
      told = estimated_stepping_batches();
      return Scheduled::configure_optimizers();
    }
    void on_train_start(levin::Run& run) override {
      told_by_run = run.estimated_stepping_batches();
    }
    std::optional<int64_t> told;
    std::optional<int64_t> told_by_run;
  };
  const auto told = [&](const std::function<void(TrainerOptions&)>& change) {
    TrainerOptions changed = options();
    change(changed);
    Long model;
    Trainer(changed).fit(model, data);
    EXPECT_EQ(model.told, model.told_by_run);
    return model.told;
  };
  EXPECT_EQ(told([](TrainerOptions&) {}), 14);
  EXPECT_EQ(told([](TrainerOptions& o) { o.accumulate_grad_batches = 3; }), 6);
  EXPECT_EQ(told([](TrainerOptions& o) { o.max_steps = 5; }), 5);
  EXPECT_EQ(told([](TrainerOptions& o) { o.limit_train_batches = 2; }), 4);
  EXPECT_EQ(estimated_steps(Progress{.num_batches = 7}), std::nullopt);
  EXPECT_EQ(estimated_steps(Progress{.max_epochs = 7}), std::nullopt);
}

}  // namespace levin::manual_test
