#include <levin/framework/tensor/device_graph.h>

#include <c10/core/impl/VirtualGuardImpl.h>

#ifdef LEVIN_HAS_CUDA_GRAPHS
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace levin {

#ifdef LEVIN_HAS_CUDA_GRAPHS
namespace {

/// A stream can be recorded only if it isn't the default one, so the work is recorded on a stream
/// of its own.
class CudaGraph : public DeviceGraph {
 public:
  explicit CudaGraph(at::Device device) : device_(device) {}

  void record(const std::function<void()>& work) override {
    const c10::cuda::CUDAGuard on_device(device_);
    const auto stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device_.index());
    at::cuda::CUDAEvent before;
    before.record(c10::cuda::getCurrentCUDAStream(device_.index()));
    before.block(stream);
    const c10::cuda::CUDAStreamGuard on_stream(stream);
    // Other threads, such as those of a loader, may allocate memory meanwhile.
    graph_.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    try {
      work();
    } catch (...) {
      try {
        graph_.capture_end();
      } catch (...) {  // the first error says what is wrong
      }
      throw;
    }
    graph_.capture_end();
  }

  void replay() override { graph_.replay(); }

 private:
  at::Device device_;
  at::cuda::CUDAGraph graph_;
};

at::Device with_index(at::Device device) {
  if (device.has_index()) return device;
  return {device.type(), c10::cuda::current_device()};
}

}  // namespace

std::unique_ptr<DeviceGraph> make_device_graph(at::Device device) {
  if (!device.is_cuda()) return nullptr;
  return std::make_unique<CudaGraph>(with_index(device));
}

#else

std::unique_ptr<DeviceGraph> make_device_graph(at::Device /*device*/) { return nullptr; }

#endif

void* current_stream(at::Device device) {
  const c10::impl::VirtualGuardImpl guard(device.type());
  const at::Device own = device.has_index() ? device : guard.getDevice();
  return guard.getStream(own).native_handle();
}

}  // namespace levin
