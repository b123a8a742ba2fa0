#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/callbacks/layer_sizes.h>

namespace levin {

/// What a summary of a module says of one layer, or of a parameter that belongs to no layer.
struct LayerRow {
  /// Its name in the module, with dots between levels.
  std::string name{};
  /// Its class, "Linear"; "parameter" if it is one.
  std::string type{};
  /// How many numbers its parameters have.
  int64_t parameters = 0;
  /// Whether they are trained: "yes", "no" or "partly"; empty if there are none.
  std::string trainable{};
  /// The shapes of its input and its output as far as they are known, "[*, 784]".
  std::string in{};
  std::string out{};
};

/// Returns a row for each layer of `module`, `max_depth` levels deep (-1: all), each above the
/// layers in it. A layer that is registered under several names has a row for the first. Layers
/// that are in `sizes` have the sizes of that.
std::vector<LayerRow> layer_rows(const torch::nn::Module& module, int64_t max_depth,
                                 const LayerSizes& sizes = {});

}  // namespace levin
