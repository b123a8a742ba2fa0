// Shows that logistic regression is a neural network with one layer: the formula, written by hand
// on plain arrays, gives the same probabilities as Levin's module with the same weights.
//   one_layer_net
//
// The data are two flowers with four measurements each, and there are three classes, so the shapes
// are [2, 4] x [4, 3] -> [2, 3]. Succeeds if no probability differs by 1e-14 or more.
#include <levin/levin.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace {

constexpr std::size_t kRows = 2;
constexpr std::size_t kFeatures = 4;
constexpr std::size_t kClasses = 3;
using Probabilities = std::array<std::array<double, kClasses>, kRows>;

constexpr double kFlowers[kRows][kFeatures] = {{5.1, 3.5, 1.4, 0.2}, {6.2, 2.8, 4.8, 1.8}};
constexpr double kWeights[kFeatures][kClasses] = {
    {0.12, -0.07, 0.03}, {0.31, -0.22, 0.05}, {-0.44, 0.18, 0.27}, {-0.25, 0.09, 0.40}};

/// Computes softmax(x W) with loops, one row after another.
Probabilities by_hand() {
  Probabilities result{};
  for (std::size_t row = 0; row < kRows; ++row) {
    double sum = 0.0;
    for (std::size_t k = 0; k < kClasses; ++k) {
      double z = 0.0;
      for (std::size_t j = 0; j < kFeatures; ++j) z += kFlowers[row][j] * kWeights[j][k];
      result[row][k] = std::exp(z);
      sum += result[row][k];
    }
    for (double& probability : result[row]) probability /= sum;
  }
  return result;
}

/// Computes the same with Levin's module, into which the weights are copied. Returns [rows,
/// classes].
torch::Tensor by_module() {
  const auto flowers =
      torch::tensor(at::ArrayRef<double>(&kFlowers[0][0], kRows * kFeatures), torch::kDouble);
  const auto weights =
      torch::tensor(at::ArrayRef<double>(&kWeights[0][0], kFeatures * kClasses), torch::kDouble);
  levin::LogisticRegression model(
      {.in_features = kFeatures, .num_classes = kClasses, .bias = false});
  model.to(torch::kDouble);
  levin::StateDict state;
  state.tensors["linear.weight"] = weights.view({kFeatures, kClasses}).t();
  model.load_state_dict(state);
  const torch::NoGradGuard no_grad;
  return levin::class_probabilities(model.forward(flowers.view({kRows, kFeatures})));
}

}  // namespace

int main() {
  const Probabilities hand = by_hand();
  const torch::Tensor module = by_module().contiguous();
  const auto* probabilities = module.const_data_ptr<double>();
  double largest = 0.0;
  for (std::size_t row = 0; row < kRows; ++row) {
    std::size_t predicted = 0;
    for (std::size_t k = 0; k < kClasses; ++k) {
      const double other = probabilities[row * kClasses + k];
      std::printf("row %zu class %zu: formula %.6f, module %.6f\n", row, k, hand[row][k], other);
      largest = std::max(largest, std::abs(hand[row][k] - other));
      if (hand[row][k] > hand[row][predicted]) predicted = k;
    }
    std::printf("row %zu is class %zu\n", row, predicted);
    const double* row_of = probabilities + row * kClasses;
    if (std::max_element(row_of, row_of + kClasses) != row_of + predicted) return 1;
  }
  std::printf("largest difference %.1e\n", largest);
  return largest < 1e-14 ? 0 : 1;
}
