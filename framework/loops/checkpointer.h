#pragma once

#include <exception>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include <levin/framework/loops/fit_state.h>

namespace levin {

class CheckpointWriter;

/// Writes the checkpoints of a fit: those that callbacks ask for, one when a signal interrupts the
/// fit, and what can be saved after an exception. A checkpoint is a file that rank 0 writes or, if
/// the strategy is sharded, a folder to which every rank adds its part. With fast_dev_run only
/// `save_now` writes.
///
/// `save`, `save_now` and `save_interrupted` are collectives, because each rank has a part in the
/// state. They throw CheckpointError if a file can't be written. All of them write on the calling
/// thread, except for requests that are asynchronous: a CheckpointWriter writes these.
class Checkpointer {
 public:
  /// `parts.run` and `state` must outlive this object.
  Checkpointer(LoopParts parts, FitState& state);
  ~Checkpointer();
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  /// Writes the checkpoints that callbacks have asked for, and then removes those that they
  /// replace. The loggers are flushed first, so that their files have every row the checkpoint
  /// knows of. To be called at each boundary, because it also notices which files were written in
  /// the background, and throws if one couldn't be. Those of an earlier boundary are on disk before
  /// it copies a state for others, so that there is one copy for each request of one boundary.
  void save(const std::vector<Requests::Save>& requests) {
    if (writer_ || !requests.empty()) save_all(requests);
  }
  /// Waits until everything is on disk. Throws CheckpointError if something couldn't be written.
  void wait();
  /// Writes a complete checkpoint. Once this returns on any rank, all parts are on disk.
  void save_now(const std::filesystem::path& path);
  /// Writes `checkpoints/interrupted.ckpt` into the run's folder, and makes it the checkpoint that
  /// `ckpt_path = "last"` stands for.
  void save_interrupted();
  /// Writes the checkpoints that callbacks asked for in on_exception; they may hold the state of a
  /// step that is only half done. If `error` is a ModuleError (a monitor's name is misspelt, for
  /// example) and `at_boundary` says that training can go on from the present state, it also writes
  /// `checkpoints/failed.ckpt`, so that the epoch isn't lost. Not a collective: the other ranks
  /// have no part in these checkpoints. Writes nothing if the state is divided among several ranks.
  void save_after_exception(const std::exception& error, bool at_boundary);

 private:
  void save_all(const std::vector<Requests::Save>& requests);
  void save_one(const Requests::Save& request);
  void write(const Requests::Save& request, const StateDict& state);
  /// Makes the link to the new checkpoint, if one is asked for.
  void link(const Requests::Save& request);
  /// What follows when a checkpoint is on disk, on rank 0.
  void written(const Requests::Save& request);
  /// Removes what the new checkpoint replaces, as far as it is where SaveOptions::folder says.
  void remove_replaced(const Requests::Save& request);
  /// Writes a complete checkpoint, `checkpoints/<name>.ckpt` in the run's folder, and makes it the
  /// one that `ckpt_path = "last"` stands for. Returns its path.
  std::filesystem::path save_as(std::string_view name);
  void save_failed();
  bool saves_nothing() const { return parts_.options.fast_dev_run.count > 0; }

  LoopParts parts_;
  FitState& state_;
  std::unique_ptr<CheckpointWriter> writer_;  // null: no request was asynchronous yet
};

}  // namespace levin
