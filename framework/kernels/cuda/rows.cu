// Gathering rows of a data set that lives on the device.
#include <cuda_bf16.h>

#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/kernels/cuda/launch.h>

namespace levin::kernels::cuda {
namespace {

struct WordList {
  Words words[kMostWords];
  int count;
};

template <class T>
__device__ void copy_word(const Words& words, int64_t row, int64_t i) {
  static_cast<T*>(words.to)[i] = static_cast<const T*>(words.from)[row];
}

// A single block, because the cursor may move on only when everybody has read it.
__global__ void take_rows_kernel(const int64_t* order, int64_t* cursor, int64_t count,
                                 int64_t* numbers, WordList list) {
  wait_for_previous();
  const int64_t first = *cursor;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    const int64_t row = order[first + i];
    numbers[i] = row;
    for (int k = 0; k < list.count; ++k) {
      const Words& words = list.words[k];
      if (words.bytes == 8) {
        copy_word<uint64_t>(words, row, i);
      } else if (words.bytes == 4) {
        copy_word<uint32_t>(words, row, i);
      } else {
        copy_word<uint8_t>(words, row, i);
      }
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) *cursor = first + count;
}

template <class From, class To>
__device__ To converted(From value, Convert<From> convert);
template <>
__device__ float converted(float value, Convert<float>) {
  return value;
}
template <>
__device__ float converted(uint8_t value, Convert<uint8_t> convert) {
  return convert(value);
}
template <>
__device__ __nv_bfloat16 converted(float value, Convert<float>) {
  return __float2bfloat16_rn(value);
}
template <>
__device__ __nv_bfloat16 converted(uint8_t value, Convert<uint8_t>) {
  return __float2bfloat16_rn(static_cast<float>(value));
}

// Block (x, y) copies a piece of row y, N values a thread.
template <class From, class To, int N>
__global__ void gather_kernel(RowView rows, Convert<From> convert, To* to) {
  wait_for_previous();
  for (int64_t row = blockIdx.y; row < rows.count; row += gridDim.y) {
    const auto* source = reinterpret_cast<const Pack<From, N>*>(row_at<From>(rows, row));
    auto* target = reinterpret_cast<Pack<To, N>*>(to + row * rows.row_size);
    const int64_t packs = rows.row_size / N;
    const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < packs;
         i += step) {
      const Pack<From, N> values = source[i];
      Pack<To, N> result;
#pragma unroll
      for (int k = 0; k < N; ++k) result.values[k] = converted<From, To>(values.values[k], convert);
      target[i] = result;
    }
  }
}

template <class From, class To, int N>
void launch_gather(const RowView& rows, To* to, void* stream) {
  constexpr int kMost = 256;
  const int64_t packs = rows.row_size / N;
  const auto threads =
      static_cast<unsigned>(std::clamp<int64_t>(parts_of(packs, 32) * 32, 32, kMost));
  const dim3 grid(static_cast<unsigned>(std::clamp<int64_t>(parts_of(packs, threads), 1, 64)),
                  static_cast<unsigned>(std::min<int64_t>(rows.count, 65535)));
  launch("gather_rows", gather_kernel<From, To, N>, grid, threads, 0, stream_of(stream), rows,
         Convert<From>{rows.scale, rows.zero_point}, to);
}

template <class From, class To>
void gather(const RowView& rows, To* to, void* stream) {
  if (rows.count == 0 || rows.row_size == 0) return;
  // Rows begin at multiples of N values, so their packs are aligned if the first one is.
  const auto is_aligned = [&](size_t values) {
    return rows.row_size % static_cast<int64_t>(values) == 0 &&
           reinterpret_cast<uintptr_t>(rows.data) % (values * sizeof(From)) == 0 &&
           reinterpret_cast<uintptr_t>(to) % (values * sizeof(To)) == 0;
  };
  if (sizeof(From) == 1 && is_aligned(16)) {
    launch_gather<From, To, 16>(rows, to, stream);
  } else if (is_aligned(4)) {
    launch_gather<From, To, 4>(rows, to, stream);
  } else {
    launch_gather<From, To, 1>(rows, to, stream);
  }
}

}  // namespace

bool are_built() { return true; }

void take_rows(const TakeRows& take, void* stream) {
  WordList list{};
  for (const Words& words : take.words) list.words[list.count++] = words;
  const auto threads =
      static_cast<unsigned>(std::clamp<int64_t>(parts_of(take.count, 32) * 32, 32, 1024));
  launch("take_rows", take_rows_kernel, 1, threads, 0, stream_of(stream), take.order, take.cursor,
         take.count, take.numbers, list);
}

void gather_rows(const RowView& rows, float* to, void* stream) {
  if (rows.type == RowView::Type::float32) {
    gather<float>(rows, to, stream);
  } else {
    gather<uint8_t>(rows, to, stream);
  }
}

void gather_rows_bf16(const RowView& rows, void* to, void* stream) {
  auto* out = static_cast<__nv_bfloat16*>(to);
  if (rows.type == RowView::Type::float32) {
    gather<float>(rows, out, stream);
  } else {
    gather<uint8_t>(rows, out, stream);
  }
}

}  // namespace levin::kernels::cuda
