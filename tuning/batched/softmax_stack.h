#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <torch/types.h>

#include <levin/framework/kernels/cpu/stacked.h>

namespace levin {

/// Softmax regressions in float32 that see the same rows, by kernels of their own: a step of a
/// small one takes about a microsecond, since its logits, weights and gradients stay in the
/// fastest cache, and the rows are brought into the order that the kernels want once for all.
///
///     if (SoftmaxStack::can_take(weights, rows)) {
///       stack.set_batch(rows, labels);
///       for (k ...) loss = stack.learn(models.at(k), gradients.at(k), classes, logits);
///     }
///
/// Between two calls of set_batch, the other members may be called by several threads.
class SoftmaxStack {
 public:
  /// A weight [classes, features] and a bias [classes], or null; the parameters of a model, or
  /// their gradients.
  struct Model {
    float* weight;
    float* bias;
  };
  /// Those of several models, one after the other: [K, classes, features], and [K, classes] or
  /// null.
  struct Models {
    float* weights;
    float* biases;
    int64_t classes;
    int64_t features;

    Model at(size_t k) const {
      const auto place = static_cast<int64_t>(k);
      return {weights + place * classes * features,
              biases == nullptr ? nullptr : biases + place * classes};
    }
  };
  /// What is known of a model that is evaluated: the mean loss, and the share of the rows whose
  /// class it finds.
  struct Score {
    double loss;
    double share_of_hits;
  };

  /// Whether the kernels are the fastest way: `weights` are those of all models, [K, classes,
  /// features] float32, and the batch, [rows, features] float32, isn't too large for the cache.
  static bool can_take(const torch::Tensor& weights, const torch::Tensor& rows);

  /// Takes the rows [rows, features] and their classes [rows] int64, each in [0, classes).
  void set_batch(const torch::Tensor& rows, const torch::Tensor& labels);
  /// Returns the mean loss of a model with that many classes, and writes its gradients. `logits`
  /// is memory of the calling thread, which is kept from call to call.
  double learn(const Model& model, const Model& gradients, int64_t classes,
               std::vector<float>& logits) const;
  Score evaluate(const Model& model, int64_t classes, std::vector<float>& logits) const;

 private:
  kernels::StackedSoftmax write_logits(const Model& model, int64_t classes,
                                       std::vector<float>& logits) const;

  int64_t rows_ = 0;
  int64_t features_ = 0;
  torch::Tensor labels_;
  std::vector<float> padded_;   // the rows, [rows, padded features]
  std::vector<float> columns_;  // blocks of rows as columns, [blocks, features, rows of a block]
};

}  // namespace levin
