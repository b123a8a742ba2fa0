#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <levin/framework/core/error.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// Writes a state as one file, which is a valid safetensors file: the tensors under their names
/// and, in the metadata, the tree of values as JSON ("levin.values") and checksums of every byte.
/// Python reads it with `safetensors`; reading it runs no code. Tensors that share all of their
/// memory are stored once. The checkpoints of `Trainer::fit` also describe their module
/// (module_description.h).
///
///     levin::save_checkpoint("weights.ckpt", module.state_dict());
///     module.load_state_dict(levin::load_checkpoint("weights.ckpt"));
///
/// The file is written under a temporary name, synced and renamed: a crash leaves either no file or
/// a whole one. A sharded checkpoint at the path is replaced. Throws CheckpointError if it can't be
/// written, if there is a folder that holds anything else, and for sparse and undefined tensors.
void save_checkpoint(const std::filesystem::path& path, const StateDict& state);

/// Reads such a file, or the folder that a sharded run wrote (sharded_checkpoint.h). The tensors
/// are on the CPU. Safetensors files of other programs are read as well; their values are empty. So
/// are files of `torch.save` and checkpoints of Lightning, whose code isn't run (torch_file.h). In
/// a checkpoint of `Trainer::fit` the module's weights are `child("model")`. Throws CheckpointError
/// if the file can't be read, or if it is torn, altered or of another format.
StateDict load_checkpoint(const std::filesystem::path& path);

/// Reads what such a file or folder says without reading its data: the values, and the names,
/// shapes and types of the tensors, which are on LibTorch's meta device and have no elements. That
/// takes about the same time for a small and a large checkpoint. Throws CheckpointError if the
/// header can't be read or is damaged; damage in the data isn't noticed.
///
///     const StateDict outline = levin::load_checkpoint_outline("best.ckpt");
///     const auto description = levin::module_description(outline);
StateDict load_checkpoint_outline(const std::filesystem::path& path);

/// Runs `work`, which takes what it needs from the state that the file at `path` holds, and returns
/// what it returns. A CheckpointError of `work` that doesn't name the file, because it found a
/// value missing or of another kind, gets its name: "'best.ckpt': a saved state has no member
/// 'loop'".
template <class Work>
decltype(auto) naming_checkpoint(const std::filesystem::path& path, const Work& work) {
  try {
    return work();
  } catch (const CheckpointError& error) {
    const std::string message = error.what();
    if (message.find(path.string()) != std::string::npos) throw;
    throw CheckpointError("'" + path.string() + "': " + message);
  }
}

/// Returns the bytes that save_checkpoint would write, for sending a state to another process.
std::string checkpoint_bytes(const StateDict& state);
/// Reads such bytes. Throws CheckpointError as load_checkpoint does; the message calls the bytes
/// `name`.
StateDict checkpoint_from_bytes(std::string bytes, std::string_view name = "a state received");

}  // namespace levin
