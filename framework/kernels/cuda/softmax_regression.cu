// Softmax regression in two kernels. The first has a block for each row: its threads share the
// features, and the logits, the softmax and the loss of the row never leave the block. The second
// has a warp's width of features a block: its warps share the rows, and each thread keeps the sums
// of one feature (or of a few) for some classes in registers. With many rows, blocks share them
// too, and a third kernel adds up what they found. All sums have a fixed order.
#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/kernels/cuda/launch.h>

namespace levin::kernels::cuda {
namespace {

constexpr int kWarp = 32;
constexpr int kRowThreads = 256;  // of a block of the first kernel
constexpr int kRowWarps = kRowThreads / kWarp;
constexpr int kSumWarps = 16;     // of a block of the second kernel
constexpr int kSharedRows = 128;  // whose gradients a block of the second kernel holds at a time
constexpr int kRowsAWarp = kSharedRows / kSumWarps;
constexpr int64_t kRowsASplit = 512;
constexpr int64_t kMostSplits = 16;

__device__ float warp_sum(float value) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(0xffffffffU, value, offset);
  }
  return value;
}

__device__ float warp_max(float value) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    value = fmaxf(value, __shfl_xor_sync(0xffffffffU, value, offset));
  }
  return value;
}

// CLASSES: as many logits are summed in registers at a time.
template <class T, int CLASSES, int N>
__global__ void row_kernel(SoftmaxRegression pass, Convert<T> convert, float multiplier,
                           float* gradients, float* losses) {
  __shared__ float partial[kRowWarps][CLASSES];
  __shared__ float logits[kMostClasses];
  wait_for_previous();
  const int64_t row = blockIdx.x;
  const auto* x = reinterpret_cast<const Pack<T, N>*>(row_at<T>(pass.rows, row));
  const int64_t features = pass.rows.row_size;
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const int classes = static_cast<int>(pass.classes);
  for (int first = 0; first < classes; first += CLASSES) {
    float sums[CLASSES] = {};
    for (int64_t i = threadIdx.x; i < features / N; i += kRowThreads) {
      const Pack<T, N> values = x[i];
#pragma unroll
      for (int c = 0; c < CLASSES; ++c) {
        // A class too many is read as the last one and left out below: without a branch, all reads
        // are under way at once.
        const int64_t from = min(first + c, classes - 1) * features;
        const auto w = reinterpret_cast<const Pack<float, N>*>(pass.weight + from)[i];
#pragma unroll
        for (int k = 0; k < N; ++k) sums[c] = fmaf(convert(values.values[k]), w.values[k], sums[c]);
      }
    }
#pragma unroll
    for (int c = 0; c < CLASSES; ++c) {
      const float sum = warp_sum(sums[c]);
      if (lane == 0) partial[warp][c] = sum;
    }
    __syncthreads();
    if (threadIdx.x < CLASSES && first + threadIdx.x < classes) {
      float sum = pass.bias == nullptr ? 0.0F : pass.bias[first + threadIdx.x];
      for (int k = 0; k < kRowWarps; ++k) sum += partial[k][threadIdx.x];
      logits[first + threadIdx.x] = sum;
    }
    __syncthreads();
  }
  if (warp != 0) return;
  float largest = -INFINITY;
  for (int c = lane; c < classes; c += kWarp) largest = fmaxf(largest, logits[c]);
  largest = warp_max(largest);
  float total = 0.0F;
  for (int c = lane; c < classes; c += kWarp) total += expf(logits[c] - largest);
  total = warp_sum(total);
  const auto label = static_cast<int>(pass.labels[row]);
  for (int c = lane; c < classes; c += kWarp) {
    const float share = expf(logits[c] - largest) / total;
    gradients[row * classes + c] = multiplier * (c == label ? share - 1.0F : share);
  }
  // NaN stays NaN: the largest of NaNs would be -inf.
  if (lane == 0) losses[row] = logf(total) + (largest - logits[label]);
}

// The sums of a block's warps, added up in the order of a tree. `shared` has room for half of them.
template <int CLASSES, int N>
__device__ void add_warps(float (&sums)[CLASSES][N], float* shared, int lane, int warp) {
  constexpr int kSize = CLASSES * N * kWarp;
#pragma unroll
  for (int half = kSumWarps / 2; half > 0; half /= 2) {
    __syncthreads();
    if (warp >= half && warp < 2 * half) {
#pragma unroll
      for (int c = 0; c < CLASSES; ++c) {
#pragma unroll
        for (int k = 0; k < N; ++k) {
          shared[(warp - half) * kSize + (c * N + k) * kWarp + lane] = sums[c][k];
        }
      }
    }
    __syncthreads();
    if (warp < half) {
#pragma unroll
      for (int c = 0; c < CLASSES; ++c) {
#pragma unroll
        for (int k = 0; k < N; ++k) {
          sums[c][k] += shared[warp * kSize + (c * N + k) * kWarp + lane];
        }
      }
    }
  }
}

// Block (x, y, z) sums features x * kWarp * N and on, of split y of the rows, for the classes from
// z * CLASSES on. Behind the last feature there is one of ones, whose sum is the bias's gradient.
// One more block in x sums the losses.
template <class T, int CLASSES, int N>
__global__ void gradient_kernel(SoftmaxRegression pass, Convert<T> convert, const float* gradients,
                                const float* losses, int64_t rows_a_split, float* weight_sums,
                                float* bias_sums) {
  extern __shared__ float shared[];
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const int64_t features = pass.rows.row_size;
  const int64_t count = pass.rows.count;
  if (blockIdx.x == gridDim.x - 1) {
    wait_for_previous();
    if (blockIdx.y != 0 || blockIdx.z != 0) return;
    double sum = 0.0;
    for (int64_t row = threadIdx.x; row < count; row += blockDim.x) sum += losses[row];
    auto* sums = reinterpret_cast<double*>(shared);
    sums[threadIdx.x] = sum;
    for (int half = kSumWarps * kWarp / 2; half > 0; half /= 2) {
      __syncthreads();
      if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0) *pass.loss = static_cast<float>(sums[0] / static_cast<double>(count));
    return;
  }
  const int classes = static_cast<int>(pass.classes);
  const int first_class = static_cast<int>(blockIdx.z) * CLASSES;
  const int64_t feature = (static_cast<int64_t>(blockIdx.x) * kWarp + lane) * N;
  const int64_t begin = blockIdx.y * rows_a_split;
  const int64_t end = min(begin + rows_a_split, count);
  float sums[CLASSES][N] = {};
  Pack<T, N> packs[kRowsAWarp] = {};
  const auto load = [&](int64_t base) {
#pragma unroll
    for (int k = 0; k < kRowsAWarp; ++k) {
      const int64_t row = base + warp + k * kSumWarps;
      if (feature < features && row < end) {
        packs[k] = *reinterpret_cast<const Pack<T, N>*>(row_at<T>(pass.rows, row) + feature);
      }
    }
  };
  // The rows don't come from the kernel before this one, which has waited for those that they may
  // come from; so they are read while it still runs.
  load(begin);
  wait_for_previous();
  for (int64_t base = begin; base < end; base += kSharedRows) {
    const int rows = static_cast<int>(min(static_cast<int64_t>(kSharedRows), end - base));
    if (base != begin) load(base);
    __syncthreads();
    for (int i = threadIdx.x; i < rows * CLASSES; i += blockDim.x) {
      const int c = first_class + i % CLASSES;
      shared[i] = c < classes ? gradients[(base + i / CLASSES) * classes + c] : 0.0F;
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < kRowsAWarp; ++j) {
      const int r = warp + j * kSumWarps;
      if (r >= rows) break;
      float values[N];
#pragma unroll
      for (int k = 0; k < N; ++k) {
        values[k] = feature < features ? convert(packs[j].values[k]) : 1.0F;
      }
#pragma unroll
      for (int c = 0; c < CLASSES; ++c) {
        const float gradient = shared[r * CLASSES + c];
#pragma unroll
        for (int k = 0; k < N; ++k) sums[c][k] = fmaf(gradient, values[k], sums[c][k]);
      }
    }
  }
  add_warps<CLASSES, N>(sums, shared, lane, warp);
  if (warp != 0 || feature > features) return;
  weight_sums += static_cast<int64_t>(blockIdx.y) * classes * features;
#pragma unroll
  for (int c = 0; c < CLASSES; ++c) {
    if (first_class + c >= classes) break;
    if (feature == features) {
      if (bias_sums != nullptr) bias_sums[blockIdx.y * classes + first_class + c] = sums[c][0];
      continue;
    }
#pragma unroll
    for (int k = 0; k < N; ++k)
      weight_sums[(first_class + c) * features + feature + k] = sums[c][k];
  }
}

__global__ void add_splits_kernel(const float* sums, int64_t size, int64_t splits, float* out) {
  wait_for_previous();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= size) return;
  float sum = sums[i];
  for (int64_t split = 1; split < splits; ++split) sum += sums[split * size + i];
  out[i] = sum;
}

int64_t splits_of(int64_t rows) {
  return std::clamp<int64_t>(parts_of(rows, kRowsASplit), 1, kMostSplits);
}

// N: values that a thread reads at a time in the first kernel; SUM_N: features a thread in the
// second.
template <class T, int CLASSES, int N, int SUM_N>
void launch_pass(const SoftmaxRegression& pass, cudaStream_t stream) {
  const int64_t count = pass.rows.count;
  const int64_t features = pass.rows.row_size;
  const Convert<T> convert{pass.rows.scale, pass.rows.zero_point};
  float* const gradients = pass.scratch;
  float* const losses = gradients + count * pass.classes;
  const int64_t splits = splits_of(count);
  float* const weight_sums = splits == 1 ? pass.weight_gradient : losses + count;
  float* const bias_sums = pass.bias_gradient == nullptr ? nullptr
                           : splits == 1                 ? pass.bias_gradient
                                         : weight_sums + splits * pass.classes * features;
  const float multiplier = static_cast<float>(1.0 / static_cast<double>(count));
  constexpr const char* kName = "softmax_regression";
  launch(kName, row_kernel<T, CLASSES, N>, static_cast<unsigned>(count), kRowThreads, 0, stream,
         pass, convert, multiplier, gradients, losses);
  const dim3 grid(static_cast<unsigned>(parts_of(features / SUM_N + 1, kWarp) + 1),
                  static_cast<unsigned>(splits),
                  static_cast<unsigned>(parts_of(pass.classes, CLASSES)));
  constexpr size_t kSums = sizeof(float) * (kSumWarps / 2) * CLASSES * SUM_N * kWarp;
  constexpr size_t kRows = sizeof(float) * kSharedRows * CLASSES;
  constexpr size_t kLosses = sizeof(double) * kSumWarps * kWarp;
  constexpr size_t kShared = std::max({kSums, kRows, kLosses});
  static_assert(kShared <= 48 * 1024);
  launch(kName, gradient_kernel<T, CLASSES, SUM_N>, grid, kSumWarps * kWarp, kShared, stream, pass,
         convert, gradients, losses, parts_of(count, splits), weight_sums, bias_sums);
  if (splits == 1) return;
  const auto add = [&](const float* sums, int64_t size, float* out) {
    launch(kName, add_splits_kernel, static_cast<unsigned>(parts_of(size, 256)), 256, 0, stream,
           sums, size, splits, out);
  };
  add(weight_sums, pass.classes * features, pass.weight_gradient);
  if (bias_sums != nullptr) add(bias_sums, pass.classes, pass.bias_gradient);
}

template <class T, int N, int SUM_N>
void launch_pass(const SoftmaxRegression& pass, cudaStream_t stream) {
  if (pass.classes <= 4) {
    launch_pass<T, 4, N, SUM_N>(pass, stream);
  } else {
    launch_pass<T, 10, N, SUM_N>(pass, stream);
  }
}

template <class T>
void launch_pass(const SoftmaxRegression& pass, cudaStream_t stream) {
  constexpr int64_t kManyFeatures =
      16'384;  // so that four a thread leave a block for each processor
  const bool is_aligned = pass.rows.row_size % 4 == 0 &&
                          reinterpret_cast<uintptr_t>(pass.rows.data) % (4 * sizeof(T)) == 0 &&
                          reinterpret_cast<uintptr_t>(pass.weight) % (4 * sizeof(float)) == 0;
  if (!is_aligned) {
    launch_pass<T, 1, 1>(pass, stream);
  } else if (pass.rows.row_size < kManyFeatures) {
    launch_pass<T, 4, 1>(pass, stream);
  } else {
    launch_pass<T, 4, 4>(pass, stream);
  }
}

}  // namespace

int64_t scratch_size(const SoftmaxRegression& pass) {
  const int64_t splits = splits_of(pass.rows.count);
  const int64_t rows = pass.rows.count * (pass.classes + 1);
  return splits == 1 ? rows : rows + splits * pass.classes * (pass.rows.row_size + 1);
}

void softmax_regression(const SoftmaxRegression& pass, void* stream) {
  if (pass.rows.type == RowView::Type::float32) {
    launch_pass<float>(pass, stream_of(stream));
  } else {
    launch_pass<uint8_t>(pass, stream_of(stream));
  }
}

}  // namespace levin::kernels::cuda
