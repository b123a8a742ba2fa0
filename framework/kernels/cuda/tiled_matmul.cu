// A block of threads computes one tile of C. It walks along a row of tiles of A and a column of
// tiles of B: its threads load the next tile of each into shared memory, one element after another,
// and then each thread takes what it needs from there. Without tiles, every thread would load all
// of this by itself, so tiles of width T save all but one of T loads.
#include <levin/framework/kernels/cuda/launch.h>
#include <levin/framework/kernels/cuda/tiled_matmul.h>

namespace levin::kernels::cuda {
namespace {

constexpr int kBlockThreads = 256;

// Through it go all loads of a thread from A and B.
template <bool COUNTS>
class Loader {
 public:
  __device__ float load(const float* address) {
    if constexpr (COUNTS) ++count_;
    return *address;
  }
  // 0 outside of the matrix, which adds nothing to a sum.
  __device__ float load(const float* matrix, int64_t rows, int64_t columns, int64_t row,
                        int64_t column) {
    if (row >= rows || column >= columns) return 0.0F;
    return load(matrix + row * columns + column);
  }
  __device__ void add_to(int64_t* loads) const {
    if constexpr (COUNTS) atomicAdd(reinterpret_cast<unsigned long long*>(loads), count_);
  }

 private:
  unsigned long long count_ = 0;
};

// Threads [kBlockThreads / TILE, TILE] (y, x). With tiles of width 16, a thread computes one
// element of C; with 32, it computes four, which lie below each other at a distance of STEP rows.
template <int TILE, bool COUNTS>
__global__ void __launch_bounds__(kBlockThreads)
    tiled_kernel(TiledMatmul product, unsigned tiles_in_row) {
  constexpr int STEP = kBlockThreads / TILE;
  constexpr int ELEMENTS = TILE / STEP;
  __shared__ alignas(16) float tile_a[TILE][TILE];
  __shared__ alignas(16) float tile_b[TILE][TILE];
  const int64_t m = product.m, n = product.n, k = product.k;
  const int x = static_cast<int>(threadIdx.x);
  const int y = static_cast<int>(threadIdx.y);
  const int64_t row = static_cast<int64_t>(blockIdx.x / tiles_in_row) * TILE + y;
  const int64_t column = static_cast<int64_t>(blockIdx.x % tiles_in_row) * TILE + x;

  Loader<COUNTS> loader;
  float sums[ELEMENTS] = {};
  for (int64_t first = 0; first < k; first += TILE) {
#pragma unroll
    for (int i = 0; i < TILE; i += STEP) {
      tile_a[y + i][x] = loader.load(product.a, m, k, row + i, first + x);
      tile_b[y + i][x] = loader.load(product.b, k, n, first + y + i, column);
    }
    __syncthreads();  // the tiles are complete
#pragma unroll
    for (int p = 0; p < TILE; ++p) {
#pragma unroll
      for (int e = 0; e < ELEMENTS; ++e) {
        sums[e] = fmaf(tile_a[y + e * STEP][p], tile_b[p][x], sums[e]);
      }
    }
    __syncthreads();  // everybody has used them
  }
#pragma unroll
  for (int e = 0; e < ELEMENTS; ++e) {
    const int64_t own_row = row + e * STEP;
    if (own_row < m && column < n) product.c[own_row * n + column] = sums[e];
  }
  loader.add_to(product.loads);
}

// Blocks of 8 rows and 32 columns, one thread an element.
constexpr int kNaiveColumns = 32;
constexpr int kNaiveRows = kBlockThreads / kNaiveColumns;

template <bool COUNTS>
__global__ void __launch_bounds__(kBlockThreads)
    naive_kernel(TiledMatmul product, unsigned blocks_in_row) {
  const int64_t row = static_cast<int64_t>(blockIdx.x / blocks_in_row) * kNaiveRows + threadIdx.y;
  const int64_t column =
      static_cast<int64_t>(blockIdx.x % blocks_in_row) * kNaiveColumns + threadIdx.x;
  if (row >= product.m || column >= product.n) return;
  Loader<COUNTS> loader;
  const float* a = product.a + row * product.k;
  const float* b = product.b + column;
  float sum = 0.0F;
  for (int64_t p = 0; p < product.k; ++p) {
    const float left = loader.load(a + p);
    sum = fmaf(left, loader.load(b + p * product.n), sum);
  }
  product.c[row * product.n + column] = sum;
  loader.add_to(product.loads);
}

using Kernel = void (*)(TiledMatmul, unsigned);

// A block computes `rows` and `columns` of C. Blocks are numbered in one dimension, because the
// others allow only 65,535.
void launch(Kernel kernel, int rows, int columns, const TiledMatmul& product, void* stream) {
  const int64_t in_row = parts_of(product.n, columns);
  const int64_t blocks = in_row * parts_of(product.m, rows);
  const dim3 threads(static_cast<unsigned>(columns),
                     static_cast<unsigned>(kBlockThreads / columns));
  kernel<<<static_cast<unsigned>(blocks), threads, 0, stream_of(stream)>>>(
      product, static_cast<unsigned>(in_row));
  check_launch("tiled_matmul");
}

template <bool COUNTS>
void launch(const TiledMatmul& product, void* stream) {
  if (product.tile == 1) {
    launch(naive_kernel<COUNTS>, kNaiveRows, kNaiveColumns, product, stream);
  } else if (product.tile == 16) {
    launch(tiled_kernel<16, COUNTS>, 16, 16, product, stream);
  } else {
    launch(tiled_kernel<32, COUNTS>, 32, 32, product, stream);
  }
}

}  // namespace

void tiled_matmul(const TiledMatmul& product, void* stream) {
  if (product.tile != 1 && product.tile != 16 && product.tile != 32) {
    throw Error("tile = " + std::to_string(product.tile) +
                ": tiled_matmul has tiles of width 16 and 32, and 1 for none");
  }
  if (product.m == 0 || product.n == 0) return;
  if (product.loads != nullptr) {
    launch<true>(product, stream);
  } else {
    launch<false>(product, stream);
  }
}

}  // namespace levin::kernels::cuda
