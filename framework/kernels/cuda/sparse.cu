// Products of sparse rows, and the passes of regressions over them.
//
// What bounds these kernels is the memory's transactions. The columns and values of a row are read
// once, 8 bytes an entry, side by side; but each entry also needs a number of the weight, and of
// its gradient, at a place of its own, of which a sector of 32 bytes is moved. For 39 entries and
// one output these are 0.3 KiB a row in order and 1.2 KiB out of order, twice that with the
// gradient. A weight of 2^20 columns, 4 MiB, stays in the second-level cache, whose rate of sectors
// is then the bound; from about 2^23 columns on, it is that of the memory. So a row is shared by as
// few threads as read a whole sector of columns, and many rows are under way at once.
#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/kernels/cuda/launch.h>
#include <levin/framework/kernels/cuda/sparse.h>

namespace levin::kernels::cuda {
namespace {

constexpr int kSparseThreads = 256;
/// Many outputs are shared by blocks.
constexpr int64_t kOutputsOfBlock = 32;
constexpr unsigned kAllLanes = 0xffffffffU;

/// The sum over the LANES neighbours that share a row. All threads of the warp must call it.
template <int LANES>
__device__ float row_sum(float value) {
#pragma unroll
  for (int offset = LANES / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, offset);
  }
  return value;
}

template <int LANES>
__device__ float row_max(float value) {
#pragma unroll
  for (int offset = LANES / 2; offset > 0; offset /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, offset));
  }
  return value;
}

/// The row of a thread, its place among those who share it, and the entries of the row; none for a
/// row behind the last one.
template <int LANES>
struct OwnRow {
  int64_t row, begin, end;
  int lane;
  bool is_there;

  __device__ explicit OwnRow(const SparseView& rows) {
    row = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / LANES;
    lane = threadIdx.x % LANES;
    is_there = row < rows.count;
    begin = is_there ? rows.offsets[row] : 0;
    end = is_there ? rows.offsets[row + 1] : 0;
  }
};

__device__ float value_of(const SparseView& rows, int64_t entry) {
  return rows.values == nullptr ? 1.0F : rows.values[entry];
}

/// Calls take(output, product) for each output from `begin` to `end` - 1 with the product of the
/// row and its weights. OUTPUTS of them are summed at a time, so that as many reads are under way.
template <int LANES, int OUTPUTS, class Take>
__device__ void for_products(const SparseView& rows, const float* weight, const float* bias,
                             int begin, int end, const OwnRow<LANES>& own, const Take& take) {
  for (int first = begin; first < end; first += OUTPUTS) {
    float sums[OUTPUTS] = {};
    for (int64_t entry = own.begin + own.lane; entry < own.end; entry += LANES) {
      const float value = value_of(rows, entry);
      const float* const from = weight + rows.indices[entry];
#pragma unroll
      for (int k = 0; k < OUTPUTS; ++k) {
        // One output too many is read as the last one and left out below, so that there is no
        // branch between the reads.
        const int64_t output = min(first + k, end - 1);
        sums[k] = fmaf(value, from[output * rows.row_size], sums[k]);
      }
    }
#pragma unroll
    for (int k = 0; k < OUTPUTS; ++k) {
      const float sum = row_sum<LANES>(sums[k]);
      if (first + k < end) take(first + k, bias == nullptr ? sum : sum + bias[first + k]);
    }
  }
}

/// Adds value * derivative to the gradient of each entry of the row.
template <int LANES>
__device__ void scatter_row(const SparseView& rows, const OwnRow<LANES>& own,
                            const float* derivatives, int first, int last, float* weight_gradient) {
  for (int64_t entry = own.begin + own.lane; entry < own.end; entry += LANES) {
    const float value = value_of(rows, entry);
    float* const to = weight_gradient + rows.indices[entry];
    for (int output = first; output < last; ++output) {
      atomicAdd(to + output * rows.row_size, value * derivatives[output]);
    }
  }
}

template <int LANES, int OUTPUTS>
__global__ void sparse_product_kernel(SparseProduct product) {
  wait_for_previous();
  const OwnRow<LANES> own(product.rows);
  const auto first = static_cast<int>(blockIdx.y * kOutputsOfBlock);
  const auto last = static_cast<int>(min(first + kOutputsOfBlock, product.outputs));
  for_products<LANES, OUTPUTS>(product.rows, product.weight, product.bias, first, last, own,
                               [&](int output, float sum) {
                                 if (own.is_there && own.lane == 0) {
                                   product.out[own.row * product.outputs + output] = sum;
                                 }
                               });
}

template <int LANES>
__global__ void sparse_scatter_kernel(SparseScatter scatter) {
  wait_for_previous();
  const OwnRow<LANES> own(scatter.rows);
  const auto first = static_cast<int>(blockIdx.y * kOutputsOfBlock);
  const auto last = static_cast<int>(min(first + kOutputsOfBlock, scatter.outputs));
  scatter_row<LANES>(scatter.rows, own, scatter.derivatives + own.row * scatter.outputs, first,
                     last, scatter.weight_gradient);
}

/// log(1 + e^z) - target * z, and its derivative.
__device__ float logistic_loss(float z, float target, float& derivative) {
  const float small = expf(-fabsf(z));  // at most 1
  const float share = z >= 0.0F ? 1.0F / (1.0F + small) : small / (1.0F + small);
  derivative = share - target;
  return fmaxf(z, 0.0F) + log1pf(small) - target * z;
}

/// Replaces the logits of a row by the derivatives of its loss, which it returns.
template <int LANES>
__device__ float softmax_of_row(float* logits, int outputs, int label, int lane) {
  float largest = -INFINITY;
  for (int c = lane; c < outputs; c += LANES) largest = fmaxf(largest, logits[c]);
  largest = row_max<LANES>(largest);
  const float of_label = logits[label];
  float total = 0.0F;
  for (int c = lane; c < outputs; c += LANES) total += expf(logits[c] - largest);
  total = row_sum<LANES>(total);
  __syncwarp();
  for (int c = lane; c < outputs; c += LANES) {
    const float share = expf(logits[c] - largest) / total;
    logits[c] = c == label ? share - 1.0F : share;
  }
  __syncwarp();
  return logf(total) + (largest - of_label);  // NaN stays NaN: the largest of NaNs would be -inf
}

/// LANES threads go through a row twice: for its logits, and, if there is a gradient to add to,
/// once their derivatives are known, while the entries are still in the first-level cache.
template <int LANES, int OUTPUTS>
__global__ void sparse_regression_kernel(SparseRegression pass, float multiplier, float* losses) {
  extern __shared__ float shared[];  // [rows of the block, outputs]
  wait_for_previous();
  const OwnRow<LANES> own(pass.rows);
  const auto outputs = static_cast<int>(pass.outputs);
  float* const logits = shared + threadIdx.x / LANES * outputs;
  for_products<LANES, OUTPUTS>(pass.rows, pass.weight, pass.bias, 0, outputs, own,
                               [&](int output, float sum) {
                                 if (own.lane == 0) logits[output] = sum;
                               });
  __syncwarp();
  const auto label = own.is_there ? static_cast<int>(pass.labels[own.row]) : 0;
  float loss = 0.0F;
  if constexpr (OUTPUTS == 1) {
    float derivative = 0.0F;
    loss = logistic_loss(logits[0], static_cast<float>(label), derivative);
    __syncwarp();
    if (own.lane == 0) logits[0] = derivative;
    __syncwarp();
  } else {
    loss = softmax_of_row<LANES>(logits, outputs, label, own.lane);
  }
  for (int c = own.lane; c < outputs; c += LANES) logits[c] *= multiplier;
  __syncwarp();
  if (!own.is_there) return;
  if (own.lane == 0) losses[own.row] = loss;
  for (int c = own.lane; c < outputs; c += LANES) {
    pass.derivatives[own.row * outputs + c] = logits[c];
  }
  if (pass.weight_gradient == nullptr) return;
  scatter_row<LANES>(pass.rows, own, logits, 0, outputs, pass.weight_gradient);
}

/// Block x sums the derivatives of output x; the last one sums the losses.
__global__ void sum_rows_kernel(SparseRegression pass, const float* losses) {
  __shared__ double sums[kSparseThreads];
  wait_for_previous();
  const bool is_loss = blockIdx.x == pass.outputs;
  const float* const from = is_loss ? losses : pass.derivatives + blockIdx.x;
  const int64_t stride = is_loss ? 1 : pass.outputs;
  double sum = 0.0;
  for (int64_t row = threadIdx.x; row < pass.rows.count; row += kSparseThreads) {
    sum += from[row * stride];
  }
  sums[threadIdx.x] = sum;
  for (int half = kSparseThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  if (threadIdx.x != 0) return;
  if (is_loss) {
    *pass.loss = static_cast<float>(sums[0] / static_cast<double>(pass.rows.count));
  } else if (pass.bias_gradient != nullptr) {
    pass.bias_gradient[blockIdx.x] = static_cast<float>(sums[0]);
  }
}

dim3 blocks_of_rows(int64_t count, int64_t lanes, int64_t outputs) {
  return {static_cast<unsigned>(parts_of(count * lanes, kSparseThreads)),
          static_cast<unsigned>(parts_of(outputs, kOutputsOfBlock))};
}

template <int LANES>
void start_product(const SparseProduct& product, cudaStream_t stream) {
  const auto start = [&](auto kernel) {
    launch("sparse_product", kernel, blocks_of_rows(product.rows.count, LANES, product.outputs),
           kSparseThreads, 0, stream, product);
  };
  if (product.outputs == 1) {
    start(sparse_product_kernel<LANES, 1>);
  } else {
    start(sparse_product_kernel<LANES, 4>);
  }
}

template <int LANES>
void start_regression(const SparseRegression& pass, cudaStream_t stream) {
  const size_t shared =
      sizeof(float) * (kSparseThreads / LANES) * static_cast<size_t>(pass.outputs);
  const auto multiplier = static_cast<float>(1.0 / static_cast<double>(pass.rows.count));
  const auto start = [&](auto kernel) {
    launch("sparse_regression", kernel, blocks_of_rows(pass.rows.count, LANES, 1), kSparseThreads,
           shared, stream, pass, multiplier, pass.scratch);
  };
  if (pass.outputs == 1) {
    start(sparse_regression_kernel<LANES, 1>);
  } else {
    start(sparse_regression_kernel<LANES, 4>);
  }
}

}  // namespace

void sparse_product(const SparseProduct& product, void* stream) {
  if (product.rows.count == 0 || product.outputs == 0) return;
  if (lanes_of_row(product.entries, product.rows.count) == 8) {
    start_product<8>(product, stream_of(stream));
  } else {
    start_product<32>(product, stream_of(stream));
  }
}

void sparse_scatter(const SparseScatter& scatter, void* stream) {
  if (scatter.rows.count == 0 || scatter.outputs == 0) return;
  const int64_t lanes = lanes_of_row(scatter.entries, scatter.rows.count);
  launch("sparse_scatter", lanes == 8 ? sparse_scatter_kernel<8> : sparse_scatter_kernel<32>,
         blocks_of_rows(scatter.rows.count, lanes, scatter.outputs), kSparseThreads, 0,
         stream_of(stream), scatter);
}

void sparse_regression(const SparseRegression& pass, void* stream) {
  if (lanes_of_row(pass.entries, pass.rows.count) == 8) {
    start_regression<8>(pass, stream_of(stream));
  } else {
    start_regression<32>(pass, stream_of(stream));
  }
  launch("sparse_regression", sum_rows_kernel, static_cast<unsigned>(pass.outputs + 1),
         kSparseThreads, 0, stream_of(stream), pass, pass.scratch);
}

}  // namespace levin::kernels::cuda
