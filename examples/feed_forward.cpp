// Trains a feed-forward network with 784 inputs, 32 hidden units and 10 classes on MNIST, in two
// calls of fit with different learning rates.
//   feed_forward [FOLDER]          FOLDER holds MNIST's files, which are downloaded if missing
//
// Succeeds if the network classifies about 10 % of the validation images before training, at least
// 95 % after five epochs at learning rate 0.5, and at least 96 % after five more at 0.1.
#include <levin/levin.h>

#include <cstdio>

#include "mnist_folder.h"

namespace {

void print_history(const char* title, const levin::History& history) {
  std::printf("%s\n", title);
  for (const auto& epoch : history.epochs) {
    std::printf("  epoch %lld: train_loss %.4f, val_loss %.4f, val_acc %.4f\n",
                static_cast<long long>(epoch.epoch), epoch.metrics.at("train_loss"),
                epoch.metrics.at("val_loss"), epoch.metrics.at("val_acc"));
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string folder = mnist_folder(argc, argv);
  if (folder.empty()) return kSkipped;

  levin::seed_everything(42);
  // A random 20 % of the training images is used for validation.
  levin::MNISTDataModule data({.data_dir = folder, .val_split = 0.2, .batch_size = 100});
  levin::MLP model({.in_features = 784,
                    .num_classes = 10,
                    .hidden_sizes = {32},
                    .learning_rate = 0.5,
                    .optimizer = "SGD"});
  std::printf("parameters: %lld\n", static_cast<long long>(model.num_parameters()));

  levin::Trainer trainer({.max_epochs = 5});
  const double untrained = trainer.validate(model, data).at("val_acc");
  std::printf("untrained: val_acc %.4f\n", untrained);

  const auto first = trainer.fit(model, data);
  print_history("learning rate 0.5", first);
  model.set_learning_rate(0.1);
  const auto second = trainer.fit(model, data);
  print_history("learning rate 0.1", second);

  const bool as_expected = model.num_parameters() == 25450 && untrained >= 0.05 &&
                           untrained <= 0.2 && first.epochs.size() == 5 &&
                           second.epochs.size() == 5 && first.last("val_acc") >= 0.95 &&
                           second.last("val_acc") >= 0.96;
  std::printf("%s\n", as_expected ? "as expected" : "not as expected");
  return as_expected ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
