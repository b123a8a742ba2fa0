#pragma once

// The loss of a block of rows, and its gradient with respect to the logits. Only files that are
// compiled for one vector unit include this one.
#include <cstdint>

#include <levin/framework/kernels/cpu/vectors.h>

namespace levin::kernels {
namespace {

constexpr float kImpossible = -1e30F;  // the bias of logits that only fill up the last vector

// What is made of the products x . weight: the logits are scale * z + bias, and the gradient of the
// loss with respect to z is scale * multiplier * (softmax - one hot). All vectors are of
// the same number of floats, `stride`.
struct Loss {
  float scale;
  float multiplier;
  const float* bias;
  float* bias_gradient;
};

// Turns the products of a row into the gradient, and adds the gradient of the bias. The row's
// cross-entropy is log(sum) + rest; returns `rest`.
inline float softmax_row(float* z, int64_t label, int64_t stride, const Loss& loss, float& sum) {
  const float of_label = z[label] * loss.scale + loss.bias[label];
  const auto logits = [&](int64_t i) { return load(z + i) * loss.scale + load(loss.bias + i); };
  Vector largest = logits(0);
  for (int64_t i = kLanes; i < stride; i += kLanes) {
    largest = Larger()(largest, logits(i));
  }
  const Vector most = all(largest_of(largest));
  Vector total = {};
  for (int64_t i = 0; i < stride; i += kLanes) {
    const Vector e = exponential(logits(i) - most);
    store(z + i, e);
    total += e;
  }
  sum = sum_of(total);
  const Vector factor = all(loss.multiplier / sum);
  for (int64_t i = 0; i < stride; i += kLanes) {
    const Vector gradient = load(z + i) * factor - at_lane(label - i, loss.multiplier);
    store(z + i, gradient * loss.scale);
    store(loss.bias_gradient + i, load(loss.bias_gradient + i) + gradient);
  }
  return most[0] - of_label;
}

// Returns the cross-entropy of `count` rows, and turns their products into gradients. `labels` are
// those of the rows.
double softmax_rows(float* z, const int64_t* labels, int64_t count, int64_t stride,
                    const Loss& loss) {
  // log a + log b = log(a b). A sum is at most the number of classes, so that the product of a few
  // of them is far from overflowing.
  constexpr int64_t kSumsALogarithm = 16;
  double total = 0.0;
  for (int64_t first = 0; first < count; first += kSumsALogarithm) {
    const int64_t end = first + kSumsALogarithm < count ? first + kSumsALogarithm : count;
    double product = 1.0;
    for (int64_t r = first; r < end; ++r) {
      float sum;
      const float rest = softmax_row(z + r * stride, labels[r], stride, loss, sum);
      product *= static_cast<double>(sum);
      total += static_cast<double>(rest);
    }
    total += __builtin_log(product);
  }
  return total;
}

}  // namespace
}  // namespace levin::kernels
