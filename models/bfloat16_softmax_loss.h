#pragma once

#include <cstdint>
#include <vector>

#include <torch/types.h>

#include <levin/framework/data/rows.h>
#include <levin/models/ready_gradients.h>

namespace levin {

/// The mean softmax cross-entropy of a linear layer together with its gradient, for many features
/// and classes: by products of matrices of bfloat16 numbers, whose sums are float32. Rows are
/// x = scale * (X - zero_point) if they are bytes X, and else x = X, scale 1 and zero point 0.
///
///     W', X' = weight and X, rounded to bfloat16           [classes, features], [rows, features]
///     logits = scale * X' W'^T + (bias - scale * zero_point * sums of W' over the features)
///     G = softmax(logits) - one hot                                            [rows, classes]
///     G' = scale / rows * G, rounded to bfloat16
///     d loss / d weight = G'^T X' - zero_point * sums of G' over the rows
///     d loss / d bias = the mean of G over the rows
///
/// bfloat16 has 8 significant bits, so rounding changes a number by up to 0.4 %. Bytes are exact.
/// Weights, logits, sums and gradients are float32, so that errors don't grow from step to step.
///
/// A CUDA device needs compute capability 8.0. On the CPU, the rounded numbers are multiplied in
/// float32: the result is a GPU's but for the order of the sums, and no faster than without
/// rounding. Memory is kept from step to step. The loss is an ordinary one with a graph (see
/// ReadyGradients).
///
///     if (Bfloat16SoftmaxLoss::can_learn(batch.input_rows(), labels, weight, bias)) {
///       const auto loss = bfloat16_softmax_loss_(batch.input_rows(), labels, weight, bias);
///       if (!bfloat16_softmax_loss_.backward(loss)) loss.backward();
///     }
class Bfloat16SoftmaxLoss {
 public:
  /// A batch whose X' is larger than `most_bytes` is cut into parts of about equal size, which are
  /// computed one after another.
  explicit Bfloat16SoftmaxLoss(int64_t most_bytes = int64_t{5} << 30) : most_bytes_(most_bytes) {}

  /// Whether the parameters are as ReadyGradients takes them, and there are at least two classes.
  /// `bias` may be undefined.
  static bool can_learn(const torch::Tensor& weight, const torch::Tensor& bias);
  /// Whether the closed form can be used: gradients are being recorded, autocast is off, the
  /// parameters are as above, there is at least one row and a label for each, all of it is on one
  /// device, and the rows aren't sparse and need no gradient.
  static bool can_learn(const Rows& rows, const torch::Tensor& labels, const torch::Tensor& weight,
                        const torch::Tensor& bias);

  /// Returns the loss, []. float32 rows and bytes are read where they lie; others are converted to
  /// float32 first, all at once. `labels`: [rows] int64, each in [0, classes), which isn't checked.
  /// Throws DataError if a row hasn't as many values as `weight` has columns.
  torch::Tensor operator()(const Rows& rows, const torch::Tensor& labels,
                           const torch::Tensor& weight, const torch::Tensor& bias);

  /// Adds the gradients of `loss` to those of the parameters without autograd, and returns true; or
  /// does nothing and returns false, as ReadyGradients::backward says. Call `loss.backward()` then.
  bool backward(const torch::Tensor& loss) { return ready_.backward(loss); }

 private:
  /// What the parts of a batch add up.
  struct Sums {
    torch::Tensor& weight_gradient;    // without the zero point
    torch::Tensor bias_gradient{};     // sums of G over the rows; undefined if there is no bias
    torch::Tensor rounded_gradient{};  // sums of G' over the rows, if there is a zero point
    torch::Tensor log_probability{};   // of the labels, [] float64
  };
  void make_room(int64_t rows, bool has_parts, const torch::Tensor& weight);
  /// Adds `part` of the rows, whose offset of the logits is [classes] or undefined. `multiplier`
  /// leads from G to G'.
  void add_part(const Rows& rows, const kernels::RowView& part, const torch::Tensor& labels,
                const torch::Tensor& offset, double multiplier, Sums& sums);

  int64_t most_bytes_;
  ReadyGradients ready_;
  // Kept from step to step. Those of a part may have more rows than it needs.
  torch::Tensor rounded_weight_;    // W'
  torch::Tensor rows_;              // X'
  torch::Tensor logits_;            // and then G
  torch::Tensor log_probability_;   // of each class
  torch::Tensor rounded_gradient_;  // G'
  torch::Tensor weight_gradient_;   // of one part, if there are several
};

}  // namespace levin
