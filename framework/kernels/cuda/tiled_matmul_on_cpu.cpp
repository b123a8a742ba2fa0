#include <levin/framework/kernels/cuda/tiled_matmul.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace levin::kernels::cuda {
namespace {

struct TiledMatrix {
  const float* data;
  int64_t rows;
  int64_t columns;
};

// Copies the tile whose first element is (row, column); outside of the matrix it has zeros. Returns
// the number of loads.
int64_t load_tile(const TiledMatrix& matrix, int64_t row, int64_t column, int64_t tile,
                  std::vector<float>& to) {
  int64_t loads = 0;
  auto out = to.begin();
  for (int64_t i = row; i < row + tile; ++i) {
    for (int64_t j = column; j < column + tile; ++j) {
      const bool is_inside = i < matrix.rows && j < matrix.columns;
      *out++ = is_inside ? matrix.data[i * matrix.columns + j] : 0.0F;
      if (is_inside) ++loads;
    }
  }
  return loads;
}

void add_product(const std::vector<float>& a, const std::vector<float>& b, size_t tile,
                 std::vector<float>& sums) {
  for (size_t y = 0; y < tile; ++y) {
    for (size_t p = 0; p < tile; ++p) {
      for (size_t x = 0; x < tile; ++x) {
        float& sum = sums[y * tile + x];
        sum = std::fma(a[y * tile + p], b[p * tile + x], sum);
      }
    }
  }
}

}  // namespace

void tiled_matmul_on_cpu(const TiledMatmul& product) {
  const TiledMatrix a{product.a, product.m, product.k};
  const TiledMatrix b{product.b, product.k, product.n};
  const int64_t tile = product.tile;
  const auto width = static_cast<size_t>(tile);
  std::vector<float> tile_a(width * width);
  std::vector<float> tile_b(width * width);
  std::vector<float> sums(width * width);
  int64_t loads = 0;
  for (int64_t row = 0; row < product.m; row += tile) {
    for (int64_t column = 0; column < product.n; column += tile) {
      std::fill(sums.begin(), sums.end(), 0.0F);
      for (int64_t first = 0; first < product.k; first += tile) {
        loads += load_tile(a, row, first, tile, tile_a);
        loads += load_tile(b, first, column, tile, tile_b);
        add_product(tile_a, tile_b, width, sums);
      }
      const int64_t columns = std::min(tile, product.n - column);
      for (int64_t i = 0; i < std::min(tile, product.m - row); ++i) {
        std::copy_n(sums.begin() + i * tile, columns, product.c + (row + i) * product.n + column);
      }
    }
  }
  if (product.loads != nullptr) *product.loads += loads;
}

}  // namespace levin::kernels::cuda
