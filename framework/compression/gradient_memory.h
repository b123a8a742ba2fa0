#pragma once

#include <string_view>

#include <levin/framework/compression/gradient_compression.h>

namespace levin {

/// What a rank hasn't sent yet of its gradients, which it adds to those of the next step: error
/// feedback (Seide et al. 2014; Stich et al. 2018, https://arxiv.org/abs/1809.07599). Without it, a
/// compression that is biased may end elsewhere than training without compression.
///
///     const auto values = memory.add_to(own);
///     ...                                          // send about `values`
///     memory.keep(values - sent);
class GradientMemory {
 public:
  /// If not `enabled`, nothing is kept and `add_to` returns its argument.
  GradientMemory(GradientLayout layout, bool enabled)
      : layout_(std::move(layout)), enabled_(enabled) {}

  bool enabled() const { return enabled_; }
  /// Returns `own`, [n], plus what was kept.
  torch::Tensor add_to(const torch::Tensor& own) const;
  /// Keeps `rest`, [n], in place of what was kept before.
  void keep(torch::Tensor rest);

  /// The tensors are memory.<parameter>, in the parameters' shapes.
  StateDict state_dict() const;
  void load_state_dict(const StateDict& state);
  /// Whether a tensor of that name in a state is what a rank hasn't sent.
  static bool has(std::string_view name);

 private:
  GradientLayout layout_;
  bool enabled_;
  torch::Tensor rest_;  // undefined: zeros
};

/// Returns the tensor `prefix` + the name of the parameter `number` of a state, in the layout's
/// type and on its device; an undefined one if the state has none. Throws CheckpointError if it
/// hasn't `sizes`.
torch::Tensor tensor_for(const GradientLayout& layout, size_t number, const StateDict& state,
                         std::string_view prefix, at::IntArrayRef sizes);

}  // namespace levin
