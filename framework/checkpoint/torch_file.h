#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// Whether a file that begins with these bytes is one of `torch.save`: a zip archive, or one of the
/// older form, which `parse_torch_file` refuses with advice.
bool is_torch_file(std::span<const std::byte> start);

/// Reads what PyTorch's `torch.save` wrote: a `model.state_dict()`, dicts of such, or a checkpoint
/// of Lightning (.ckpt). No code of the file is run: only tensors, containers, numbers and texts
/// are made; an object of any other class is left out, but refused by name in the place of a
/// weight. `load_checkpoint` calls this function for such files, so that they can be given wherever
/// a checkpoint's weights are used.
///
/// If the file holds the model's state dict as its member "state_dict" (as Lightning's do),
/// "model_state_dict" or "model", the weights are `child("model")` of the result. The value "torch"
/// then has the other members as far as they are plain values, "hyper_parameters" and "epoch" for
/// example. Of all other files, the result has the tensors under their names, those of a dict in a
/// dict as "outer.inner". Tensors that share memory go on sharing it.
///
/// `bytes` is the whole file; the tensors may refer to it. If `outline` is true, tensors are made
/// on the meta device, without elements. `path` is used in messages only. Throws CheckpointError if
/// the file is damaged, holds no tensors, or is a TorchScript archive.
StateDict parse_torch_file(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                           const std::string& path, bool outline = false);

/// Writes weights as a file that `torch.load(path, weights_only=True)` reads as a state dict.
/// Tensors that share all of their memory are stored once. Throws CheckpointError if the file can't
/// be written, and for sparse tensors.
void save_torch_file(const std::filesystem::path& path, const StateDict& weights);

/// What a checkpoint of Lightning says beside the weights.
struct LightningCheckpoint {
  StateDict weights{};
  /// An object: the arguments with which Lightning's load_from_checkpoint makes the module.
  Value hyper_parameters = Value::Object{};
  int64_t epoch = 0;
  int64_t global_step = 0;
};

/// Writes a checkpoint that Lightning's `load_from_checkpoint` and `Trainer.test(ckpt_path=...)`
/// read. It has no state of optimizers, so `Trainer.fit` can't go on from it. Throws as
/// save_torch_file does.
void save_lightning_file(const std::filesystem::path& path, const LightningCheckpoint& checkpoint);

}  // namespace levin
