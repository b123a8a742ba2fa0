#include <levin/serving/backend/request_queue.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include <levin/serving/protocol/refusal.h>

namespace levin {
namespace {

int64_t level_of(const InferenceRequest& request) {
  return request.priority > 0 ? request.priority : std::numeric_limits<int64_t>::max();
}

int64_t input_bytes(const InferenceRequest& request) {
  size_t bytes = 0;
  for (const auto& input : request.inputs) bytes += input.data.size();
  return static_cast<int64_t>(bytes);
}

/// Whether the rows of two requests can be in one batch.
bool rows_match(const InferenceRequest& a, const InferenceRequest& b) {
  const auto same = [](const WireTensor& x, const WireTensor& y) {
    return x.name == y.name && x.shape.size() == y.shape.size() && !x.shape.empty() &&
           std::equal(x.shape.begin() + 1, x.shape.end(), y.shape.begin() + 1);
  };
  return std::equal(a.inputs.begin(), a.inputs.end(), b.inputs.begin(), b.inputs.end(), same);
}

PendingRequest::Clock::duration ticks(double seconds) {
  constexpr double kYear = 365.0 * 24 * 3600;  // what is longer might not fit the clock
  return std::chrono::duration_cast<PendingRequest::Clock::duration>(
      std::chrono::duration<double>(std::clamp(seconds, 0.0, kYear)));
}

}  // namespace

RequestQueue::RequestQueue(RequestQueueOptions options, MemoryBudget& memory,
                           RequestCounters& counters)
    : options_(options),
      delay_(ticks(options.delay_ms / 1000.0)),
      memory_(memory),
      counters_(counters) {}

RequestQueue::~RequestQueue() {
  close();
  refuse_waiting();
}

bool RequestQueue::push(InferenceRequest& request, Backend::Answer& answer,
                        const std::function<bool()>& is_served_otherwise) {
  PendingRequest pending;
  pending.arrival = Clock::now();
  double seconds = options_.timeout;
  if (request.timeout_us && *request.timeout_us > 0) {
    seconds = std::min(seconds, static_cast<double>(*request.timeout_us) * 1e-6);
  }
  pending.deadline = pending.arrival + ticks(seconds);
  const int64_t bytes = input_bytes(request);
  const bool is_too_large = bytes > memory_.limit();
  if (!is_too_large) pending.memory = memory_.take(bytes);
  std::unique_lock lock(mutex_);
  if (is_closed_) return false;
  const bool is_full = options_.max_queue > 0 && size_ >= static_cast<size_t>(options_.max_queue);
  if (is_full || !pending.memory) {
    const int seconds_left = retry_after();
    lock.unlock();
    counters_.note_failure(ModelStatistics::rejected);
    std::exchange(answer, nullptr)(
        is_too_large ? Refusal::too_large("the inputs are larger than the memory of the server")
                     : Refusal::overloaded("the queue of requests is full", seconds_left));
    return true;
  }
  auto& level = levels_[level_of(request)];
  const bool matches = level.empty() || rows_match(level.back().request, request);
  rows_ += request.rows();
  ++size_;
  first_deadline_ = std::min(first_deadline_, pending.deadline);
  pending.request = std::move(request);
  pending.answer = std::exchange(answer, nullptr);
  level.push_back(std::move(pending));
  const bool is_full_batch = rows_ >= options_.max_batch || !matches;
  if (is_full_batch) is_served_otherwise_ = false;
  if (is_idle_ && is_served_otherwise && !is_full_batch && !is_served_otherwise_) {
    is_served_otherwise_ = is_served_otherwise();
  }
  const bool wakes = is_full_batch || (is_idle_ && !is_served_otherwise_);
  lock.unlock();
  if (wakes) changed_.notify_one();
  return true;
}

RequestQueue::Plan RequestQueue::plan() const {
  Plan plan;
  int64_t rows = 0;
  const PendingRequest* first = nullptr;
  for (const auto& [priority, level] : levels_) {
    for (const auto& pending : level) {
      const bool joins = first == nullptr || (rows + pending.request.rows() <= options_.max_batch &&
                                              rows_match(first->request, pending.request));
      if (!joins) {
        plan.is_full = true;
        return plan;
      }
      if (first == nullptr) first = &pending;
      rows += pending.request.rows();
      ++plan.requests;
      plan.is_full = rows >= options_.max_batch;
      if (plan.is_full) return plan;
    }
  }
  return plan;
}

RequestQueue::Requests RequestQueue::pop(size_t requests) {
  Requests batch;
  batch.reserve(requests);
  while (batch.size() < requests) {
    auto& level = levels_.begin()->second;
    batch.push_back(std::move(level.front()));
    rows_ -= batch.back().request.rows();
    level.pop_front();
    if (level.empty()) levels_.erase(levels_.begin());
  }
  size_ -= requests;
  return batch;
}

RequestQueue::Clock::time_point RequestQueue::oldest() const {
  auto result = Clock::time_point::max();
  for (const auto& [priority, level] : levels_) result = std::min(result, level.front().arrival);
  return result;
}

std::vector<PendingRequest> RequestQueue::take() {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto now = Clock::now();
    if (now >= first_deadline_) {
      auto expired = remove_expired(now);
      lock.unlock();
      answer_expired(std::move(expired));
      lock.lock();
      continue;
    }
    if (size_ == 0) {
      if (is_closed_) return {};
      is_idle_ = true;
      changed_.wait(lock, [this] { return (size_ > 0 && !is_served_otherwise_) || is_closed_; });
      is_idle_ = false;
      continue;
    }
    const Plan next = plan();
    const auto due = oldest() + delay_;
    if (next.is_full || is_closed_ || now >= due) return pop(next.requests);
    changed_.wait_until(lock, std::min(due, first_deadline_));
  }
}

std::vector<PendingRequest> RequestQueue::take_waiting(size_t most) {
  std::unique_lock lock(mutex_);
  is_served_otherwise_ = false;
  if (size_ == 0) return {};
  const Plan next = plan();
  if (next.requests == size_ && size_ <= most && Clock::now() < first_deadline_) return pop(size_);
  lock.unlock();
  changed_.notify_one();
  return {};
}

void RequestQueue::wake() {
  {
    const std::lock_guard lock(mutex_);
    is_served_otherwise_ = false;
  }
  changed_.notify_one();
}

void RequestQueue::close() {
  {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
  }
  changed_.notify_all();
}

RequestQueue::Requests RequestQueue::remove_all() {
  const std::lock_guard lock(mutex_);
  return pop(size_);
}

void RequestQueue::refuse_waiting() {
  for (auto& pending : remove_all()) {
    counters_.note_failure(ModelStatistics::canceled);
    pending.memory = {};
    pending.answer(Refusal::unavailable("the server is ending"));
  }
}

/// Removes those whose deadline has passed, and finds the earliest deadline of the others.
RequestQueue::Requests RequestQueue::remove_expired(Clock::time_point now) {
  Requests expired;
  first_deadline_ = Clock::time_point::max();
  for (auto level = levels_.begin(); level != levels_.end();) {
    std::deque<PendingRequest> kept;
    for (auto& pending : level->second) {
      if (pending.deadline <= now) {
        rows_ -= pending.request.rows();
        --size_;
        expired.push_back(std::move(pending));
      } else {
        first_deadline_ = std::min(first_deadline_, pending.deadline);
        kept.push_back(std::move(pending));
      }
    }
    level->second = std::move(kept);
    level = level->second.empty() ? levels_.erase(level) : std::next(level);
  }
  return expired;
}

void RequestQueue::answer_expired(Requests expired) {
  for (auto& pending : expired) {
    counters_.note_failure(ModelStatistics::rejected);
    pending.memory = {};
    pending.answer(Refusal::expired());
  }
}

void RequestQueue::expire() {
  Requests expired;
  {
    const std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    if (now < first_deadline_) return;
    expired = remove_expired(now);
  }
  answer_expired(std::move(expired));
}

void RequestQueue::note_rate(int64_t rows, double seconds) {
  if (rows <= 0 || !(seconds > 0.0)) return;
  const double rate = static_cast<double>(rows) / seconds;
  const std::lock_guard lock(mutex_);
  constexpr double kShareOfLast = 0.1;
  rows_per_second_ = rows_per_second_ == 0.0
                         ? rate
                         : (1.0 - kShareOfLast) * rows_per_second_ + kShareOfLast * rate;
}

/// Seconds until those that wait are answered, from 1 to 60.
int RequestQueue::retry_after() const {
  if (rows_per_second_ == 0.0) return 1;
  const double seconds = static_cast<double>(rows_) / rows_per_second_;
  return static_cast<int>(std::clamp(std::ceil(seconds), 1.0, 60.0));
}

size_t RequestQueue::size() const {
  const std::lock_guard lock(mutex_);
  return size_;
}

}  // namespace levin
