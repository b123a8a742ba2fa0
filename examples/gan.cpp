// Optimizes by hand with two optimizers: a generative adversarial network learns to draw points
// from four clusters. This is the whole program.
//   gan [DEVICES]
//
// Succeeds if at least 85 % of the points that it draws lie in a cluster, and at least 15 % in
// each.
#include <levin/levin.h>

#include <cstdio>
#include <cstdlib>

constexpr int64_t kClusters = 4;
constexpr double kWidth = 0.1;  // the standard deviation of a cluster

torch::Tensor centres() {
  const auto angles = torch::arange(kClusters) * (2.0 * M_PI / kClusters);
  return torch::stack({angles.cos(), angles.sin()}, 1);
}

torch::nn::Sequential perceptron(int64_t in, int64_t out) {
  using namespace torch::nn;
  return Sequential(Linear(in, 32), LeakyReLU(LeakyReLUOptions().negative_slope(0.2)),
                    Linear(32, 32), LeakyReLU(LeakyReLUOptions().negative_slope(0.2)),
                    Linear(32, out));
}

// The generator turns noise [rows, 4] into points [rows, 2]. The discriminator returns a logit
// [rows, 1]: whether a point comes from the data.
class Gan : public levin::Module {
 public:
  Gan()
      : discriminator_(register_module("discriminator", perceptron(2, 1))),
        generator_(register_module("generator", perceptron(4, 2))) {}

  torch::Tensor draw(int64_t rows) { return generator_->forward(torch::randn({rows, 4})); }

  bool automatic_optimization() const override { return false; }

  torch::Tensor training_step(const levin::Batch& batch, levin::Step& step) override {
    const auto drawn = draw(batch.rows());

    step.toggle(kDiscriminator);
    const auto loss = torch::softplus(-discriminator_->forward(batch.input())).mean() +
                      torch::softplus(discriminator_->forward(drawn.detach())).mean();
    step.zero_grad(kDiscriminator);
    step.backward(loss);
    step.step(kDiscriminator);

    step.toggle(kGenerator);  // the discriminator's parameters get no gradients from here on
    const auto fooled = torch::softplus(-discriminator_->forward(drawn)).mean();
    step.zero_grad(kGenerator);
    step.backward(fooled);
    step.clip_gradients(kGenerator, /*max_norm=*/5.0);
    step.step(kGenerator);

    step.log("discriminator_loss", loss, {.on_epoch = true});
    step.log("generator_loss", fooled, {.on_epoch = true});
    return loss;
  }

  levin::Optimizers configure_optimizers() override {
    levin::Optimizers optimizers(
        levin::Adam(discriminator_->parameters(), {.learning_rate = 4e-3, .betas = {0.0, 0.999}}));
    optimizers.add(std::make_unique<levin::Adam>(
        generator_->parameters(),
        levin::AdamOptions{.learning_rate = 2e-3, .betas = {0.0, 0.999}}));
    return optimizers;
  }

 private:
  enum { kDiscriminator, kGenerator };  // the order of configure_optimizers

  torch::nn::Sequential discriminator_;
  torch::nn::Sequential generator_;
};

int main(int argc, char** argv) try {
  levin::seed_everything(1);
  const auto cluster = torch::randint(kClusters, {8192});
  const auto points = centres().index_select(0, cluster) + kWidth * torch::randn({8192, 2});
  levin::ArrayDataModule data(points, cluster,
                              {.batch_size = 128, .val_split = 0.0, .test_split = 0.0});

  Gan gan;
  levin::Trainer trainer(
      {.accelerator = "cpu", .devices = argc > 1 ? std::atoi(argv[1]) : 1, .max_epochs = 16});
  trainer.fit(gan, data);
  std::printf("%lld steps of two optimizers\n",
              static_cast<long long>(trainer.run().global_step()));

  const torch::NoGradGuard no_grad;
  const auto [distance, nearest] = torch::cdist(gan.draw(2000), centres()).min(1);
  const auto in_cluster = distance < 4.0 * kWidth;
  const double all = in_cluster.to(torch::kDouble).mean().item<double>();
  const double least =
      torch::bincount(nearest.masked_select(in_cluster), {}, kClusters).min().item<double>() /
      2000.0;
  std::printf("drawn in a cluster: %.3f, in the rarest: %.3f\n", all, least);
  return all >= 0.85 && least >= 0.15 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
