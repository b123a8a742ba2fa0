#pragma once

#include <string>

#include <torch/types.h>

namespace levin {

/// A function that a hidden layer applies to each of its values.
struct Activation {
  const char* name;
  /// Returns f(x), with a graph.
  torch::Tensor (*function)(const torch::Tensor& x);
  /// Writes f(x) to `out`, of the same shape, which may be x itself. Without a graph.
  void (*write)(torch::Tensor& out, const torch::Tensor& x);
  /// Multiplies `gradient`, of f(x), by the derivative of f. `kept` is x if `derives_from_x` is
  /// true, and otherwise f(x). Without a graph.
  void (*derive)(torch::Tensor& gradient, const torch::Tensor& kept);
  /// Whether the derivative is computed from x. Otherwise f(x) is enough, and x needn't be kept.
  bool derives_from_x;
};

/// Returns the activation of that name: relu, tanh, sigmoid, gelu, leaky_relu, elu, silu or
/// identity, each as PyTorch has it by default. Throws ConfigError for another name.
const Activation& find_activation(const std::string& name);

}  // namespace levin
