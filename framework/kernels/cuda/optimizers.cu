// The steps of optimizers.
#include <cmath>
#include <initializer_list>

#include <levin/framework/kernels/cuda/deferred.h>
#include <levin/framework/kernels/cuda/launch.h>
#include <levin/framework/kernels/cuda/optimizers.h>

namespace levin::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kEntriesAThread = 4;
constexpr int64_t kEntriesABlock = kThreads * kEntriesAThread;
// Parameters of one launch: their pointers are arguments of the kernel, which may take 4 KiB.
constexpr size_t kMostParameters = 32;

// What one start of a kernel changes: parameters, and the blocks that share each of them.
template <class Parameter>
struct List {
  Parameter parameters[kMostParameters];
  int64_t first_blocks[kMostParameters + 1];
  bool are_aligned[kMostParameters];
  int count;
};

bool are_aligned(std::initializer_list<const float*> memory) {
  return std::all_of(memory.begin(), memory.end(), [](const float* one) {
    return reinterpret_cast<uintptr_t>(one) % alignof(float4) == 0;
  });
}

bool is_aligned(const AdamParameter& parameter) {
  return are_aligned(
      {parameter.parameter, parameter.gradient, parameter.mean, parameter.mean_square});
}

bool is_aligned(const SgdParameter& parameter) {
  return are_aligned({parameter.parameter, parameter.gradient});
}

/// Calls `start` with lists of at most kMostParameters parameters, and with the number of blocks.
template <class Parameter, class Start>
void for_lists(std::span<const Parameter> parameters, const Start& start) {
  for (size_t first = 0; first < parameters.size(); first += kMostParameters) {
    List<Parameter> list{};
    int64_t blocks = 0;
    for (const Parameter& parameter :
         parameters.subspan(first, std::min(kMostParameters, parameters.size() - first))) {
      list.parameters[list.count] = parameter;
      list.are_aligned[list.count] = is_aligned(parameter);
      list.first_blocks[list.count++] = blocks;
      blocks += std::max<int64_t>(parts_of(parameter.size, kEntriesABlock), 1);
    }
    list.first_blocks[list.count] = blocks;
    start(list, static_cast<unsigned>(blocks));
  }
}

struct AdamNumbers {
  const float* learning_rate;
  const float* grad_scale;
  const float* found_inf;
  float log_beta1, log_beta2;
  float take1, keep2, take2;  // 1 - beta1, beta2, 1 - beta2
  float eps, weight_decay;
  bool decoupled_weight_decay, maximize;
};

// The entries of a thread, read and written in one access if they lie on a boundary of 16 bytes.
struct alignas(16) Entries {
  float values[kEntriesAThread];
};

__device__ Entries read(const float* from, int64_t first, int64_t size, bool is_packed) {
  if (is_packed) return *reinterpret_cast<const Entries*>(from + first);
  Entries entries{};
#pragma unroll
  for (int k = 0; k < kEntriesAThread; ++k) {
    if (first + k < size) entries.values[k] = from[first + k];
  }
  return entries;
}

__device__ void write(const Entries& entries, float* to, int64_t first, int64_t size,
                      bool is_packed) {
  if (is_packed) {
    *reinterpret_cast<Entries*>(to + first) = entries;
    return;
  }
#pragma unroll
  for (int k = 0; k < kEntriesAThread; ++k) {
    if (first + k < size) to[first + k] = entries.values[k];
  }
}

/// The parameter that this block changes, and the first entry of this thread.
template <class Parameter>
__device__ int own_parameter(const List<Parameter>& list) {
  int index = 0;
  while (blockIdx.x >= list.first_blocks[index + 1]) ++index;
  return index;
}

template <class Parameter>
__device__ int64_t first_entry(const List<Parameter>& list, int index) {
  return (blockIdx.x - list.first_blocks[index]) * kEntriesABlock +
         static_cast<int64_t>(threadIdx.x) * kEntriesAThread;
}

// Block b changes the entries of one parameter from (b - its first block) * kEntriesABlock on.
__global__ void adam_kernel(List<AdamParameter> list, AdamNumbers numbers, unsigned* finished,
                            LogList logged) {
  wait_for_previous();
  add_logged(logged);
  if (numbers.found_inf != nullptr && *numbers.found_inf != 0.0F) return;
  const int index = own_parameter(list);
  const AdamParameter& own = list.parameters[index];
  const float step = *own.step + 1.0F;
  // 1 - beta^step, without losing the digits of a beta near 1.
  const float correction1 = -expm1f(step * numbers.log_beta1);
  const float correction2 = sqrtf(-expm1f(step * numbers.log_beta2));
  const float step_size = *numbers.learning_rate / correction1;
  const float shrink = 1.0F - *numbers.learning_rate * numbers.weight_decay;
  const int64_t first = first_entry(list, index);
  // All reads come before the arithmetic, so that they are waited for once.
  const bool is_packed = list.are_aligned[index] && first + kEntriesAThread <= own.size;
  const Entries parameters = read(own.parameter, first, own.size, is_packed);
  Entries gradients = read(own.gradient, first, own.size, is_packed);
  Entries means = read(own.mean, first, own.size, is_packed);
  Entries mean_squares = read(own.mean_square, first, own.size, is_packed);
  // Once every block of the parameter has read the count, the last one may change it. The blocks
  // count themselves in `finished`, while the entries are on their way.
  __syncthreads();
  bool reads_last = false;
  if (threadIdx.x == 0) {
    const auto blocks =
        static_cast<unsigned>(list.first_blocks[index + 1] - list.first_blocks[index]);
    reads_last = atomicAdd(&finished[index], 1U) + 1U == blocks;
    if (reads_last) finished[index] = 0;
  }
  Entries results;
#pragma unroll
  for (int k = 0; k < kEntriesAThread; ++k) {
    float parameter = parameters.values[k];
    float gradient = gradients.values[k];
    if (numbers.grad_scale != nullptr) gradients.values[k] = gradient /= *numbers.grad_scale;
    if (numbers.maximize) gradient = -gradient;
    if (numbers.decoupled_weight_decay) {
      parameter *= shrink;
    } else if (numbers.weight_decay != 0.0F) {
      gradient += numbers.weight_decay * parameter;
    }
    const float mean = means.values[k] + numbers.take1 * (gradient - means.values[k]);
    const float mean_square =
        numbers.keep2 * mean_squares.values[k] + numbers.take2 * gradient * gradient;
    means.values[k] = mean;
    mean_squares.values[k] = mean_square;
    results.values[k] =
        parameter - step_size * mean / (sqrtf(mean_square) / correction2 + numbers.eps);
  }
  write(means, own.mean, first, own.size, is_packed);
  write(mean_squares, own.mean_square, first, own.size, is_packed);
  write(results, own.parameter, first, own.size, is_packed);
  if (numbers.grad_scale != nullptr) write(gradients, own.gradient, first, own.size, is_packed);
  if (reads_last) *own.step = step;
}

__global__ void sgd_kernel(List<SgdParameter> list, const float* learning_rate, float weight_decay,
                           bool maximize, LogList logged) {
  wait_for_previous();
  add_logged(logged);
  const int index = own_parameter(list);
  const SgdParameter& own = list.parameters[index];
  const int64_t first = first_entry(list, index);
  const bool is_packed = list.are_aligned[index] && first + kEntriesAThread <= own.size;
  Entries parameters = read(own.parameter, first, own.size, is_packed);
  const Entries gradients = read(own.gradient, first, own.size, is_packed);
  const float rate = *learning_rate;
#pragma unroll
  for (int k = 0; k < kEntriesAThread; ++k) {
    float gradient = maximize ? -gradients.values[k] : gradients.values[k];
    if (weight_decay != 0.0F) gradient += weight_decay * parameters.values[k];
    parameters.values[k] -= rate * gradient;
  }
  write(parameters, own.parameter, first, own.size, is_packed);
}

/// Counters that are 0 between two kernels of a stream, on the current device. Kernels of two
/// streams that run at the same time must not share them; training has one stream a device.
unsigned* counters() {
  constexpr int kMostDevices = 64;
  static unsigned* known[kMostDevices] = {};
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess || device >= kMostDevices) {
    throw Error("no CUDA device is current, or its number is above 63");
  }
  if (known[device] == nullptr) {
    unsigned* memory = nullptr;
    if (cudaMalloc(&memory, kMostParameters * sizeof(unsigned)) != cudaSuccess ||
        cudaMemset(memory, 0, kMostParameters * sizeof(unsigned)) != cudaSuccess) {
      throw Error("the CUDA device has no memory left for the optimizer's counters");
    }
    known[device] = memory;
  }
  return known[device];
}

}  // namespace

void adam_step(const AdamStep& step, void* stream) {
  const AdamNumbers numbers{step.learning_rate,
                            step.grad_scale,
                            step.found_inf,
                            static_cast<float>(std::log(step.beta1)),
                            static_cast<float>(std::log(step.beta2)),
                            static_cast<float>(1.0 - step.beta1),
                            static_cast<float>(step.beta2),
                            static_cast<float>(1.0 - step.beta2),
                            static_cast<float>(step.eps),
                            static_cast<float>(step.weight_decay),
                            step.decoupled_weight_decay,
                            step.maximize};
  for_lists(step.parameters, [&](const List<AdamParameter>& list, unsigned blocks) {
    launch("adam_step", adam_kernel, blocks, kThreads, 0, stream_of(stream), list, numbers,
           counters(), take_deferred(stream));
  });
}

void sgd_step(const SgdStep& step, void* stream) {
  for_lists(step.parameters, [&](const List<SgdParameter>& list, unsigned blocks) {
    launch("sgd_step", sgd_kernel, blocks, kThreads, 0, stream_of(stream), list, step.learning_rate,
           static_cast<float>(step.weight_decay), step.maximize, take_deferred(stream));
  });
}

}  // namespace levin::kernels::cuda
