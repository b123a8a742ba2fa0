#pragma once

#include <string>

#include <levin/framework/config/node.h>
#include <levin/framework/config/registry.h>

namespace levin {

/// Adds to a configuration of validate, test or predict what the checkpoint at its `ckpt_path` says
/// and the configuration doesn't. Settings that the configuration has win. Lightning: LightningCLI
/// reads the hyper-parameters of the checkpoint.
///
///   - Settings of `model` without a class, as of `--model.metrics=[f1]`, get the checkpoint's
///   class
///     and its other settings, and so does a model of the same class as the checkpoint's.
///   - Settings of `data` without a class, as of `--data.x=new.csv`, get the class and the other
///     settings of the data that the checkpoint's model was trained on.
///
/// Settings that are targets of links, in the configuration or in `registry`, get their values from
/// these. A model that isn't mentioned is left to `make_module`. `root` is normalised. Throws
/// CheckpointError if a class has to come from the checkpoint and isn't there.
void take_checkpoint_settings(ConfigNode& root, const Registry& registry);

/// Does the same to a configuration of fit, which goes on from its `ckpt_path`. The model is the
/// checkpoint's also if none is mentioned. Returns what was taken of it, for the user:
///
///     model: MLP with hidden_sizes = [6, 5], activation = "tanh", as in 'best.ckpt'
///
/// It is empty if nothing was. Throws ConfigError, with the place, if the configuration names a
/// model of another class.
std::string take_settings_to_resume(ConfigNode& root, const Registry& registry);

}  // namespace levin
