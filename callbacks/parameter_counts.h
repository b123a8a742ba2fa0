#pragma once

#include <cstdint>

namespace torch::nn {
class Module;
}

namespace levin {

/// How many numbers the parameters of a module have.
struct ParameterCounts {
  int64_t elements = 0;
  /// Those that require gradients.
  int64_t trainable = 0;
  int64_t bytes = 0;
};

/// Counts the parameters of a module and of those in it. A parameter with several names counts
/// once.
ParameterCounts count_parameters(const torch::nn::Module& module);

}  // namespace levin
