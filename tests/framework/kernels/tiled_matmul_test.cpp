#include <levin/framework/kernels/cuda/tiled_matmul.h>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

// The tiled product on the CPU. Its kernel is compared with it and with cuBLAS in
// tests/framework/tensor/tiled_matmul_cuda_test.cpp.
namespace levin::kernels::cuda::tiled_matmul_test {

struct Sizes {
  int64_t m, n, k;
};

constexpr Sizes kSizes[] = {{1, 1, 1},    {15, 15, 15},  {16, 16, 16}, {17, 17, 17}, {31, 31, 31},
                            {32, 32, 32}, {33, 33, 33},  {64, 96, 32}, {1, 70, 3},   {70, 1, 40},
                            {5, 6, 100},  {100, 37, 65}, {0, 5, 7},    {5, 0, 7},    {5, 7, 0}};
constexpr int64_t kTiles[] = {1, 16, 32};
constexpr size_t kMargin = 40;  // NaN behind every matrix

// Random matrices. What lies behind them, and all of C, is NaN.
class Problem {
 public:
  explicit Problem(const Sizes& s)
      : sizes(s), a(matrix(s.m * s.k)), b(matrix(s.k * s.n)), c(matrix(s.m * s.n)) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
    for (size_t i = 0; i + kMargin < a.size(); ++i) a[i] = uniform(random);
    for (size_t i = 0; i + kMargin < b.size(); ++i) b[i] = uniform(random);
  }

  // Returns the number of loads.
  int64_t multiply(int64_t tile) {
    int64_t loads = 1000;
    tiled_matmul_on_cpu(product(tile, &loads));
    return loads - 1000;
  }
  TiledMatmul product(int64_t tile, int64_t* loads) {
    return {.a = a.data(),
            .b = b.data(),
            .c = c.data(),
            .m = sizes.m,
            .n = sizes.n,
            .k = sizes.k,
            .tile = tile,
            .loads = loads};
  }

  double expected(int64_t row, int64_t column) const {
    double sum = 0.0;
    for (int64_t p = 0; p < sizes.k; ++p) {
      sum += static_cast<double>(a[static_cast<size_t>(row * sizes.k + p)]) *
             b[static_cast<size_t>(p * sizes.n + column)];
    }
    return sum;
  }

  std::string name() const {
    return std::to_string(sizes.m) + " x " + std::to_string(sizes.n) + " x " +
           std::to_string(sizes.k) + ", seed " + std::to_string(seed);
  }

  const unsigned seed = std::random_device()();
  Sizes sizes;
  std::vector<float> a, b, c;

 private:
  static std::vector<float> matrix(int64_t size) {
    return std::vector<float>(static_cast<size_t>(size) + kMargin,
                              std::numeric_limits<float>::quiet_NaN());
  }
};

TEST(TiledMatmul, agrees_with_the_sums_in_float64_at_every_edge) {
  for (const Sizes& sizes : kSizes) {
    for (const int64_t tile : kTiles) {
      Problem problem(sizes);
      SCOPED_TRACE(problem.name() + ", tiles of " + std::to_string(tile));
      problem.multiply(tile);
      double error = 0.0, norm = 0.0;
      for (int64_t row = 0; row < sizes.m; ++row) {
        for (int64_t column = 0; column < sizes.n; ++column) {
          const double expected = problem.expected(row, column);
          const double found = problem.c[static_cast<size_t>(row * sizes.n + column)];
          ASSERT_FALSE(std::isnan(found)) << "row " << row << ", column " << column;
          error += (found - expected) * (found - expected);
          norm += expected * expected;
        }
      }
      EXPECT_LE(std::sqrt(error), 1e-6 * std::sqrt(norm));
      for (size_t i = problem.c.size() - kMargin; i < problem.c.size(); ++i) {
        ASSERT_TRUE(std::isnan(problem.c[i])) << "wrote behind the matrix";
      }
    }
  }
}

TEST(TiledMatmul, has_the_same_bits_with_and_without_tiles) {
  Problem problem({37, 65, 100});
  problem.multiply(1);
  const auto naive = problem.c;
  for (const int64_t tile : {int64_t{7}, int64_t{16}, int64_t{32}}) {
    problem.multiply(tile);
    for (size_t i = 0; i + kMargin < naive.size(); ++i) ASSERT_EQ(problem.c[i], naive[i]) << i;
  }
}

TEST(TiledMatmul, loads_2k_floats_an_element_without_tiles_and_2k_by_tile_with_them) {
  Problem problem({64, 96, 50});
  const int64_t elements = 64 * 96;
  EXPECT_EQ(problem.multiply(1), elements * 2 * 50);
  EXPECT_EQ(problem.multiply(16), elements * 2 * 50 / 16);
  EXPECT_EQ(problem.multiply(32), elements * 2 * 50 / 32);
}

TEST(TiledMatmul, counts_the_loads_that_theory_says_at_every_edge) {
  // Three tiles of 16 cover 37 columns, and seven cover 100 rows; of 32, two and four.
  Problem edges({100, 37, 65});
  EXPECT_EQ(edges.multiply(16), 100 * 65 * 3 + 65 * 37 * 7);
  EXPECT_EQ(edges.multiply(32), 100 * 65 * 2 + 65 * 37 * 4);
  for (const Sizes& sizes : kSizes) {
    for (const int64_t tile : kTiles) {
      Problem problem(sizes);
      EXPECT_EQ(problem.multiply(tile), loads_of(problem.product(tile, nullptr)))
          << problem.name() << ", tiles of " << tile;
    }
  }
}

TEST(TiledMatmul, needs_no_counter) {
  Problem problem({17, 33, 5});
  tiled_matmul_on_cpu(problem.product(16, nullptr));
  EXPECT_NEAR(problem.c[0], problem.expected(0, 0), 1e-5);
}

}  // namespace levin::kernels::cuda::tiled_matmul_test
