#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <levin/serving/backend/model_statistics.h>
#include <levin/serving/backend/request_counters.h>
#include <levin/serving/backend/request_queue.h>
#include <levin/serving/models/served_model.h>

namespace levin {

/// Who predicts the batches of a ModelWorker.
struct ModelWorkerOptions {
  /// LibTorch's threads for a batch.
  int64_t threads = 1;
  /// Microseconds: if batches take less than that, requests are answered on the server's own
  /// threads, for which waking another thread would take longer than the answer.
  double quick_batch_us = 300.0;
  /// The most requests that are answered there at a time.
  size_t quick_requests = 1;
};

/// One version of a model: its queue, and the thread that predicts the batches. While it has
/// nothing to do, a thread of the HttpServer takes its place for a moment, if requests are few and
/// quickly answered.
class ModelWorker : public std::enable_shared_from_this<ModelWorker> {
 public:
  /// Starts the thread. `memory` must outlive the object.
  ModelWorker(std::unique_ptr<ServedModel> model, const RequestQueueOptions& queue,
              ModelWorkerOptions options, double load_seconds, MemoryBudget& memory);
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
  struct Turn;

  void run();
  bool answers_soon_here();
  void answer_here();
  void answer_batch(Requests& batch);
  void answer_together(Requests& batch);
  void answer_large(PendingRequest& pending);
  void answer_alone(PendingRequest& pending);
  void refuse(PendingRequest& pending, const Refusal& refusal, ModelStatistics::Reason reason);
  void give(PendingRequest& pending, InferenceOutcome outcome);
  void report(const std::exception& error);

  std::unique_ptr<ServedModel> model_;
  const int64_t max_batch_;
  const ModelWorkerOptions options_;
  const bool may_answer_here_;
  const double load_seconds_;
  RequestCounters counters_;
  RequestQueue queue_;
  std::mutex predicting_;  // held while a batch is answered; guards the next
  std::chrono::steady_clock::time_point reported_{};
  std::atomic<double> batch_us_{0.0};  // what a batch has taken lately; 0: not known yet
  std::atomic<bool> is_finished_{false};
  std::thread thread_;
};

}  // namespace levin
