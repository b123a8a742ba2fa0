#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include <levin/framework/core/error.h>

namespace levin::kernels::cuda {

/// Throws for the error of the launch that came last, if there was one.
inline void check_launch(const char* kernel) {
  const cudaError_t status = cudaGetLastError();
  if (status == cudaSuccess) return;
  throw Error(std::string("the CUDA kernel ") + kernel +
              " can't be started: " + cudaGetErrorString(status));
}

inline cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }

/// The number of parts of `size` that cover `count`.
constexpr int64_t parts_of(int64_t count, int64_t size) { return (count + size - 1) / size; }

/// One value of a row as a float: a float as it is, a byte as the number that it stands for.
template <class T>
struct Convert {
  float scale, zero_point;
  __device__ float operator()(T value) const;
};
template <>
__device__ inline float Convert<float>::operator()(float value) const {
  return value;
}
template <>
__device__ inline float Convert<uint8_t>::operator()(uint8_t value) const {
  return (static_cast<float>(value) - zero_point) * scale;
}

}  // namespace levin::kernels::cuda
