#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <torch/types.h>

#include <levin/framework/data/rows.h>
#include <levin/models/activation.h>
#include <levin/models/ready_gradients.h>

namespace levin {

/// A linear layer of a chain: `weight` [out, in], `bias` [out] or undefined.
struct ChainLayer {
  torch::Tensor weight;
  torch::Tensor bias;
};

/// The mean softmax cross-entropy of a chain of linear layers with an activation between them,
/// together with its gradients: the forward pass, the loss and the backward pass as matrix products
/// into memory that is kept from step to step, without autograd. The result is nevertheless an
/// ordinary loss with a graph (see ReadyGradients). A classifier of your own that is such a chain
/// has a member `levin::ChainLoss chain_loss_{levin::find_activation("relu")};` and
///
///     bool reads_rows_in_place() const override {
///       return levin::ChainLoss::reads_rows_in_place(layers());
///     }
///     torch::Tensor batch_loss(const levin::Batch& batch, const torch::Tensor& y) override {
///       const auto& x = batch.input_rows();
///       if (!levin::ChainLoss::can_learn(x, y, layers())) return Classifier::batch_loss(batch, y);
///       return chain_loss_(x, y, layers());
///     }
///     void backward(const torch::Tensor& loss) override {
///       if (!chain_loss_.backward(loss)) Classifier::backward(loss);
///     }
///
/// Bits are the same for any number of threads.
class ChainLoss {
 public:
  /// `activation` must outlive this object, as those of `find_activation` do.
  explicit ChainLoss(const Activation& activation) : activation_(activation) {}

  /// Whether the closed form can be used: gradients are being recorded, autocast is off, the layers
  /// are as `can_learn` demands, there is at least one row and a label for each, and each row has
  /// as many float32 numbers or scaled bytes, in plain memory, as the first weight has columns.
  static bool can_learn(const Rows& input, const torch::Tensor& labels,
                        const std::vector<ChainLayer>& layers);
  /// Whether the layers are of the kind that the closed form takes: their parameters are as
  /// ReadyGradients takes them, and the last one has at least two outputs.
  static bool can_learn(const std::vector<ChainLayer>& layers);
  /// Whether the first layer reads rows best where they lie: the closed form takes the layers, and
  /// the first one's weights are few.
  static bool reads_rows_in_place(const std::vector<ChainLayer>& layers);

  /// Returns the loss, []. `labels`: [rows] int64, each in [0, classes), which isn't checked.
  torch::Tensor operator()(const Rows& input, const torch::Tensor& labels,
                           const std::vector<ChainLayer>& layers);

  /// Adds the gradients of `loss` to those of the parameters without autograd, and returns true; or
  /// does nothing and returns false, as ReadyGradients::backward says. Call `loss.backward()` then.
  bool backward(const torch::Tensor& loss) { return ready_.backward(loss); }

 private:
  /// What is kept for a layer, [rows, out] each.
  struct Kept {
    torch::Tensor sum;       // weight x + bias; in the last layer the logits, then their gradient
    torch::Tensor output;    // activation(sum); may be `sum` itself
    torch::Tensor gradient;  // of `sum`; undefined in the last layer
  };
  static const torch::Tensor& gradient_of(const Kept& kept) {
    return kept.gradient.defined() ? kept.gradient : kept.sum;
  }
  /// The input of the first layer: rows in place, or else a matrix [rows, in].
  struct Input {
    std::optional<kernels::RowView> rows;
    torch::Tensor matrix;
  };
  /// What a layer multiplies its weights with: a matrix, or rows that kernels read in place.
  const torch::Tensor& input_of(size_t layer, const Input& input) const;
  std::optional<kernels::RowView> rows_in_place(size_t layer, const Input& input,
                                                const torch::Tensor& weight) const;
  void write_output(size_t layer, const Input& input, const std::vector<ChainLayer>& layers);
  void write_gradients(size_t layer, const Input& input, torch::Tensor& of_weight,
                       torch::Tensor& of_bias);
  void make_room(int64_t rows, const std::vector<ChainLayer>& layers);
  void reserve_logits(int64_t rows, int64_t classes);
  double softmax_gradient(const torch::Tensor& labels);

  const Activation& activation_;
  ReadyGradients ready_;
  std::vector<Kept> kept_;
  torch::Tensor padded_logits_;  // [at least rows, padded_classes]; the last layer's are a part
  // Of the parts of a batch.
  std::vector<double> losses_;
  std::vector<float> scratch_;
};

}  // namespace levin
