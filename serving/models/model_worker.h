#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include <levin/serving/backend/model_statistics.h>
#include <levin/serving/backend/request_counters.h>
#include <levin/serving/backend/request_queue.h>
#include <levin/serving/models/served_model.h>

namespace levin {

/// One version of a model: its queue, and the thread that predicts the batches.
class ModelWorker {
 public:
  /// Starts the thread, whose operations of LibTorch use `threads` threads. `memory` must outlive
  /// the object.
  ModelWorker(std::unique_ptr<ServedModel> model, RequestQueueOptions options, int64_t threads,
              double load_seconds, MemoryBudget& memory);
  /// Refuses what still waits (503), and ends the thread.
  ~ModelWorker();
  ModelWorker(const ModelWorker&) = delete;
  ModelWorker& operator=(const ModelWorker&) = delete;

  const ModelMetadata& metadata() const { return model_->metadata(); }
  ModelStatistics statistics() const;
  /// Takes over a request, and answers it at once if it doesn't fit the model or can't wait.
  /// Returns false, and leaves both as they are, if the worker is closed.
  bool push(InferenceRequest& request, Backend::Answer& answer);
  /// Lets no more requests in; those that wait are answered.
  void close() { queue_.close(); }
  /// Whether it was closed and has answered everything.
  bool is_finished() const { return is_finished_.load(); }
  void expire() { queue_.expire(); }

 private:
  using Requests = std::vector<PendingRequest>;

  void run();
  void answer_batch(Requests& batch);
  void answer_together(Requests& batch);
  void answer_large(PendingRequest& pending);
  void answer_alone(PendingRequest& pending);
  void refuse(PendingRequest& pending, const Refusal& refusal, ModelStatistics::Reason reason);
  void give(PendingRequest& pending, InferenceOutcome outcome);
  void report(const std::exception& error);

  std::unique_ptr<ServedModel> model_;
  const int64_t max_batch_;
  const int64_t threads_;
  const double load_seconds_;
  RequestCounters counters_;
  RequestQueue queue_;
  std::chrono::steady_clock::time_point reported_{};
  std::atomic<bool> is_finished_{false};
  std::thread thread_;
};

}  // namespace levin
