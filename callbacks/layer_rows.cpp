#include <levin/callbacks/layer_rows.h>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <levin/callbacks/layer_shapes.h>
#include <levin/callbacks/parameter_counts.h>
#include <torch/nn/module.h>

#include <unordered_set>
#include <utility>

namespace levin {
namespace {

LayerRow layer_row(std::string name, std::string type, const ParameterCounts& counts) {
  LayerRow row{.name = std::move(name), .type = std::move(type), .parameters = counts.elements};
  if (counts.elements > 0) {
    row.trainable = counts.trainable == 0                 ? "no"
                    : counts.trainable == counts.elements ? "yes"
                                                          : "partly";
  }
  return row;
}

/// Adds a row for each layer. One that is registered several times gets a row for its first name
/// only, and `seen` has the layers that have one.
void add_layer_rows(const torch::nn::Module& module, const std::string& prefix, int64_t depth,
                    const LayerSizes& sizes, std::unordered_set<const void*>& seen,
                    std::vector<LayerRow>& rows) {
  if (depth == 0) return;
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    if (!prefix.empty()) break;  // the row of a layer includes its own parameters
    const auto& tensor = item.value();
    if (!tensor.defined()) continue;
    rows.push_back(layer_row(item.key(), "parameter",
                             {tensor.numel(), tensor.requires_grad() ? tensor.numel() : 0, 0}));
    rows.back().out = fmt::format("[{}]", fmt::join(tensor.sizes(), ", "));
  }
  for (const auto& child : module.named_children()) {
    if (!seen.insert(child.value().get()).second) continue;
    const auto& layer = *child.value();
    rows.push_back(layer_row(prefix + child.key(), layer_type(layer), count_parameters(layer)));
    const auto found = sizes.find(child.value().get());
    LayerSize size = found != sizes.end() ? found->second : layer_shapes(layer);
    rows.back().in = std::move(size.in);
    rows.back().out = std::move(size.out);
    add_layer_rows(layer, prefix + child.key() + ".", depth - 1, sizes, seen, rows);
  }
}

}  // namespace

std::vector<LayerRow> layer_rows(const torch::nn::Module& module, int64_t max_depth,
                                 const LayerSizes& sizes) {
  std::vector<LayerRow> rows;
  std::unordered_set<const void*> seen;
  add_layer_rows(module, "", max_depth, sizes, seen, rows);
  return rows;
}

}  // namespace levin
