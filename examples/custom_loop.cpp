// Writes the training loop by hand instead of using a Trainer. It uses Levin's data loader,
// strategy, optimizer, learning-rate schedule, metrics and checkpoints, each of which also works on
// its own.
//   custom_loop
//
// Succeeds if the model classifies at least 93 % of the test digits.
#include <levin/levin.h>
#include <unistd.h>

#include <levin/framework/strategies/single_device.h>

#include <cstdio>
#include <filesystem>

int main() try {
  levin::seed_everything(42);
  levin::DigitsDataModule data({.batch_size = 32, .seed = 1});
  data.setup(levin::Stage::fit);
  levin::MLP model({.in_features = 64, .num_classes = 10, .hidden_sizes = {32}});

  levin::SingleDeviceStrategy strategy(levin::default_device());
  strategy.setup(model);
  levin::Adam optimizer(model.parameters(), {.learning_rate = 3e-3});
  const levin::CosineAnnealingLR schedule({.T_max = 15});
  levin::LoggedValues metrics;

  const levin::DataLoaders train = data.train_dataloader();
  levin::Reader reader = train.front().open();
  for (int64_t epoch = 0; epoch < 15; ++epoch) {
    optimizer.set_learning_rate(3e-3 * schedule.factor(epoch));
    metrics.begin_epoch();
    reader.seek(epoch);
    levin::Batch batch;
    while (reader.next(batch)) {
      strategy.to_device(batch);
      metrics.begin_batch(batch.rows(), 0, 1);
      optimizer.step([&] {
        const auto loss = levin::cross_entropy(model.forward(batch.input()), batch.target());
        optimizer.zero_grad();
        strategy.backward(model, loss, /*weight=*/1.0, batch.rows());
        metrics.log("loss", loss, {}, /*on_step=*/false, /*on_epoch=*/true);
        return loss;
      });
    }
    const auto values = metrics.epoch_values(levin::LoggedValues::For::callbacks);
    std::printf("epoch %2lld: loss %.4f\n", static_cast<long long>(epoch), values.at("loss"));
  }

  // Save the weights and load them into another model, which then predicts the same.
  const auto path = std::filesystem::temp_directory_path() /
                    ("levin_custom_loop_" + std::to_string(::getpid()) + ".ckpt");
  levin::StateDict state;
  state.add("model", model.state_dict());
  levin::save_checkpoint(path, state);
  levin::MLP other({.in_features = 64, .num_classes = 10, .hidden_sizes = {32}});
  other.load_state_dict(levin::load_checkpoint(path).child("model"));
  std::filesystem::remove(path);

  const torch::NoGradGuard no_grad;
  strategy.setup(other);
  levin::Reader test = data.test_dataloader().front().open();
  metrics.begin_epoch();
  for (levin::Batch batch; test.next(batch);) {
    strategy.to_device(batch);
    metrics.begin_batch(batch.rows(), 0, 1);
    metrics.log("accuracy", levin::accuracy(other.forward(batch.input()), batch.target()), {},
                /*on_step=*/false, /*on_epoch=*/true);
  }
  const double accuracy = metrics.epoch_values(levin::LoggedValues::For::callbacks).at("accuracy");
  std::printf("test accuracy %.4f\n", accuracy);
  return accuracy >= 0.93 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
