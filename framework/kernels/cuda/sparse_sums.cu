// Sums of the entries of sparse rows in the order of their places, and steps of optimizers at
// these.
#include <levin/framework/kernels/cuda/launch.h>
#include <levin/framework/kernels/cuda/sparse.h>

namespace levin::kernels::cuda {
namespace {

constexpr int kSumThreads = 128;
constexpr unsigned kWholeWarp = 0xffffffffU;

/// Eight threads write the number of a row to each of its entries.
__global__ void rows_of_entries_kernel(SparseView rows, int32_t* row_of) {
  wait_for_previous();
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t row = thread / 8;
  if (row >= rows.count) return;
  for (int64_t entry = rows.offsets[row] + thread % 8; entry < rows.offsets[row + 1]; entry += 8) {
    row_of[entry] = static_cast<int32_t>(row);
  }
}

/// Adds to the number of each lane those of the lanes before it that have the same place, which are
/// its neighbours.
__device__ float sum_of_neighbours(float number, int32_t place, int lane) {
#pragma unroll
  for (int offset = 1; offset < kWarpSize; offset *= 2) {
    const float other = __shfl_up_sync(kWholeWarp, number, offset);
    const int32_t other_place = __shfl_up_sync(kWholeWarp, place, offset);
    if (lane >= offset && other_place == place) number += other;
  }
  return number;
}

/// Warp x of the grid adds up a tile of entries for output y. The sum of a place that lies within
/// the tile is written. Of a place that goes on from the tile before, the part up to its end goes
/// to firsts, and of one that goes on into the next tile, the part in this one to lasts.
__global__ void sparse_sums_kernel(SparseSums sums, const int32_t* row_of, int64_t tiles,
                                   float* firsts, float* lasts) {
  wait_for_previous();
  const int64_t tile = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kWarpSize;
  const int lane = threadIdx.x % kWarpSize;
  if (tile >= tiles) return;  // the whole warp
  const int64_t output = blockIdx.y;
  const int64_t begin = tile * kEntriesOfTile;
  // All numbers are read before the first is needed, so that the reads are waited for together.
  int32_t places[kStepsOfTile];
  float numbers[kStepsOfTile];
#pragma unroll
  for (int k = 0; k < kStepsOfTile; ++k) {
    const int64_t at = begin + k * kWarpSize + lane;
    const bool is_there = at < sums.entries;
    const int64_t entry = is_there ? sums.order[at] : 0;
    places[k] = is_there ? sums.places[at] : -1;  // a place that no entry has
    const float derivative = sums.derivatives[row_of[entry] * sums.outputs + output];
    numbers[k] = sums.rows.values == nullptr  // not as a part of a fused multiply-add
                     ? derivative
                     : __fmul_rn(sums.rows.values[entry], derivative);
  }
  // The place that the tile before ends with, if there is one.
  const int32_t place_before = begin == 0 ? -1 : sums.places[begin - 1];
  int32_t open_place = -1;
  float open_sum = 0.0F;
#pragma unroll
  for (int k = 0; k < kStepsOfTile; ++k) {
    const int64_t at = begin + k * kWarpSize + lane;
    const int32_t place = places[k];
    float sum = sum_of_neighbours(numbers[k], place, lane);
    if (place == open_place) sum += open_sum;
    open_place = __shfl_sync(kWholeWarp, place, kWarpSize - 1);
    open_sum = __shfl_sync(kWholeWarp, sum, kWarpSize - 1);
    const bool is_there = at < sums.entries;
    const bool ends = is_there && (at + 1 == sums.entries || sums.places[at + 1] != place);
    if (ends && place != place_before) {
      sums.sums[output * sums.width + place] = sum;
    } else if (ends) {
      firsts[output * tiles + tile] = sum;
    } else if (is_there && at + 1 == begin + kEntriesOfTile) {
      lasts[output * tiles + tile] = sum;
    }
  }
}

/// Thread x adds up the parts of the place that begins in tile x and goes on behind it.
__global__ void join_tiles_kernel(SparseSums sums, int64_t tiles, const float* firsts,
                                  const float* lasts) {
  wait_for_previous();
  const int64_t tile = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (tile + 1 >= tiles) return;
  const int64_t begin = tile * kEntriesOfTile;
  const int64_t end = begin + kEntriesOfTile;
  const int32_t place = sums.places[end - 1];
  const bool begins_before = begin > 0 && sums.places[begin - 1] == place;
  if (sums.places[end] != place || begins_before) return;
  const int64_t output = blockIdx.y;
  float sum = lasts[output * tiles + tile];
  for (int64_t next = tile + 1; next < tiles; ++next) {
    const int64_t next_end = min((next + 1) * kEntriesOfTile, sums.entries);
    const bool goes_on = next_end < sums.entries && sums.places[next_end] == place;
    sum += goes_on ? lasts[output * tiles + next] : firsts[output * tiles + next];
    if (!goes_on) break;
  }
  sums.sums[output * sums.width + place] = sum;
}

__global__ void sparse_step_kernel(SparseStep step, float rate, float eps) {
  wait_for_previous();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= step.count) return;
  const int64_t row = step.rows == nullptr ? 0 : step.rows[i];
  const int64_t place = row * step.row_size + step.columns[i];
  const float number = step.gradient[i];
  if (step.squares == nullptr) {  // places may occur twice
    atomicAdd(step.parameter + place, -rate * number);
    return;
  }
  const float squares = fmaf(number, number, step.squares[place]);
  step.squares[place] = squares;
  const float direction = number / (sqrtf(squares) + eps);
  step.parameter[place] = fmaf(-rate, direction, step.parameter[place]);
}

}  // namespace

void sparse_sums(const SparseSums& sums, void* stream) {
  if (sums.entries == 0 || sums.outputs == 0) return;
  const int64_t tiles = parts_of(sums.entries, kEntriesOfTile);
  auto* const row_of = reinterpret_cast<int32_t*>(sums.scratch);
  float* const firsts = sums.scratch + sums.entries;
  float* const lasts = firsts + sums.outputs * tiles;
  const auto outputs = static_cast<unsigned>(sums.outputs);
  launch("sparse_sums", rows_of_entries_kernel,
         static_cast<unsigned>(parts_of(sums.rows.count * 8, kSumThreads)), kSumThreads, 0,
         stream_of(stream), sums.rows, row_of);
  const dim3 warps(static_cast<unsigned>(parts_of(tiles * kWarpSize, kSumThreads)), outputs);
  launch("sparse_sums", sparse_sums_kernel, warps, kSumThreads, 0, stream_of(stream), sums, row_of,
         tiles, firsts, lasts);
  const dim3 threads(static_cast<unsigned>(parts_of(tiles, kSumThreads)), outputs);
  launch("sparse_sums", join_tiles_kernel, threads, kSumThreads, 0, stream_of(stream), sums, tiles,
         firsts, lasts);
}

void sparse_step(const SparseStep& step, void* stream) {
  if (step.count == 0) return;
  launch("sparse_step", sparse_step_kernel,
         static_cast<unsigned>(parts_of(step.count, kSumThreads)), kSumThreads, 0,
         stream_of(stream), step, static_cast<float>(step.rate), static_cast<float>(step.eps));
}

}  // namespace levin::kernels::cuda
