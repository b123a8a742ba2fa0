#pragma once

#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "framework/support.h"

// A model whose batches count by their tokens, and data for it.

namespace levin::test {

/// Sequences of up to five tokens, [rows, 5]: of row i the first i * i % 6.
class TokenData : public DataModule {
 public:
  TokenData(int64_t rows, int64_t batch_size) : batch_size_(batch_size) {
    auto generator = at::detail::createCPUGenerator(3);
    input_ = torch::randn({rows, 5}, generator, torch::kDouble);
    target_ = torch::randn({rows, 5}, generator, torch::kDouble);
    const auto lengths = torch::arange(rows).square().remainder(6).unsqueeze(1);
    target_.masked_fill_(torch::arange(5).unsqueeze(0).ge(lengths),
                         std::numeric_limits<double>::quiet_NaN());
  }
  DataLoaders train_dataloader() override { return loader(); }
  DataLoaders val_dataloader() override { return loader(); }
  /// Rows [begin, end), of which every `every`-th.
  Batch rows(int64_t begin, int64_t end, int64_t every = 1) const {
    return Batch({{"input", input_.slice(0, begin, end, every)},
                  {"target", target_.slice(0, begin, end, every)}});
  }

 private:
  DataLoaders loader() const {
    return DataLoader(std::make_shared<TensorDataset>(input_, target_),
                      {.batch_size = batch_size_});
  }
  torch::Tensor input_, target_;
  int64_t batch_size_;
};

/// A line through tokens. A NaN as its target says that a token isn't there. The loss of a batch is
/// the mean over its tokens.
class TokenNet : public Module {
 public:
  TokenNet() : line_(register_parameter("line", torch::tensor({0.3, -0.2}, torch::kDouble))) {}
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    const int64_t tokens = tokens_of(batch);
    if (tokens == 0) return {};
    if (says_tokens) step.set_batch_size(tokens);
    const auto loss = loss_tensor(batch);
    step.log("loss", loss, {.on_step = true, .on_epoch = true});
    return loss;
  }
  void validation_step(const Batch& batch, Step& step) override {
    const int64_t tokens = tokens_of(batch);
    if (tokens == 0) return;
    step.set_batch_size(tokens);
    const auto loss = loss_tensor(batch);
    step.log("val_loss", loss);
    step.log("by_rows", loss, {.batch_size = batch.rows()});
  }
  void on_before_optimizer_step(Optimizer&, Step& step) override {
    gradients.push_back(line_.grad().clone());
    logged.push_back(step.run().metrics().at("loss"));
  }
  Optimizers configure_optimizers() override {
    return SGD(parameters(), {.learning_rate = learning_rate});
  }

  static int64_t tokens_of(const Batch& batch) {
    return batch.target().isnan().logical_not().sum().item<int64_t>();
  }
  torch::Tensor loss_tensor(const Batch& batch) const {
    const auto there = batch.target().isnan().logical_not();
    const auto error = line_[0] * batch.input() + line_[1] - batch.target();
    return error.masked_select(there).square().mean();
  }
  double loss_of(const Batch& batch) const { return loss_tensor(batch).item<double>(); }
  torch::Tensor gradient_of(const Batch& batch) const {
    return torch::autograd::grad({loss_tensor(batch)}, {line_}).front();
  }

  bool says_tokens = true;
  double learning_rate = 0.0;  // the weights stay, so that windows can be compared
  std::vector<torch::Tensor> gradients;
  std::vector<double> logged;

 private:
  torch::Tensor line_;
};

}  // namespace levin::test
