// One epoch of MNIST with Levin: seconds an epoch and microseconds a step, as the programs in
// benchmarks/baselines print them.
//   mnist_epoch FOLDER [EPOCHS=3] [BATCH=128] [MODEL=logistic_regression|mlp|wide_mlp]
#include <levin/levin.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

namespace {

std::unique_ptr<levin::Module> make_model(const std::string& name) {
  if (name == "logistic_regression") {
    return std::make_unique<levin::LogisticRegression>(
        levin::LogisticRegressionOptions{.in_features = 784, .num_classes = 10});
  }
  const bool wide = name == "wide_mlp";
  return std::make_unique<levin::MLP>(levin::MLPOptions{
      .in_features = 784,
      .num_classes = 10,
      .hidden_sizes = wide ? std::vector<int64_t>{512, 512} : std::vector<int64_t>{32}});
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::fprintf(stderr, "usage: mnist_epoch FOLDER [EPOCHS] [BATCH] [MODEL]\n");
    return 2;
  }
  const int64_t epochs = argc > 2 ? std::atoll(argv[2]) : 3;
  const int64_t batch_size = argc > 3 ? std::atoll(argv[3]) : 128;
  const std::string name = argc > 4 ? argv[4] : "logistic_regression";
  at::set_num_threads(1);
  levin::seed_everything(0);
  levin::MNISTDataModule data({.data_dir = argv[1],
                               .download = false,
                               .val_split = 0,
                               .batch_size = batch_size,
                               .flatten = true});
  data.setup(levin::Stage::fit);
  const auto model = make_model(name);
  levin::Trainer trainer({.accelerator = "cpu", .max_epochs = epochs});
  const auto start = std::chrono::steady_clock::now();
  trainer.fit(*model, data);
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  const double seconds = spent.count() / static_cast<double>(epochs);
  const double steps =
      static_cast<double>(trainer.run().global_step()) / static_cast<double>(epochs);
  std::printf("levin %s epochs=%lld B=%lld %.3f s/epoch %.0f us/step test_acc=%.4f\n", name.c_str(),
              static_cast<long long>(epochs), static_cast<long long>(batch_size), seconds,
              seconds / steps * 1e6, trainer.test(*model, data).at("test_acc"));
} catch (const levin::Error& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
