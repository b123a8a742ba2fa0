#include <levin/framework/profiling/communication_log.h>

#include <levin/framework/core/files.h>

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

}  // namespace levin
