#pragma once

#include <cstdint>

/// The textbook example of a CUDA kernel: a matrix product whose threads share what they load, as
/// tiles in the fast memory of their multiprocessor. It shows what tiles save. To train models, use
/// at::mm, whose cuBLAS also keeps tiles in registers and is several times as fast.
namespace levin::kernels::cuda {

/// C = A . B for row-major float32 matrices of any size, 0 included.
struct TiledMatmul {
  /// [m, k] and [k, n].
  const float* a = nullptr;
  const float* b = nullptr;
  /// [m, n], which is overwritten and must not overlap A or B.
  float* c = nullptr;
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  /// The width of the square tiles: 32 or 16; or 1 for a kernel without tiles, in which the thread
  /// of an element of C loads a row of A and a column of B by itself.
  int64_t tile = 32;
  /// If not null, the number of loads from A and B is added to *loads. A load is that of one float
  /// by one thread, whether it comes from a cache or not. Counting uses a slower version of the
  /// kernel.
  int64_t* loads = nullptr;
};

/// Computes the product on the GPU. All pointers are to memory of the current device. Enqueues the
/// work on `stream`, a cudaStream_t, and returns without waiting for it. Throws Error for a width
/// of tiles that it doesn't have, and in a build without nvcc (`are_built` in kernels.h).
void tiled_matmul(const TiledMatmul& product, void* stream);

/// The same with loops in the place of threads, on the CPU and with pointers to its memory. C has
/// the same bits, since each sum is made by the same fused multiply-adds in the same order, and
/// the loads are counted where the kernel counts them. Any width of tiles is possible.
void tiled_matmul_on_cpu(const TiledMatmul& product);

/// The number of loads by theory: each element of A is loaded once for every tile in a row of C,
/// and each element of B once for every tile in a column. If the width of the tiles divides m and
/// n, this is 2 * k / tile for each element of C.
constexpr int64_t loads_of(const TiledMatmul& product) {
  const auto tiles = [&](int64_t size) { return (size + product.tile - 1) / product.tile; };
  return product.m * product.k * tiles(product.n) + product.k * product.n * tiles(product.m);
}

}  // namespace levin::kernels::cuda
