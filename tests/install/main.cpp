// The design page's model, written by somebody who has only the installed package: one epoch, and
// the loss must fall.
#include <levin/levin.h>

#include <cstdio>

namespace {

class LogisticRegression : public levin::Module {
 public:
  LogisticRegression(int64_t in_features, int64_t num_classes, double learning_rate)
      : learning_rate_(learning_rate) {
    linear_ = register_module("linear", torch::nn::Linear(in_features, num_classes));
  }

  torch::Tensor training_step(const levin::Batch& batch, levin::Step& step) override {
    auto loss = torch::cross_entropy_loss(linear_(batch.input()), batch.target());
    step.log("train_loss", loss);
    return loss;
  }

  void validation_step(const levin::Batch& batch, levin::Step& step) override {
    step.log("val_loss", torch::cross_entropy_loss(linear_(batch.input()), batch.target()));
  }

  levin::Optimizers configure_optimizers() override {
    return {std::make_unique<torch::optim::SGD>(parameters(), learning_rate_)};
  }

 private:
  torch::nn::Linear linear_{nullptr};
  double learning_rate_;
};

}  // namespace

int main() {
  levin::seed_everything(42);
  const auto x = torch::randn({600, 20});
  const auto y = (x.slice(1, 0, 3)).argmax(1);
  levin::ArrayDataModule data(x, y, {.batch_size = 32, .val_split = 0.2});
  LogisticRegression model(20, 3, 0.1);
  levin::Trainer trainer({.max_epochs = 1});
  const auto before = trainer.validate(model, data);
  trainer.fit(model, data);
  const auto after = trainer.validate(model, data);
  std::printf("val_loss before %.4f, after one epoch %.4f\n", before.at("val_loss"),
              after.at("val_loss"));
  return after.at("val_loss") < before.at("val_loss") ? 0 : 1;
}
