// The steps of optimizers.
#include <cmath>

#include <levin/framework/kernels/cuda/launch.h>
#include <levin/framework/kernels/cuda/optimizers.h>

namespace levin::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kEntriesAThread = 4;
constexpr int64_t kEntriesABlock = kThreads * kEntriesAThread;
// Parameters of one launch: their pointers are arguments of the kernel, which may take 4 KiB.
constexpr size_t kMostParameters = 48;

struct AdamList {
  AdamParameter parameters[kMostParameters];
  int64_t first_blocks[kMostParameters + 1];  // of each parameter
  bool are_aligned[kMostParameters];
  int count;
};

bool is_aligned(const AdamParameter& parameter) {
  const auto fits = [](const float* memory) {
    return reinterpret_cast<uintptr_t>(memory) % alignof(float4) == 0;
  };
  return fits(parameter.parameter) && fits(parameter.gradient) && fits(parameter.mean) &&
         fits(parameter.mean_square);
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

// Block b changes the entries of one parameter from (b - its first block) * kEntriesABlock on.
// Every block reads the count of steps, so only the parameter's last block to finish may change it:
// the blocks count themselves in `finished`.
__global__ void adam_kernel(AdamList list, AdamNumbers numbers, unsigned* finished) {
  wait_for_previous();
  if (numbers.found_inf != nullptr && *numbers.found_inf != 0.0F) return;
  int index = 0;
  while (blockIdx.x >= list.first_blocks[index + 1]) ++index;
  const AdamParameter& own = list.parameters[index];
  const float step = *own.step + 1.0F;
  // 1 - beta^step, without losing the digits of a beta near 1.
  const float correction1 = -expm1f(step * numbers.log_beta1);
  const float correction2 = sqrtf(-expm1f(step * numbers.log_beta2));
  const float step_size = *numbers.learning_rate / correction1;
  const float shrink = 1.0F - *numbers.learning_rate * numbers.weight_decay;
  const int64_t first = (blockIdx.x - list.first_blocks[index]) * kEntriesABlock +
                        static_cast<int64_t>(threadIdx.x) * kEntriesAThread;
  // All reads come before the arithmetic, so that they are waited for once.
  const bool is_packed = list.are_aligned[index] && first + kEntriesAThread <= own.size;
  const Entries parameters = read(own.parameter, first, own.size, is_packed);
  Entries gradients = read(own.gradient, first, own.size, is_packed);
  Entries means = read(own.mean, first, own.size, is_packed);
  Entries mean_squares = read(own.mean_square, first, own.size, is_packed);
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
  __syncthreads();
  if (threadIdx.x != 0) return;
  const auto blocks =
      static_cast<unsigned>(list.first_blocks[index + 1] - list.first_blocks[index]);
  if (atomicAdd(&finished[index], 1U) + 1U != blocks) return;
  finished[index] = 0;
  *own.step = step;
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
  for (size_t first = 0; first < step.parameters.size(); first += kMostParameters) {
    const auto part =
        step.parameters.subspan(first, std::min(kMostParameters, step.parameters.size() - first));
    AdamList list{};
    int64_t blocks = 0;
    for (const AdamParameter& parameter : part) {
      list.parameters[list.count] = parameter;
      list.are_aligned[list.count] = is_aligned(parameter);
      list.first_blocks[list.count++] = blocks;
      blocks += std::max<int64_t>(parts_of(parameter.size, kEntriesABlock), 1);
    }
    list.first_blocks[list.count] = blocks;
    launch("adam_step", adam_kernel, static_cast<unsigned>(blocks), kThreads, 0, stream_of(stream),
           list, numbers, counters());
  }
}

}  // namespace levin::kernels::cuda
