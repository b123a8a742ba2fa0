#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/config/registry.h>
#include <levin/serving/backend/backend.h>

namespace levin {

/// Where the checkpoints of a model come from.
struct ModelSource {
  /// The model's name in addresses; empty: that of the module's class ("LogisticRegression").
  std::string name{};
  /// A checkpoint, which is version 1; or a folder. A folder whose entries are numbers
  /// (`3/anything.ckpt`) has these versions, as Triton's model repositories; of any other folder,
  /// such as a run's, the newest checkpoint counts, and each new one is the next version.
  std::filesystem::path path{};
};

/// How the models of a process answer.
struct LocalBackendOptions {
  /// The most rows of a batch.
  int64_t max_batch = 64;
  /// Milliseconds for which the oldest request of a batch waits for others.
  double delay_ms = 0.0;
  /// Bytes of inputs that may wait in all queues together; more are refused with 429.
  int64_t memory = int64_t{1} << 30;
  /// Requests that may wait for one model; 0: as many as the memory holds.
  int64_t max_queue = 0;
  /// Seconds after which a request that still waits is refused, unless it asked for less.
  double timeout = 30.0;
  /// Whether sources are looked at again each second, and new checkpoints loaded.
  bool reload = true;
  /// Seconds for which a version whose place a newer checkpoint of a run has taken can still be
  /// asked by its name: clients, and front ends behind Redis, don't know of the newer one at once.
  double replaced_for = 2.0;
  std::string device = "cpu";
  /// LibTorch's threads for one batch.
  int64_t threads = 1;
  /// Microseconds: a model whose batches take less answers requests on the threads of the
  /// HttpServer, if it has one thread for a batch, no delay, and is on the CPU.
  double quick_batch_us = 300.0;
  /// The most requests that are answered there at a time. With more, the server's threads had
  /// better go on reading while another core predicts, unless they take all cores.
  size_t quick_requests = 1;
};

/// Throws ConfigError if one of the options can't be used. Whether there is such a device is only
/// known when models are loaded.
void validate(const LocalBackendOptions& options);

/// Models in this process, each version with a queue and a thread that predicts its batches.
class LocalBackend : public Backend {
 public:
  /// Loads the models. Throws ConfigError and CheckpointError, before anything is served.
  LocalBackend(const Registry& registry, std::vector<ModelSource> sources,
               LocalBackendOptions options);
  /// Refuses what still waits (503), and ends the threads.
  ~LocalBackend() override;

  void infer(InferenceRequest request, Answer answer) override;
  std::vector<ModelMetadata> models() const override;
  std::vector<std::string> unloaded() const override;
  std::shared_ptr<const ModelMetadata> find(std::string_view name,
                                            std::string_view version) const override;
  bool is_ready() const override;
  std::vector<ModelStatistics> statistics() const override;
  void load(std::string_view model) override;
  void unload(std::string_view model) override;
  void drain() override;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace levin
