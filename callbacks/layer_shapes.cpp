#include <levin/callbacks/layer_shapes.h>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/nn/module.h>

#include <string_view>

namespace levin {
namespace {

std::string shape_text(at::IntArrayRef sizes, std::string_view before) {
  return fmt::format("[{}{}]", before, fmt::join(sizes, ", "));
}

}  // namespace

std::string layer_type(const torch::nn::Module& layer) {
  std::string name = layer.name();
  const size_t arguments = name.find('<');
  if (arguments != std::string::npos) name.resize(arguments);
  const size_t colon = name.rfind("::");
  if (colon != std::string::npos) name.erase(0, colon + 2);
  if (name.ends_with("Impl") && name.size() > 4) name.resize(name.size() - 4);
  return name;
}

LayerSize layer_shapes(const torch::nn::Module& layer) {
  const std::string type = layer_type(layer);
  const auto parameters = layer.named_parameters(/*recurse=*/false);
  const auto* weight = parameters.find("weight");
  if (weight == nullptr || !weight->defined()) return {"", ""};
  const auto sizes = weight->sizes();
  if (type == "Linear" && sizes.size() == 2) {
    return {shape_text(sizes[1], "*, "), shape_text(sizes[0], "*, ")};
  }
  if (type == "Embedding" && sizes.size() == 2) return {"[*]", shape_text(sizes[1], "*, ")};
  if (type == "LayerNorm") return {shape_text(sizes, "*, "), shape_text(sizes, "*, ")};
  if (type.starts_with("BatchNorm")) {
    return {shape_text(sizes[0], "*, "), shape_text(sizes[0], "*, ")};
  }
  if (type.starts_with("Conv") && sizes.size() >= 3) {
    // The weight is [out, in / groups, ...], or [in, out / groups, ...] for a transposed
    // convolution.
    std::string channels = fmt::format("[*, {}", sizes[0]);
    for (size_t i = 2; i < sizes.size(); ++i) channels += ", *";
    channels += "]";
    if (type.starts_with("ConvTranspose")) return {channels, ""};
    return {"", channels};
  }
  return {"", ""};
}

}  // namespace levin
