// Trains a model, then predicts with a module that is made from the checkpoint alone. Succeeds if
// each of three flowers gets its species.
//   predict_from_checkpoint
#include <levin/levin.h>

#include <cstdio>

// Trains a small net on Fisher's irises and leaves iris.ckpt in the current folder.
static void train() {
  levin::seed_everything(42);
  levin::IrisDataModule data({.batch_size = 10});
  levin::MLP model(
      {.in_features = 4, .num_classes = 3, .hidden_sizes = {16}, .learning_rate = 0.02});
  levin::Trainer trainer({.max_epochs = 60});
  trainer.fit(model, data);
  trainer.save_checkpoint("iris.ckpt");
}

int main() try {
  train();

  // From here on nothing is known but the file: no model, no options, no Trainer.
  const auto checkpoint = levin::load_checkpoint("iris.ckpt");
  const auto description = levin::module_description(checkpoint).value();
  const auto module = levin::load_module(levin::shipped_classes(), "iris.ckpt");
  std::printf("%s of rows of %lld features\n", description.class_path.c_str(),
              static_cast<long long>(description.input->shape.at(0)));

  // One flower of each species: sepal length and width, petal length and width in cm.
  const auto flowers =
      torch::tensor({{5.1F, 3.5F, 1.4F, 0.2F}, {5.7F, 2.8F, 4.1F, 1.3F}, {6.9F, 3.1F, 5.4F, 2.1F}});
  const auto outputs = module->predict(levin::Batch({{"input", flowers}}));
  const auto& classes = outputs.at(0).second;        // "class" [rows]
  const auto& probabilities = outputs.at(1).second;  // "probability" [rows, classes]
  bool right = true;
  for (int64_t row = 0; row < flowers.size(0); ++row) {
    const auto number = classes[row].item<int64_t>();
    std::printf("%-10s %.3f\n", description.class_names.at(static_cast<size_t>(number)).c_str(),
                probabilities[row][number].item<double>());
    right = right && number == row;
  }
  return right ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
