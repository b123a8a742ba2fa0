// Spreads the layers of a net over two processes, each of which keeps and trains its own half.
// Succeeds if the net classifies at least 95 % of the test rows correctly.
//   pipeline
#include <levin/levin.h>

#include <cstdio>

// A net of four layers: features [rows, 20] -> logits [rows, 3].
class DeepNet : public levin::PipelineModule {
 public:
  torch::nn::Sequential layers() override { return layers_; }

  torch::Tensor loss(const torch::Tensor& outputs, const levin::Batch& batch) override {
    return torch::cross_entropy_loss(outputs, batch.target());
  }

  void test_step(const levin::Batch& batch, levin::Step& step) override {
    const auto outputs = forward(batch);  // of the whole net, on both ranks
    step.log("test_acc", outputs.argmax(1).eq(batch.target()).to(torch::kFloat).mean());
  }

  levin::Optimizers configure_optimizers() override {
    return levin::Adam(parameters(), {.learning_rate = 3e-3});  // of the rank's own layers
  }

 private:
  torch::nn::Sequential layers_ =
      register_module("layers", torch::nn::Sequential(torch::nn::Linear(20, 64), torch::nn::ReLU(),
                                                      torch::nn::Linear(64, 64), torch::nn::ReLU(),
                                                      torch::nn::Linear(64, 64), torch::nn::ReLU(),
                                                      torch::nn::Linear(64, 3)));
};

int main() try {
  levin::seed_everything(42);
  auto x = torch::randn({4000, 20});
  auto y = x.matmul(torch::randn({20, 3})).argmax(1);
  levin::ArrayDataModule data(x, y, {.batch_size = 32, .val_split = 0.0});

  DeepNet model;
  levin::Trainer trainer({.accelerator = "cpu",
                          .devices = 2,
                          .max_epochs = 20,
                          .pipeline_size = 2,
                          .micro_batches = 4});
  trainer.fit(model, data);
  const auto accuracy = trainer.test(model, data).at("test_acc");
  trainer.print("test_acc " + std::to_string(accuracy));
  return accuracy >= 0.95 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
