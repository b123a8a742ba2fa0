#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include <levin/framework/core/error.h>
#include <levin/framework/kernels/cpu/kernels.h>

namespace levin::kernels::cuda {

/// Throws unless the kernel could be started: by default, for the error of the last start.
inline void check_launch(const char* kernel, cudaError_t status = cudaGetLastError()) {
  if (status == cudaSuccess) return;
  throw Error(std::string("the CUDA kernel ") + kernel +
              " can't be started: " + cudaGetErrorString(status));
}

/// Whether a kernel may be started on the current device while the one before it still runs
/// (compute capability 9.0 and later).
inline bool starts_early() {
  constexpr int kMostDevices = 64;
  static signed char known[kMostDevices] = {};  // 0: unknown; a race writes the same value
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess || device >= kMostDevices) return false;
  if (known[device] == 0) {
    int major = 0;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    known[device] = major >= 9 ? 1 : -1;
  }
  return known[device] > 0;
}

/// Every kernel that `launch` starts calls this first: until then, the kernel before it may still
/// be running. Its own successor may be started from now on, and waits here in turn.
__device__ inline void wait_for_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

/// Starts a kernel behind the other work of the stream. The time that a start takes is hidden
/// behind the kernel before it, if the device can do that.
template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
            cudaStream_t stream, Arguments&&... arguments) {
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = stream;
  config.attrs = &early;
  config.numAttrs = starts_early() ? 1 : 0;
  check_launch(name, cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
}

inline cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }

/// The number of parts of `size` that cover `count`.
constexpr int64_t parts_of(int64_t count, int64_t size) { return (count + size - 1) / size; }

/// N values at a time, in one access of the memory if they are aligned.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T values[N];
};

/// The first value of a row.
template <class T>
__device__ inline const T* row_at(const RowView& rows, int64_t row) {
  const int64_t number = rows.numbers == nullptr ? row : rows.numbers[row];
  return static_cast<const T*>(rows.data) + number * rows.row_size;
}

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
