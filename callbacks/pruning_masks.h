#pragma once

#include <string>
#include <vector>

#include <levin/callbacks/pruning_choice.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

class Module;
class Run;

/// The parameters that ModelPruning prunes, and for each a mask of the same shape: 1 for what is
/// left, 0 for what is pruned.
class PruningMasks {
 public:
  /// Finds the parameters of the module, by `names` if there are any, and begins with everything
  /// left. Throws ConfigError if a parameter doesn't exist, or there is none to prune.
  void begin(const Module& module, const std::vector<std::string>& names,
             const PruningChoice& choice);

  const std::vector<std::string>& names() const { return names_; }
  const std::vector<torch::Tensor>& weights() const { return weights_; }
  /// The share of the weights that are pruned, 0 to 1.
  double sparsity() const;

  /// Prunes what the choice says: of all parameters `together`, or else of each of them. All ranks
  /// have to call this.
  void prune(const PruningChoice& choice, bool together, Run& run);
  /// Sets the weights that are pruned to 0.
  void apply();

  /// Puts the masks into a callback's state by their names, and takes those from there whose names
  /// and shapes are the same.
  void save_to(StateDict& state) const;
  void load_from(const StateDict& state);

 private:
  std::vector<std::string> names_;
  std::vector<torch::Tensor> weights_;
  std::vector<torch::Tensor> masks_;
};

}  // namespace levin
