#pragma once

#include <string>

#include <levin/callbacks/layer_sizes.h>

namespace levin {

/// Returns a layer's class name without namespaces, template arguments and "Impl": "Linear" for
/// torch::nn::LinearImpl.
std::string layer_type(const torch::nn::Module& layer);

/// Returns the shapes of a layer's input and output as far as its weight determines them, such as
/// "[*, 784]" and "[*, 10]" ("*" is a size that it doesn't); otherwise empty texts.
LayerSize layer_shapes(const torch::nn::Module& layer);

}  // namespace levin
