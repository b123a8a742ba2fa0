#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// How `Run::save` saves.
struct SaveOptions {
  /// Leave out what only resuming needs: the optimizers, random generators and loops.
  bool weights_only = false;
  /// If given, what becomes a symbolic link to the new checkpoint once that is on disk, in the
  /// place of a checkpoint or a link of that name. It has to be in the folder that `folder` says.
  std::filesystem::path link{};
  /// Checkpoints to remove once the new one is on disk.
  std::vector<std::filesystem::path> replaces{};
  /// The folder in which these have to be, links followed; others are left alone. By default the
  /// run's folder and the folder of the new checkpoint.
  std::filesystem::path folder{};
  /// Let a thread write the file while training goes on; the bytes are those of the boundary. What
  /// goes wrong is thrown at a later boundary, or at the end of the fit, which waits. A checkpoint
  /// that all ranks write together (ZeRO) is written at once all the same.
  bool asynchronous = false;
};

/// The requests that callbacks and the module made through Run. The loop acts on them at the next
/// step boundary and then forgets them.
struct Requests {
  /// A checkpoint to write. If the path was relative, Run::save has put `log_dir()` before it.
  struct Save {
    std::filesystem::path path;
    SaveOptions options;
  };
  /// A wish that training end.
  struct Stop {
    std::string text{};
    /// If given, returns the reason that there is now, or an empty text if there is none any more.
    std::function<std::string()> reason_now{};
    std::string reason() const { return reason_now ? reason_now() : text; }
  };
  /// The wishes that training end, in this order.
  std::vector<Stop> stops;
  /// The checkpoints to write, in this order.
  std::vector<Save> saves;
  /// The weights to load into the module.
  std::optional<StateDict> weights;
  /// The number of batches that make an optimizer step from now on.
  std::optional<int64_t> accumulate;
  bool empty() const { return stops.empty() && saves.empty() && !weights && !accumulate; }
};

}  // namespace levin
