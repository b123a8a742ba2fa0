#pragma once

#include <levin/framework/kernels/cuda/kernels.h>

/// Logged values that the kernels of optimizers add to their sums beside their own work. For the
/// sources of this folder.
namespace levin::kernels::cuda {

struct LogList {
  static constexpr int kMost = 4;
  LogValue values[kMost];
  int count = 0;
};

/// Takes what this thread has deferred for `stream`.
LogList take_deferred(void* stream);

#ifdef __CUDACC__
__device__ inline void add_logged(const LogValue& log) {
  const double product = __dmul_rn(static_cast<double>(*log.value), log.weight);
  if (log.window != nullptr) *log.window = product;
  if (log.epoch != nullptr) *log.epoch = __dadd_rn(*log.epoch, product);
}

/// Adds all of them, by the last warp of block 0, one after the other: two may have the same sum.
__device__ inline void add_logged(const LogList& list) {
  if (blockIdx.x != 0 || threadIdx.x + 1 != blockDim.x) return;
  for (int i = 0; i < list.count; ++i) add_logged(list.values[i]);
}
#endif

}  // namespace levin::kernels::cuda
