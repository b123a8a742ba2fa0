#include <levin/models/dense_products.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <utility>
#include <vector>

#include "framework/support.h"

namespace levin::dense_products_test {

using test::same_bits;

/// Matrices as the products of layers have them: whole, transposed, and some of their columns.
std::vector<std::pair<torch::Tensor, torch::Tensor>> factors() {
  const auto x = torch::randn({48, 200}), weight = torch::randn({120, 200});
  const auto gradient = torch::randn({48, 120});
  return {{x, weight.t()},
          {gradient, weight},
          {gradient.t(), x},
          {gradient.t(), x.narrow(1, 16, 96)},
          {x.narrow(0, 5, 30), weight.t()},
          {gradient.narrow(1, 3, 100), weight.narrow(0, 3, 100)}};
}

TEST(DenseProducts, of_both_libraries_are_those_in_float64) {
  torch::manual_seed(2);
  const auto bias = torch::randn({200});
  for (const auto& [a, b] : factors()) {
    for (const bool has_bias : {false, true}) {
      const auto own = has_bias ? bias.narrow(0, 0, b.size(1)) : torch::Tensor();
      auto expected = a.to(torch::kDouble).mm(b.to(torch::kDouble));
      if (has_bias) expected += own;
      auto out = torch::empty({a.size(0), b.size(1)});
      multiply(out, a, b, own);
      EXPECT_LT((out - expected).abs().max().item<double>(), 1e-4) << a.sizes() << b.sizes();
      const auto by_onednn = product_by_onednn(a, b, own);
      if (!by_onednn) GTEST_SKIP() << "this LibTorch has no oneDNN";
      EXPECT_LT((*by_onednn - expected).abs().max().item<double>(), 1e-4) << a.sizes() << b.sizes();
      EXPECT_TRUE(same_bits(*by_onednn, *product_by_onednn(a, b, own)));
    }
  }
}

TEST(DenseProducts, large_ones_are_for_onednn_where_mkl_uses_half_of_the_vectors) {
  EXPECT_TRUE(is_for_onednn(false, true, 1e8));
  EXPECT_FALSE(is_for_onednn(false, true, 1e6));
  EXPECT_FALSE(is_for_onednn(false, false, 1e8)) << "both use the vectors of AVX2";
  EXPECT_FALSE(is_for_onednn(true, true, 1e8));
}

TEST(DenseProducts, write_into_rows_and_columns_of_a_larger_matrix) {
  torch::manual_seed(3);
  const auto a = torch::randn({64, 300}), b = torch::randn({300, 150});
  auto all = torch::zeros({70, 160});
  auto part = all.narrow(0, 3, 64).narrow(1, 5, 150);
  multiply(part, a, b);
  EXPECT_LT((part - a.mm(b)).abs().max().item<double>(), 1e-4);
  EXPECT_EQ(all.narrow(0, 0, 3).abs().sum().item<double>(), 0.0);
  EXPECT_EQ(all.narrow(1, 155, 5).abs().sum().item<double>(), 0.0);
}

}  // namespace levin::dense_products_test
