#include <levin/serving/models/model_worker.h>

#include <optional>
#include <utility>

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/tensor/torch_error.h>
#include <levin/framework/threads/one_thread.h>
#include <levin/framework/threads/short_waits.h>
#include <levin/serving/http/reply_burst.h>
#include <levin/serving/http/server_thread.h>
#include <levin/serving/protocol/refusal.h>

namespace levin {
namespace {

using WorkerClock = std::chrono::steady_clock;

uint64_t ns_between(WorkerClock::time_point from, WorkerClock::time_point to) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(to - from).count());
}

/// The threads that operations of the calling thread use.
struct WorkerThreads {
  explicit WorkerThreads(int64_t threads) {
    if (threads == 1) {
      one.emplace();
    } else {
      at::set_num_threads(static_cast<int>(threads));
      short_waits.emplace();
    }
  }
  std::optional<OneThread> one;
  std::optional<ShortWaits> short_waits;
};

}  // namespace

ModelWorker::ModelWorker(std::unique_ptr<ServedModel> model, const RequestQueueOptions& queue,
                         ModelWorkerOptions options, double load_seconds, MemoryBudget& memory)
    : model_(std::move(model)),
      max_batch_(queue.max_batch),
      options_(options),
      may_answer_here_(options.threads == 1 && queue.delay_ms == 0.0 && model_->is_on_cpu()),
      load_seconds_(load_seconds),
      queue_(queue, memory, counters_),
      thread_([this] { run(); }) {}

ModelWorker::~ModelWorker() {
  queue_.close();
  queue_.refuse_waiting();
  thread_.join();
}

ModelStatistics ModelWorker::statistics() const {
  ModelStatistics statistics{.model = metadata().name, .version = metadata().version};
  counters_.read(statistics);
  statistics.pending = queue_.size();
  statistics.load_seconds = load_seconds_;
  return statistics;
}

bool ModelWorker::push(InferenceRequest& request, Backend::Answer& answer) {
  try {
    model_->check(request);
  } catch (const Refusal& refusal) {
    counters_.note_failure(ModelStatistics::other);
    std::exchange(answer, nullptr)(refusal);
    return true;
  }
  if (!may_answer_here_) return queue_.push(request, answer);
  return queue_.push(request, answer, [this] { return answers_soon_here(); });
}

/// What a thread of the server has promised: to answer what waits. If the server ends before, the
/// worker's thread does it.
struct ModelWorker::Turn {
  Turn() = default;
  ~Turn() {
    if (const auto alive = worker.lock()) alive->queue_.wake();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  std::weak_ptr<ModelWorker> worker{};
};

/// Whether the calling thread is going to answer what waits, when it has read the requests that
/// have arrived with the first.
bool ModelWorker::answers_soon_here() {
  const double batch_us = batch_us_.load(std::memory_order_relaxed);
  if (batch_us == 0.0 || batch_us > options_.quick_batch_us) return false;
  const auto turn = std::make_shared<Turn>();
  const bool is_promised = run_after_reading([turn] {
    if (const auto worker = std::exchange(turn->worker, {}).lock()) worker->answer_here();
  });
  if (is_promised) turn->worker = weak_from_this();  // the task runs later on this same thread
  return is_promised;
}

void ModelWorker::answer_here() {
  const std::unique_lock lock(predicting_, std::try_to_lock);
  if (!lock.owns_lock()) return queue_.wake();
  auto batch = queue_.take_waiting(options_.quick_requests);
  if (batch.empty()) return;
  const OneThread one_thread;
  answer_batch(batch);
}

void ModelWorker::run() {
  {
    const WorkerThreads threads(options_.threads);
    while (true) {
      auto batch = queue_.take();
      if (batch.empty()) break;
      const std::lock_guard lock(predicting_);
      answer_batch(batch);
    }
  }
  is_finished_ = true;
}

void ModelWorker::answer_batch(Requests& batch) {
  if (batch.size() == 1) return answer_alone(batch.front());
  try {
    answer_together(batch);
  } catch (const std::exception&) {
    // One request mustn't make its neighbours fail.
    for (auto& pending : batch) answer_alone(pending);
  }
}

void ModelWorker::answer_together(Requests& batch) {
  const auto begin = WorkerClock::now();
  std::vector<const InferenceRequest*> requests;
  requests.reserve(batch.size());
  BatchRecord record{.requests = batch.size(), .executions = 1};
  for (const auto& pending : batch) {
    requests.push_back(&pending.request);
    record.rows += static_cast<uint64_t>(pending.request.rows());
    record.queue_ns += ns_between(pending.arrival, begin);
  }
  model_->prepare(requests);
  const auto prepared = WorkerClock::now();
  model_->predict();
  const auto predicted = WorkerClock::now();
  auto responses = model_->answers(requests);
  const auto end = WorkerClock::now();
  record.compute_input_ns = ns_between(begin, prepared) * record.requests;
  record.compute_infer_ns = ns_between(prepared, predicted) * record.requests;
  record.compute_output_ns = ns_between(predicted, end) * record.requests;
  for (const auto& pending : batch) record.request_ns += ns_between(pending.arrival, end);
  counters_.note(record);
  const auto batch_ns = static_cast<double>(ns_between(begin, end));
  queue_.note_rate(static_cast<int64_t>(record.rows), batch_ns * 1e-9);
  const double before = batch_us_.load(std::memory_order_relaxed);
  batch_us_ = before == 0.0 ? batch_ns * 1e-3 : 0.9 * before + 0.1 * batch_ns * 1e-3;
  const ReplyBurst burst;
  for (size_t i = 0; i < batch.size(); ++i) give(batch[i], std::move(responses[i]));
}

void ModelWorker::answer_large(PendingRequest& pending) {
  const auto begin = WorkerClock::now();
  auto response = model_->answer_in_parts(pending.request, max_batch_);
  const auto end = WorkerClock::now();
  const int64_t rows = pending.request.rows();
  counters_.note({.requests = 1,
                  .rows = static_cast<uint64_t>(rows),
                  .executions = static_cast<uint64_t>((rows + max_batch_ - 1) / max_batch_),
                  .request_ns = ns_between(pending.arrival, end),
                  .queue_ns = ns_between(pending.arrival, begin),
                  .compute_infer_ns = ns_between(begin, end)});
  queue_.note_rate(rows, static_cast<double>(ns_between(begin, end)) * 1e-9);
  give(pending, std::move(response));
}

void ModelWorker::answer_alone(PendingRequest& pending) {
  try {
    if (pending.request.rows() > max_batch_) return answer_large(pending);
    Requests alone;
    alone.push_back(std::move(pending));
    try {
      answer_together(alone);
    } catch (...) {
      pending = std::move(alone.front());
      throw;
    }
  } catch (const Refusal& refusal) {
    refuse(pending, refusal, ModelStatistics::other);
  } catch (const std::exception& error) {
    report(error);
    refuse(pending, Refusal::failed(), ModelStatistics::backend);
  }
}

void ModelWorker::refuse(PendingRequest& pending, const Refusal& refusal,
                         ModelStatistics::Reason reason) {
  counters_.note_failure(reason);
  give(pending, refusal);
}

/// Answers a request. What the receiver throws must not make the request be answered again.
void ModelWorker::give(PendingRequest& pending, InferenceOutcome outcome) {
  pending.memory = {};
  try {
    std::exchange(pending.answer, nullptr)(std::move(outcome));
  } catch (const std::exception& error) {
    report(error);
  }
}

/// Prints what the module threw, at most once a second.
void ModelWorker::report(const std::exception& error) {
  const auto now = WorkerClock::now();
  if (now - reported_ < std::chrono::seconds(1)) return;
  reported_ = now;
  diagnostics::print(fmt::format("warning: model '{}', version {}, failed on a request: {}\n",
                                 metadata().name, metadata().version, plain_message(error)));
}

}  // namespace levin
