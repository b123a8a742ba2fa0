// Trains logistic regression on MNIST.
//   mnist [FOLDER]          FOLDER holds MNIST's files, which are downloaded if missing
//
// Succeeds if at least 92 % of the 10,000 test images are classified correctly.
#include <levin/levin.h>

#include <cstdio>

#include "mnist_folder.h"

int main(int argc, char** argv) try {
  const std::string folder = mnist_folder(argc, argv);
  if (folder.empty()) return kSkipped;

  levin::seed_everything(42);
  levin::MNISTDataModule data({.data_dir = folder, .val_split = 5000, .batch_size = 128});
  levin::LogisticRegression model(
      {.in_features = 784, .num_classes = 10, .learning_rate = 1e-3, .l2_strength = 1e-5});

  levin::Trainer trainer({.max_epochs = 15});
  trainer.add<levin::ProgressBar>();
  trainer.fit(model, data);
  const auto metrics = trainer.test(model, data);

  const double accuracy = metrics.at("test_acc");
  std::printf("logistic regression: test_acc %.4f of 10,000 images\n", accuracy);
  return accuracy >= 0.92 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
