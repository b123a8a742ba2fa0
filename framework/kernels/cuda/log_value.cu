// Logged values and their sums.
#include <levin/framework/kernels/cuda/deferred.h>
#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/kernels/cuda/launch.h>

namespace levin::kernels::cuda {
namespace {

__global__ void log_kernel(LogList list) {
  wait_for_previous();
  add_logged(list);
}

void start(const LogList& list, void* stream) {
  if (list.count > 0) launch("log_value", log_kernel, 1, 1, 0, stream_of(stream), list);
}

struct Deferred {
  LogList list;
  void* stream = nullptr;
};

Deferred& deferred() {
  thread_local Deferred own;
  return own;
}

}  // namespace

void log_value(const LogValue& log, void* stream) {
  LogList list;
  list.values[list.count++] = log;
  start(list, stream);
}

void defer_log_value(const LogValue& log, void* stream) {
  Deferred& own = deferred();
  if (own.stream != stream || own.list.count == LogList::kMost) log_deferred(own.stream);
  own.stream = stream;
  own.list.values[own.list.count++] = log;
}

void log_deferred(void* stream) { start(take_deferred(stream), stream); }

void drop_deferred() { deferred().list.count = 0; }

LogList take_deferred(void* stream) {
  Deferred& own = deferred();
  LogList taken;
  if (own.stream != stream) return taken;
  taken = own.list;
  own.list.count = 0;
  return taken;
}

}  // namespace levin::kernels::cuda
