#pragma once

#include <c10/core/DeviceGuard.h>

#include <levin/framework/tensor/device_graph.h>

namespace levin {

/// Enqueues a kernel of kernels/cuda on the current stream of the GPU or, if the device is the CPU,
/// calls its twin, which does the same there.
template <class Work>
void run_kernel(at::Device device, const Work& work, void (*kernel)(const Work&, void* stream),
                void (*twin)(const Work&)) {
  if (device.is_cpu()) return twin(work);
  const c10::DeviceGuard on_device(device);
  kernel(work, current_stream(device));
}

}  // namespace levin
