// A model, a data module and a callback of one's own, from the tutorial (docs/tutorial.md).
//   tutorial                                              trains in C++
//   tutorial fit --model SpiralNet --data SpiralDataModule      is the levin program with these
//   classes
//
// Succeeds if the net tells the arms of a spiral apart for at least 95 % of the test rows.
#include <levin/levin.h>

#include <cmath>
#include <cstdio>
#include <memory>

struct SpiralDataModuleOptions {
  int64_t rows = 1200;
  int64_t batch_size = 32;
  double noise = 0.05;
};

levin::Fields describe(SpiralDataModuleOptions& options) {
  return levin::fields_of<SpiralDataModuleOptions>(
      {{"rows", &options.rows, "points in all"},
       {"batch_size", &options.batch_size, "points of a batch"},
       {"noise", &options.noise, "deviation of the points from their arm"}});
}

/// Points on three arms of a spiral: input [batch, 2], target [batch] from 0 to 2.
class SpiralDataModule : public levin::DataModule {
 public:
  using Options = SpiralDataModuleOptions;
  explicit SpiralDataModule(SpiralDataModuleOptions options = {}) : options_(options) {}

  void setup(levin::Stage) override {
    const auto generator = at::detail::createCPUGenerator(/*seed=*/7);
    const auto arm = torch::randint(3, {options_.rows}, generator, torch::kLong);
    const auto along = 0.2 + 0.8 * torch::rand({options_.rows}, generator);
    const auto angle = along * 4.0 + arm * (2.0 * M_PI / 3.0);
    auto points = torch::stack({angle.cos(), angle.sin()}, 1) * along.unsqueeze(1);
    points += options_.noise * torch::randn(points.sizes(), generator);

    const auto part = [&](double from, double to) {
      const auto first = static_cast<int64_t>(from * static_cast<double>(options_.rows));
      const auto last = static_cast<int64_t>(to * static_cast<double>(options_.rows));
      return std::make_shared<levin::TensorDataset>(points.slice(0, first, last),
                                                    arm.slice(0, first, last));
    };
    train_ = part(0.0, 0.8);
    val_ = part(0.8, 0.9);
    test_ = part(0.9, 1.0);
  }

  levin::DataLoaders train_dataloader() override {
    return levin::DataLoader(train_, {.batch_size = options_.batch_size, .shuffle = true});
  }
  levin::DataLoaders val_dataloader() override {
    return levin::DataLoader(val_, {.batch_size = options_.batch_size});
  }
  levin::DataLoaders test_dataloader() override {
    return levin::DataLoader(test_, {.batch_size = options_.batch_size});
  }

 private:
  SpiralDataModuleOptions options_;
  std::shared_ptr<const levin::Dataset> train_, val_, test_;
};

struct SpiralNetOptions {
  int64_t hidden = 32;
  double learning_rate = 0.01;
};

levin::Fields describe(SpiralNetOptions& options) {
  return levin::fields_of<SpiralNetOptions>(
      {{"hidden", &options.hidden, "units of the hidden layer"},
       {"learning_rate", &options.learning_rate, "the learning rate of Adam"}});
}

/// A net with one hidden layer: points [batch, 2] -> logits [batch, 3].
class SpiralNet : public levin::Module {
 public:
  using Options = SpiralNetOptions;
  explicit SpiralNet(SpiralNetOptions options = {})
      : options_(options),
        hidden_(register_module("hidden", torch::nn::Linear(2, options.hidden))),
        output_(register_module("output", torch::nn::Linear(options.hidden, 3))) {}

  torch::Tensor forward(const torch::Tensor& points) {
    return output_(torch::tanh(hidden_(points)));
  }

  torch::Tensor training_step(const levin::Batch& batch, levin::Step& step) override {
    auto loss = torch::cross_entropy_loss(forward(batch.input()), batch.target());
    step.log("train_loss", loss, {.on_epoch = true, .prog_bar = true});
    return loss;
  }

  void validation_step(const levin::Batch& batch, levin::Step& step) override {
    const auto logits = forward(batch.input());
    step.log("val_loss", torch::cross_entropy_loss(logits, batch.target()), {.prog_bar = true});
    val_acc_.update_logits(logits, batch.target());
    step.log("val_acc", val_acc_, {.prog_bar = true});
  }

  void test_step(const levin::Batch& batch, levin::Step& step) override {
    test_acc_.update_logits(forward(batch.input()), batch.target());
    step.log("test_acc", test_acc_);
  }

  levin::Optimizers configure_optimizers() override {
    return levin::Adam(parameters(), {.learning_rate = options_.learning_rate});
  }

 private:
  SpiralNetOptions options_;
  torch::nn::Linear hidden_, output_;
  levin::Accuracy val_acc_, test_acc_;
};

struct GapMonitorOptions {
  double limit = 0.2;
};

levin::Fields describe(GapMonitorOptions& options) {
  return levin::fields_of<GapMonitorOptions>(
      {{"limit", &options.limit, "the largest gap between validation and training loss"}});
}

/// Logs by how much the validation loss is above the training loss, and stops if that is too much.
class GapMonitor : public levin::Callback {
 public:
  using Options = GapMonitorOptions;
  explicit GapMonitor(GapMonitorOptions options = {}) : options_(options) {}

  void on_train_epoch_end(levin::Run& run) override {
    const auto& metrics = run.metrics();
    if (metrics.count("val_loss") == 0) return;
    const double gap = metrics.at("val_loss") - metrics.at("train_loss");
    run.log("gap", gap);
    if (gap > options_.limit) run.stop("the net overfits");
  }

 private:
  GapMonitorOptions options_;
};

int main(int argc, char** argv) try {
  if (argc > 1) {
    auto registry = levin::shipped_classes();
    registry.models.add<SpiralNet>("SpiralNet", "a net for points on the arms of a spiral");
    registry.datamodules.add<SpiralDataModule>("SpiralDataModule", "points on three arms");
    registry.callbacks.add<GapMonitor>("GapMonitor", "stops if the net overfits");
    return levin::run_command_line(argc, argv, registry);
  }

  levin::seed_everything(42);
  SpiralDataModule data;
  SpiralNet model({.hidden = 32});
  levin::Trainer trainer({.max_epochs = 60});
  trainer.add<GapMonitor>({.limit = 0.2});
  trainer.fit(model, data);

  const double accuracy = trainer.test(model, data).at("test_acc");
  std::printf("test_acc %.4f, gap %.4f\n", accuracy, trainer.run().metrics().at("gap"));
  return accuracy >= 0.95 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
