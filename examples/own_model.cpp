// Defines a model and trains it on plain arrays; this is the whole program. Succeeds if the model
// classifies at least 95 % of the test rows correctly.
//   own_model
#include <levin/levin.h>

#include <cstdio>

// Multinomial logistic regression: features [batch, in] -> logits [batch, classes].
class LogisticRegression : public levin::Module {
 public:
  LogisticRegression(int64_t in, int64_t classes, double learning_rate)
      : linear_(register_module("linear", torch::nn::Linear(in, classes))),
        learning_rate_(learning_rate) {}

  torch::Tensor training_step(const levin::Batch& batch, levin::Step& step) override {
    auto loss = torch::cross_entropy_loss(linear_(batch.input()), batch.target());
    step.log("train_loss", loss);
    return loss;
  }

  void validation_step(const levin::Batch& batch, levin::Step& step) override {
    auto logits = linear_(batch.input());
    step.log("val_loss", torch::cross_entropy_loss(logits, batch.target()));
    step.log("val_acc", logits.argmax(1).eq(batch.target()).to(torch::kFloat).mean());
  }

  void test_step(const levin::Batch& batch, levin::Step& step) override {
    auto logits = linear_(batch.input());
    step.log("test_acc", logits.argmax(1).eq(batch.target()).to(torch::kFloat).mean());
  }

  levin::Optimizers configure_optimizers() override {
    return {std::make_unique<torch::optim::SGD>(parameters(), learning_rate_)};
  }

 private:
  torch::nn::Linear linear_;
  double learning_rate_;
};

int main() try {
  levin::seed_everything(42);
  auto x = torch::randn({2000, 20});
  auto y = x.matmul(torch::randn({20, 3})).argmax(1);

  levin::ArrayDataModule data(x, y, {.batch_size = 32, .val_split = 0.2});
  LogisticRegression model(/*in=*/20, /*classes=*/3, /*learning_rate=*/0.1);

  levin::Trainer trainer({.max_epochs = 20});
  trainer.add<levin::EarlyStopping>({.monitor = "val_loss", .patience = 3});

  trainer.fit(model, data);
  const auto metrics = trainer.test(model, data);
  for (const auto& [name, value] : metrics) std::printf("%s %.4f\n", name.c_str(), value);
  return metrics.at("test_acc") >= 0.95 ? 0 : 1;  // linearly separable: anything less is a bug
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
