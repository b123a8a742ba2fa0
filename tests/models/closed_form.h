#pragma once

// What the tests of closed forms share: a step with one, and the same by way of autograd.

#include <cstdint>
#include <vector>

#include <torch/torch.h>

#include <levin/framework/strategies/single_device.h>

#include "models/support.h"

namespace levin::test {

/// `Model` by way of autograd.
template <class Model>
class ByAutograd : public Model {
 public:
  using Model::Model;
  bool has_closed_form() const override { return false; }
};

/// `Model`, which counts how often autograd is left to do it.
template <class Model>
class Counting : public Model {
 public:
  using Model::Model;
  bool has_closed_form() const override { return true; }
  torch::Tensor loss(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    ++by_autograd;
    return Model::loss(logits, targets);
  }
  mutable int by_autograd = 0;
};

inline Batch random_batch(int64_t rows, int64_t features, int64_t classes) {
  return batch_of(torch::randn({rows, features}), torch::randint(classes, {rows}, torch::kLong));
}

/// Loss and gradients of one step.
struct Outcome {
  double loss;
  std::vector<torch::Tensor> gradients;
};

inline Outcome step_of(Module& module, const Batch& batch, double weight = 1.0) {
  SingleDeviceStrategy strategy(torch::kCPU);
  const auto loss = StepRunner().train(module, batch);
  strategy.backward(module, loss, weight, 1.0);
  Outcome outcome{loss.item<double>(), {}};
  for (auto& parameter : module.parameters()) {
    outcome.gradients.push_back(parameter.grad().clone());
    parameter.mutable_grad().reset();
  }
  return outcome;
}

inline void expect_same(const Outcome& a, const Outcome& b, double tolerance = 1e-6) {
  EXPECT_NEAR(a.loss, b.loss, tolerance);
  ASSERT_EQ(a.gradients.size(), b.gradients.size());
  for (size_t i = 0; i < a.gradients.size(); ++i) {
    EXPECT_TENSORS_NEAR(a.gradients[i], b.gradients[i], tolerance);
  }
}

}  // namespace levin::test
