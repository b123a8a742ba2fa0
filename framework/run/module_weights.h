#pragma once

#include <string>

#include <levin/framework/tensor/state_dict.h>

namespace levin {

class Module;

/// Calls `Module::prepare_like` with the settings of the module that `checkpoint` is of, if it is a
/// whole checkpoint that knows them, or one of Lightning, whose hyper_parameters may have them.
void prepare_like_checkpoint(Module& module, const StateDict& checkpoint);

/// Returns the weights for `module` in what load_checkpoint has read (`module_weights`). Those that
/// another program saved, as PyTorch or Lightning, get the names that the module has for them, if
/// there is one way to do so (framework/checkpoint/matching_names.h). If the file also has tensors
/// that belong to something else, `note`, if it is given, becomes a sentence that lists them.
///
///     module.load_state_dict(levin::weights_for(module, levin::load_checkpoint("net.pt")));
StateDict weights_for(const Module& module, const StateDict& loaded, std::string* note = nullptr);

}  // namespace levin
