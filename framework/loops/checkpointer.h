#pragma once

#include <exception>
#include <filesystem>

#include <levin/framework/loops/fit_state.h>

namespace levin {

/// Writes the checkpoints of a fit: when callbacks ask for one, when a signal interrupts the fit,
/// and what can be saved after an exception. A checkpoint is a file that rank 0 writes, or a folder
/// that every rank writes a part of if the strategy is sharded. With fast_dev_run only `save_now`
/// writes.
///
/// All ranks have to call `save`, `save_now` and `save_interrupted` together, because each has a
/// part in the state.
class Checkpointer {
 public:
  Checkpointer(LoopParts parts, FitState& state) : parts_(parts), state_(state) {}

  /// Writes the checkpoint a callback has asked for, and then removes those that it replaces. The
  /// loggers' files are flushed first, so that they agree with it.
  void save(const Requests::Save& request);
  /// Writes a complete checkpoint; once this returns on any rank, all parts are on disk.
  void save_now(const std::filesystem::path& path);
  /// Writes `checkpoints/interrupted.ckpt` into the run's folder; "last" stands for it from now on.
  void save_interrupted();
  /// Writes the checkpoints that callbacks asked for in on_exception; their state may be that of a
  /// step half done. If `error` is a ModuleError (a monitor's name is misspelt, for example) and
  /// `at_boundary` says that the state is one to go on from, also writes `checkpoints/failed.ckpt`,
  /// so that the epoch isn't lost. Other ranks have no part in these; nothing is written if the
  /// state is shared out among them.
  void save_after_exception(const std::exception& error, bool at_boundary);

 private:
  void write(const Requests::Save& request, const StateDict& state);
  void save_failed();
  bool saves_nothing() const { return parts_.options.fast_dev_run.count > 0; }

  LoopParts parts_;
  FitState& state_;
};

}  // namespace levin
