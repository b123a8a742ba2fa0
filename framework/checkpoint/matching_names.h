#pragma once

#include <string>
#include <vector>

#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// Weights under the names by which a module knows them.
struct MatchedWeights {
  StateDict weights{};
  /// The names of tensors in the file that belong to something else than the module, such as the
  /// weights of a loss.
  std::vector<std::string> others{};
};

/// Finds the weights of a module, whose state dict is `own`, in `loaded`, the tensors of a file
/// that another program wrote and that may have other names for them:
///
///     loaded                                  own
///     linear.weight                           linear.weight     the same names
///     model.linear.weight, loss.weight        linear.weight     all of them behind a prefix
///     fc.weight, or weight                    linear.weight     another name of the only layer
///     net.0.weight, net.2.weight              layer0.weight,    another name of numbered layers,
///                                             layer1.weight     in their order
///
/// Names that differ in another way are left as they are, so that `Module::load_state_dict` lists
/// them. Throws CheckpointError if the weights of such a module are there under several prefixes,
/// as those of a "student" and a "teacher" would be.
MatchedWeights match_names(const StateDict& own, const StateDict& loaded);

}  // namespace levin
