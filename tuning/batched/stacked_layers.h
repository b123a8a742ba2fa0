#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <torch/types.h>

#include <levin/models/activation.h>
#include <levin/tuning/batched/softmax_stack.h>

namespace levin {

/// Chains of linear layers of the same sizes, K of them, that see the same rows: their outputs and
/// gradients are computed by one matrix product for each layer instead of K.
///
///     StackedLayers layers(parameters_of_models, &find_activation("relu"));
///     const auto outputs = layers.forward(rows);           // [K, outputs, rows]
///     layers.begin_gradients(StackedLayers::Place::own);
///     layers.backward(gradient_of_outputs);                // of the same shape
///     layers.gradients(3);                                 // of chain 3, in the parameters' order
///
/// Layer l computes x W^T + b; between two layers comes the activation. Units are kept as [K,
/// units, rows], so that the first layer, whose input all chains share, is one product with a
/// matrix [K * units, features], and the others are products of batches of K matrices. Nothing is
/// recorded by autograd.
class StackedLayers {
 public:
  /// `parameters[k]` are those of chain k: for each layer its weight [out, in] and, if it has one,
  /// its bias [out]. They keep their values, but from now on their memory is a part of the stack's,
  /// [K, out, in] and [K, out]: whoever changes them changes the stack. `activation` may be null if
  /// there is one layer.
  StackedLayers(const std::vector<std::vector<torch::Tensor>>& parameters,
                const Activation* activation);

  /// Whether the parameters of the first and the last chain are still in the stack's memory.
  bool holds(const std::vector<torch::Tensor>& first, const std::vector<torch::Tensor>& last) const;

  /// The outputs [K, outputs, rows] of `rows` [rows, features]. With `keeps`, the units that
  /// `backward` needs are kept until the next call.
  torch::Tensor forward(const torch::Tensor& rows, bool keeps);
  /// Where gradients are written: to the memory that stays the parameters' gradients, or beside
  /// it, because they are to be added to what is there.
  enum class Place : size_t { own, beside };
  void begin_gradients(Place place) { place_ = place; }
  Place place() const { return place_; }
  /// Adds the gradients that lie beside to the parameters' own.
  void add_gradients();
  /// Multiplies the gradients that were written last.
  void scale_gradients(double factor);
  /// Computes the gradients of all parameters from that of the outputs, [K, outputs, rows], of the
  /// last call of `forward`.
  void backward(torch::Tensor gradient);
  /// The parameters of chains of one layer, in float32, and their gradients that are written now.
  SoftmaxStack::Models models() const { return models_of(weights_, biases_); }
  SoftmaxStack::Models gradients_of_models() const {
    return models_of(written().weights, written().biases);
  }
  /// The gradients of chain k that were written last, in the order of its parameters.
  const std::vector<torch::Tensor>& gradients(size_t chain) const {
    return written().of_chain[chain];
  }
  /// The parameters' own gradients of chain k, which stay at the same place.
  const std::vector<torch::Tensor>& own_gradients(size_t chain) const {
    return buffers_.front().of_chain[chain];
  }
  /// The weights of the layers, [K, out, in] each, and their gradients that were written last, of
  /// the same shapes.
  const std::vector<torch::Tensor>& weights() const { return weights_; }
  const std::vector<torch::Tensor>& weight_gradients() const { return written().weights; }

 private:
  /// The gradients of all parameters.
  struct Gradients {
    std::vector<torch::Tensor> weights;  // as weights_
    std::vector<torch::Tensor> biases;   // as biases_
    std::vector<std::vector<torch::Tensor>> of_chain;
  };
  void make_gradients(Gradients& gradients) const;
  Gradients& written() { return buffers_[static_cast<size_t>(place_)]; }
  const Gradients& written() const { return buffers_[static_cast<size_t>(place_)]; }
  static SoftmaxStack::Models models_of(const std::vector<torch::Tensor>& weights,
                                        const std::vector<torch::Tensor>& biases);

  const Activation* activation_;
  std::vector<torch::Tensor> weights_;  // [K, out, in]
  std::vector<torch::Tensor> biases_;   // [K, out], or undefined
  std::array<Gradients, 2> buffers_;
  Place place_ = Place::own;
  torch::Tensor rows_;                // of the last call of forward
  std::vector<torch::Tensor> units_;  // behind each layer but the last
  std::vector<torch::Tensor> kept_;   // what the activation's derivative is computed from
};

}  // namespace levin
