#include <levin/framework/profiling/communication_log.h>

#include <utility>

#include <levin/framework/core/files.h>
#include <levin/framework/profiling/profiler.h>

namespace levin {
namespace {

constexpr double kUnderWay = -1.0;

}  // namespace

void CommunicationLog::begin() {
  const std::lock_guard lock(mutex_);
  ++step_;
  reduction_.collectives.clear();
}

CommunicationLog::Ticket CommunicationLog::started(int64_t bytes) {
  const double now = files::monotonic_seconds();
  const std::lock_guard lock(mutex_);
  reduction_.collectives.push_back({.begin = now, .end = kUnderWay, .bytes = bytes});
  return {step_, reduction_.collectives.size() - 1};
}

void CommunicationLog::ended(Ticket ticket) {
  const double now = files::monotonic_seconds();
  const std::lock_guard lock(mutex_);
  if (ticket.step == step_) reduction_.collectives[ticket.index].end = now;
}

const Reduction& CommunicationLog::finish() {
  const double now = files::monotonic_seconds();
  const std::lock_guard lock(mutex_);
  ++step_;
  reduction_.end = reduction_.ready = now;
  for (auto& one : reduction_.collectives) {
    if (one.end == kUnderWay) one.end = now;
  }
  if (!reduction_.collectives.empty()) reduction_.ready = reduction_.collectives.back().begin;
  return reduction_;
}

void ExchangeLog::report_to(Profiler* profiler) {
  const std::lock_guard lock(mutex_);
  of_other_threads_.clear();
  thread_ = std::this_thread::get_id();
  profiler_ = profiler;
}

void ExchangeLog::add(const Exchange& exchange) {
  std::vector<Exchange> waiting;
  Profiler* profiler = nullptr;
  {
    const std::lock_guard lock(mutex_);
    profiler = profiler_;
    if (profiler == nullptr) return;
    if (std::this_thread::get_id() != thread_) return of_other_threads_.push_back(exchange);
    waiting = std::exchange(of_other_threads_, {});
  }
  for (const auto& one : waiting) profiler->exchanged(one);
  profiler->exchanged(exchange);
}

int64_t ExchangeLog::broadcast_bytes(int64_t bytes, int64_t rank, int64_t world_size) {
  int64_t sent = 0;
  // In each turn, the first `distance` ranks have the bytes, and send them to as many others.
  for (int64_t distance = 1; distance < world_size; distance *= 2) {
    if (rank < distance && rank + distance < world_size) sent += bytes;
  }
  return sent;
}

double ExchangeLog::now() { return files::monotonic_seconds(); }

void ExchangeLog::add_until_now(ExchangeKind kind, double begin, int64_t bytes) {
  const double end = now();
  add({.kind = kind, .begin = begin, .end = end, .waiting = end - begin, .bytes = bytes});
}

}  // namespace levin
