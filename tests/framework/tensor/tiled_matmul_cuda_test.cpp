// The kernel of the tiled product. tests/framework/kernels, where the same on the CPU is tested, is
// linked without LibTorch.
#include <levin/framework/core/error.h>
#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/kernels/cuda/tiled_matmul.h>
#include <levin/framework/tensor/device.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>
#include <random>
#include <string>

#include "framework/message_of.h"

namespace levin::tiled_matmul_cuda_test {

using kernels::cuda::TiledMatmul;

struct Sizes {
  int64_t m, n, k;
};

constexpr Sizes kSizes[] = {{1, 1, 1},       {15, 15, 15}, {16, 16, 16}, {17, 17, 17},
                            {31, 31, 31},    {32, 32, 32}, {33, 33, 33}, {64, 96, 32},
                            {1, 70, 3},      {70, 1, 40},  {5, 6, 100},  {100, 37, 65},
                            {257, 129, 500}, {0, 5, 7},    {5, 0, 7},    {5, 7, 0}};
constexpr int64_t kTiles[] = {1, 16, 32};
constexpr int64_t kMargin = 40;  // NaN behind every matrix

// A matrix on the GPU at the start of a buffer that is NaN otherwise.
struct Padded {
  Padded(int64_t rows, int64_t columns)
      : buffer(torch::full({rows * columns + kMargin}, std::numeric_limits<float>::quiet_NaN(),
                           at::device(at::kCUDA).dtype(at::kFloat))),
        matrix(buffer.narrow(0, 0, rows * columns).view({rows, columns})) {}
  torch::Tensor buffer;
  torch::Tensor matrix;
};

// Random matrices.
class Problem {
 public:
  explicit Problem(const Sizes& s) : sizes(s), a(s.m, s.k), b(s.k, s.n), c(s.m, s.n) {
    torch::manual_seed(seed);
    a.matrix.uniform_(-1.0, 1.0);
    b.matrix.uniform_(-1.0, 1.0);
  }

  TiledMatmul product(int64_t tile) const {
    return {.a = a.buffer.const_data_ptr<float>(),
            .b = b.buffer.const_data_ptr<float>(),
            .c = c.buffer.mutable_data_ptr<float>(),
            .m = sizes.m,
            .n = sizes.n,
            .k = sizes.k,
            .tile = tile};
  }

  // The result of the kernel, in a buffer that was NaN.
  torch::Tensor multiply(int64_t tile) {
    c.buffer.fill_(std::numeric_limits<float>::quiet_NaN());
    kernels::cuda::tiled_matmul(product(tile), nullptr);
    return c.matrix;
  }

  // The loads that the kernel counts, from `start` on.
  int64_t count(int64_t tile, int64_t start) {
    const auto loads = torch::full({1}, start, at::device(at::kCUDA).dtype(at::kLong));
    TiledMatmul counting = product(tile);
    counting.loads = loads.mutable_data_ptr<int64_t>();
    kernels::cuda::tiled_matmul(counting, nullptr);
    return loads.item<int64_t>();
  }

  torch::Tensor on_cpu(int64_t tile) const {
    const auto left = a.matrix.cpu(), right = b.matrix.cpu();
    auto result = torch::empty({sizes.m, sizes.n});
    TiledMatmul same = product(tile);
    same.a = left.const_data_ptr<float>();
    same.b = right.const_data_ptr<float>();
    same.c = result.mutable_data_ptr<float>();
    kernels::cuda::tiled_matmul_on_cpu(same);
    return result;
  }

  std::string name() const {
    return std::to_string(sizes.m) + " x " + std::to_string(sizes.n) + " x " +
           std::to_string(sizes.k) + ", seed " + std::to_string(seed);
  }

  const uint64_t seed = std::random_device()();
  Sizes sizes;
  Padded a, b, c;
};

// The norm of the difference, as a share of the norm of what is expected.
double relative_error(const torch::Tensor& found, const torch::Tensor& expected) {
  if (expected.numel() == 0) return 0.0;
  const auto exact = expected.to(at::kDouble);
  const double norm = exact.norm().item<double>();
  const double error = (found.to(at::kDouble) - exact).norm().item<double>();
  return norm == 0.0 ? error : error / norm;
}

class TiledMatmulCuda : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
    if (!kernels::cuda::are_built()) GTEST_SKIP() << "needs a build with nvcc";
  }
  at::NoTF32Guard no_tf32_;
};

TEST_F(TiledMatmulCuda, agrees_with_float64_and_cublas_at_every_edge) {
  for (const Sizes& sizes : kSizes) {
    for (const int64_t tile : kTiles) {
      Problem problem(sizes);
      SCOPED_TRACE(problem.name() + ", tiles of " + std::to_string(tile));
      const auto found = problem.multiply(tile);
      const auto& a = problem.a.matrix;
      const auto& b = problem.b.matrix;
      // Written this way, NaN fails.
      EXPECT_TRUE(relative_error(found, at::mm(a.to(at::kDouble), b.to(at::kDouble))) < 1e-5);
      EXPECT_TRUE(relative_error(found, at::mm(a, b)) < 1e-5);
      EXPECT_TRUE(problem.c.buffer.narrow(0, sizes.m * sizes.n, kMargin).isnan().all().item<bool>())
          << "wrote behind the matrix";
    }
  }
}

TEST_F(TiledMatmulCuda, has_the_bits_of_the_same_product_on_the_cpu) {
  for (const Sizes& sizes : kSizes) {
    for (const int64_t tile : kTiles) {
      Problem problem(sizes);
      EXPECT_TRUE(torch::equal(problem.multiply(tile).cpu(), problem.on_cpu(tile)))
          << problem.name() << ", tiles of " << tile;
    }
  }
}

TEST_F(TiledMatmulCuda, counts_the_loads_that_theory_says) {
  Problem even({64, 96, 50});
  const int64_t elements = 64 * 96;
  EXPECT_EQ(even.count(1, 0), elements * 2 * 50);
  EXPECT_EQ(even.count(16, 0), elements * 2 * 50 / 16);
  EXPECT_EQ(even.count(32, 0), elements * 2 * 50 / 32);
  for (const Sizes& sizes : kSizes) {
    for (const int64_t tile : kTiles) {
      Problem problem(sizes);
      EXPECT_EQ(problem.count(tile, 1000), 1000 + kernels::cuda::loads_of(problem.product(tile)))
          << problem.name() << ", tiles of " << tile;
    }
  }
}

TEST_F(TiledMatmulCuda, counting_changes_no_bit) {
  for (const int64_t tile : kTiles) {
    Problem problem({100, 37, 65});
    const auto plain = problem.multiply(tile).clone();
    problem.c.buffer.fill_(std::numeric_limits<float>::quiet_NaN());
    problem.count(tile, 0);
    EXPECT_TRUE(torch::equal(problem.c.matrix, plain)) << problem.name() << ", tiles of " << tile;
  }
}

// A grid has at most 65,535 blocks in its second dimension.
TEST_F(TiledMatmulCuda, takes_millions_of_rows_and_columns) {
  for (const int64_t tile : kTiles) {
    for (const Sizes& sizes : {Sizes{2'200'001, 3, 2}, Sizes{3, 2'200'001, 2}}) {
      Problem problem(sizes);
      const auto expected =
          at::mm(problem.a.matrix.to(at::kDouble), problem.b.matrix.to(at::kDouble));
      EXPECT_TRUE(relative_error(problem.multiply(tile), expected) < 1e-5)
          << problem.name() << ", tiles of " << tile;
    }
  }
}

TEST_F(TiledMatmulCuda, refuses_a_width_that_it_does_not_have) {
  Problem problem({4, 4, 4});
  EXPECT_TRUE(test::says(test::message_of<Error>([&] { problem.multiply(8); }), {"tile = 8"}));
}

}  // namespace levin::tiled_matmul_cuda_test
