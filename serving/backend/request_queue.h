#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include <levin/serving/backend/backend.h>
#include <levin/serving/backend/capacity.h>
#include <levin/serving/backend/request_counters.h>
#include <levin/serving/protocol/inference.h>

namespace levin {

/// How a RequestQueue makes batches, and what it refuses.
struct RequestQueueOptions {
  /// The most rows of a batch.
  int64_t max_batch = 64;
  /// Milliseconds for which the oldest request waits for others to share its batch.
  double delay_ms = 0.0;
  /// The most requests that wait; 0: any number.
  int64_t max_queue = 0;
  /// Seconds for which a request waits at most, unless it asked for less.
  double timeout = 30.0;
};

/// A request that waits for its answer.
struct PendingRequest {
  using Clock = std::chrono::steady_clock;

  InferenceRequest request{};
  Backend::Answer answer{};
  Clock::time_point arrival{};
  Clock::time_point deadline{};
  HeldMemory memory{};
};

/// The requests that wait for one version of a model, of which it makes batches by the rules of
/// Triton's dynamic batcher: requests join in the order of their arrival for as long as the batch
/// has at most `max_batch` rows, up to the first whose rows have another shape. Requests aren't
/// split; one that is larger than a batch is taken alone. If another request could still join, the
/// batch waits until the oldest request in the queue is `delay_ms` old.
///
/// Requests of priority 1 are taken before those of 2, and so on; those without one come last.
///
/// Any thread may push; one thread takes:
///
///     while (true) {
///       auto batch = queue.take();
///       if (batch.empty()) break;  // the queue was closed
///       ...
///     }
///
/// Answers are never called with a lock held.
class RequestQueue {
 public:
  /// `memory` and `counters` must outlive the queue.
  RequestQueue(RequestQueueOptions options, MemoryBudget& memory, RequestCounters& counters);
  /// Refuses what still waits.
  ~RequestQueue();
  RequestQueue(const RequestQueue&) = delete;
  RequestQueue& operator=(const RequestQueue&) = delete;

  /// Takes over a request, and answers it at once if it can't wait: with 429 if the queue or the
  /// memory is full, 413 if the request alone is larger than the memory. Returns false, and leaves
  /// both as they are, if the queue is closed.
  ///
  /// If a thread waits in `take` and `is_served_otherwise` is given, it is called, under a lock;
  /// if it returns true, the thread isn't woken, because somebody is going to call `take_waiting`.
  bool push(InferenceRequest& request, Backend::Answer& answer,
            const std::function<bool()>& is_served_otherwise = {});
  /// Waits for the next batch and returns it; empty if the queue is closed and nothing is left.
  std::vector<PendingRequest> take();
  /// Returns what waits, if it is one batch of at most `most` requests; without waiting for others.
  /// Otherwise returns nothing, and leaves it to the thread in `take`.
  std::vector<PendingRequest> take_waiting(size_t most);
  /// Leaves what waits to the thread in `take`.
  void wake();
  /// Lets no more requests in. Those that wait are taken without a delay.
  void close();
  /// Answers all that wait with 503.
  void refuse_waiting();
  /// Answers those whose deadline has passed with 504. `take` does so, too; call this now and then
  /// so that they needn't wait for a batch that is being computed.
  void expire();

  /// Says how long `rows` took to predict, from which Retry-After is estimated.
  void note_rate(int64_t rows, double seconds);
  /// The number of requests that wait.
  size_t size() const;

 private:
  using Clock = PendingRequest::Clock;
  using Requests = std::vector<PendingRequest>;
  /// The requests that would be the next batch.
  struct Plan {
    size_t requests = 0;
    bool is_full = false;  // whether nothing could join
  };

  Plan plan() const;
  Requests pop(size_t requests);
  Clock::time_point oldest() const;
  Requests remove_expired(Clock::time_point now);
  Requests remove_all();
  void answer_expired(Requests expired);
  int retry_after() const;

  const RequestQueueOptions options_;
  const Clock::duration delay_;
  MemoryBudget& memory_;
  RequestCounters& counters_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int64_t, std::deque<PendingRequest>> levels_;  // by priority; none is empty
  size_t size_ = 0;
  int64_t rows_ = 0;
  Clock::time_point first_deadline_ = Clock::time_point::max();  // none is earlier
  bool is_idle_ = false;                                         // take() waits for a first request
  bool is_served_otherwise_ = false;  // take_waiting() is going to be called
  bool is_closed_ = false;
  double rows_per_second_ = 0.0;  // 0: not known yet
};

}  // namespace levin
