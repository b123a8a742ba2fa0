#pragma once

// Work on a device that is recorded once and then repeated as a whole (a CUDA graph), and the
// stream that hand-written kernels are started on.

#include <c10/core/Device.h>

#include <functional>
#include <memory>
#include <utility>

namespace levin {

/// A piece of work that is repeated many times. Starting the kernels of a small training step one
/// by one takes the host longer than the GPU needs to run them; repeated as a graph, they need a
/// single start.
///
///     auto graph = make_device_graph(device);        // null: the device has no graphs
///     graph->record([&] { train_on(batch); });       // nothing runs yet
///     while (...) {
///       fill(batch);                                 // the same memory each time
///       graph->replay();
///     }
///
/// What the work does on the host (decisions, numbers passed to kernels) happens once, while it is
/// recorded. Each replay reads and writes the same memory; what the work allocates belongs to the
/// graph.
class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
  /// Calls `work` and records what it enqueues on the device, without running it. Called once.
  /// What `work` throws passes through; the graph is of no use then. So does LibTorch's error if
  /// `work` waits for the device or does something else that can't be recorded.
  virtual void record(const std::function<void()>& work) = 0;
  /// Enqueues the recorded work on the current stream of the device. Doesn't wait for it.
  virtual void replay() = 0;
};

/// The twin of a device's graph that works anywhere: each replay calls `work` again. What it does
/// on the host therefore happens in each replay, and not while it is recorded.
class RepeatedWork : public DeviceGraph {
 public:
  void record(const std::function<void()>& work) override { work_ = work; }
  void replay() override { work_(); }

 private:
  std::function<void()> work_;
};

/// Returns a graph for that device; null for devices that have none, and in builds without CUDA
/// kernels.
std::unique_ptr<DeviceGraph> make_device_graph(at::Device device);

/// The current stream of a device, as the cudaStream_t that kernels::cuda takes.
void* current_stream(at::Device device);

}  // namespace levin
