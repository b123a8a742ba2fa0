#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <c10/core/Device.h>

#include <levin/framework/config/registry.h>
#include <levin/serving/backend/capacity.h>
#include <levin/serving/models/local_backend.h>
#include <levin/serving/models/model_files.h>
#include <levin/serving/models/model_worker.h>

namespace levin {

/// A ModelSource and the versions that are served from it. Any thread may call any function.
class ServedSource {
 public:
  using Worker = std::shared_ptr<ModelWorker>;

  /// Loads what is there. The registry and the memory must outlive the object. Throws ConfigError
  /// and CheckpointError, which name the path.
  ServedSource(const Registry& registry, ModelSource source, const LocalBackendOptions& options,
               at::Device device, MemoryBudget& memory);
  /// Refuses what still waits.
  ~ServedSource() = default;

  const std::string& name() const { return name_; }
  /// The versions that are served, the newest last.
  std::vector<Worker> versions() const;
  /// The version of that name, or the newest if it is empty; null if there is none. A version that
  /// was replaced is found by its name for `replaced_for` seconds.
  Worker find(std::string_view version) const;

  /// Loads new checkpoints, and lets go of versions that were replaced or removed, after all of
  /// their requests are answered. A checkpoint that can't be loaded is reported once, and what was
  /// served before goes on. Does nothing while the model is unloaded. Returns whether all
  /// checkpoints could be loaded.
  bool refresh();
  /// Serves the newest again after `unload`, and looks for new ones. Returns whether it could.
  bool load();
  void unload();
  /// Whether it serves something, or was told not to.
  bool is_ready() const;
  /// Ends what has nothing left to answer, and answers requests whose deadline has passed.
  void tidy();

 private:
  struct Version {
    FoundCheckpoint checkpoint;
    Worker worker;
  };

  Worker made(const FoundCheckpoint& checkpoint, int64_t version) const;
  bool refresh_locked(bool throws);
  const Version* served(const FoundCheckpoint& checkpoint) const;
  void serve(std::vector<Version> versions);

  const Registry& registry_;
  const ModelSource source_;
  const LocalBackendOptions options_;
  const at::Device device_;
  MemoryBudget& memory_;
  std::string name_;

  std::mutex loading_;                   // held while checkpoints are loaded; guards the next four
  std::vector<FoundCheckpoint> broken_;  // which aren't tried again until they change
  int64_t next_version_ = 1;
  FileStamp numbered_{};  // of the file that has the version before
  bool is_unloaded_ = false;

  mutable std::mutex mutex_;  // held for moments; guards the next five
  std::vector<Version> versions_;
  Worker replaced_;  // which can still be asked
  std::chrono::steady_clock::time_point replaced_until_{};
  std::vector<Worker> retired_;
  bool is_off_ = false;
};

}  // namespace levin
