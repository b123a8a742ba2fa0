#pragma once

#include <string>
#include <vector>

#include <levin/cli/arguments.h>
#include <levin/framework/config/registry.h>

namespace levin {

/// Runs `levin export CHECKPOINT --output FILE`: writes the module of a checkpoint in a form that
/// other programs read. With `--json`, what was written goes to stdout as a JSON object.
///
///     pt            torch.load(FILE, weights_only=True), a state dict
///     ckpt          Lightning's load_from_checkpoint(FILE)
///     safetensors   safetensors.torch.load_file(FILE)
///     onnx          onnxruntime.InferenceSession(FILE); needs a class that onnx_model knows
///
/// Returns the exit status, 0. Throws ConfigError for an unknown format or option, and if FILE is
/// the checkpoint itself; CheckpointError if the checkpoint can't be read or FILE can't be written;
/// and what load_module and onnx_model throw.
int export_model(const Arguments& arguments, const Registry& registry);

/// Returns the options of `levin export` with their meanings, one a line.
std::string export_options_help();

/// The formats that `--format` knows.
const std::vector<std::string>& export_formats();

}  // namespace levin
