#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

class Run;

/// How ModelPruning chooses what it prunes.
struct PruningChoice {
  /// "l1_unstructured", "random_unstructured", "ln_structured" or "random_structured".
  std::string fn = "l1_unstructured";
  /// The dimension whose slices are pruned as a whole; for structured choices.
  int64_t dim = 0;
  /// The order of the norm by which ln_structured compares slices.
  double norm = 2.0;
  /// A share of what is left, or a number.
  CountOrFraction amount = 0.5;

  bool is_structured() const { return fn.ends_with("_structured"); }
  bool is_random() const { return fn.starts_with("random_"); }
};

/// Sets to 0 those entries of the masks that are to be pruned next, of all these weights as if they
/// were one. Masks are 1 for what is left and have the weights' shapes; what is 0 already doesn't
/// count. Random choices draw from the generator of rank 0, so all ranks have to call this.
void choose_pruned(const PruningChoice& choice, const std::vector<torch::Tensor>& weights,
                   std::vector<torch::Tensor>& masks, Run& run);

}  // namespace levin
