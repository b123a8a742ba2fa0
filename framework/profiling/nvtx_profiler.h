#pragma once

#include <levin/framework/profiling/profiler.h>

namespace levin {

/// Marks the parts of a run as NVTX ranges, which NVIDIA's Nsight Systems shows beside the kernels
/// of the GPU, besides adding up the numbers of SimpleProfiler. Lightning:
/// PyTorchProfiler(emit_nvtx=True).
///
///     nsys profile levin fit -c config.yaml --trainer.profiler=nvtx
///
/// Ranges are named as in Profile::table ("forward", "backward" ...) and nest. A program that isn't
/// run by such a tool spends some nanoseconds on each. NVTX is made of headers, which come with the
/// CUDA toolkit and with LibTorch's wheels; a build without them has no NvtxProfiler.
class NvtxProfiler : public SimpleProfiler {
 public:
  /// Whether this build has NVTX.
  static bool is_available();
  /// Throws ConfigError if it hasn't.
  NvtxProfiler();

  void begin(Part part) override;
  void end(Part part) override;
};

}  // namespace levin
