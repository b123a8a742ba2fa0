#pragma once

#include <functional>
#include <map>
#include <string>

namespace torch::nn {
class Module;
}

namespace levin {

/// The sizes of a layer's input and output, such as "[32, 784]" and "[32, 10]".
struct LayerSize {
  std::string in;
  std::string out;
};
using LayerSizes = std::map<const torch::nn::Module*, LayerSize>;

/// Calls `work`, which shall call layers of `module`, and returns the sizes of each layer that has
/// parameters or buffers of its own, from its first call. They are read off the operation that gets
/// the layer's parameters, so that the layers needn't help. What runs on other threads isn't seen.
LayerSizes watch_layers(const torch::nn::Module& module, const std::function<void()>& work);

}  // namespace levin
