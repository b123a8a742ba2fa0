#include <levin/framework/tensor/buffer.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace levin::buffer_test {

TEST(Buffers, are_shared_while_a_copy_view_or_graph_is_alive) {
  auto tensor = torch::zeros({4, 3});
  EXPECT_TRUE(is_unshared(tensor));
  EXPECT_FALSE(is_unshared(torch::Tensor()));
  {
    const auto copy = tensor;
    EXPECT_FALSE(is_unshared(tensor));
  }
  EXPECT_TRUE(is_unshared(tensor));
  {
    const auto view = tensor.slice(0, 1, 2);
    EXPECT_FALSE(is_unshared(tensor));
  }
  EXPECT_TRUE(is_unshared(tensor));
  {
    const torch::InferenceMode guard;
    const auto view = tensor.slice(0, 1, 2);  // such a view knows nothing of its base
    EXPECT_FALSE(is_unshared(tensor));
  }
  {
    const auto data = tensor.tensor_data();
    EXPECT_FALSE(is_unshared(tensor));
  }
  EXPECT_TRUE(is_unshared(tensor));
  const auto weight = torch::ones({3, 2}, torch::requires_grad());
  {
    const auto loss = tensor.mm(weight).sum();
    EXPECT_FALSE(is_unshared(tensor));
    loss.backward();
    EXPECT_TRUE(is_unshared(tensor));  // backward let go of what the graph had saved
  }
  std::vector<float> memory(3);
  EXPECT_FALSE(is_unshared(torch::from_blob(memory.data(), {3})));  // somebody else's
}

TEST(Buffers, are_reused_where_they_fit_and_replaced_where_not) {
  const auto fresh = [] { return torch::zeros({4, 3}); };
  const auto reused = [](torch::Tensor tensor, int64_t rows, std::vector<int64_t> shape,
                         at::ScalarType type) {
    const void* before = tensor.const_data_ptr();
    const auto after = reuse_or_allocate(std::move(tensor), rows, shape, type);
    shape.insert(shape.begin(), rows);
    EXPECT_EQ(after.sizes(), shape);
    EXPECT_EQ(after.scalar_type(), type);
    EXPECT_TRUE(after.is_contiguous());
    return after.const_data_ptr() == before;
  };
  EXPECT_TRUE(reused(fresh(), 4, {3}, at::kFloat));
  EXPECT_TRUE(reused(fresh(), 2, {3}, at::kFloat));
  EXPECT_FALSE(reused(fresh(), 5, {3}, at::kFloat));
  EXPECT_FALSE(reused(fresh(), 4, {2}, at::kFloat));
  EXPECT_FALSE(reused(fresh(), 4, {3, 1}, at::kFloat));
  EXPECT_FALSE(reused(fresh(), 4, {3}, at::kDouble));
  EXPECT_FALSE(reused(torch::zeros({3, 4}).t(), 4, {3}, at::kFloat));
  const auto held = fresh();
  EXPECT_FALSE(reused(held, 4, {3}, at::kFloat));
  torch::Tensor inference;
  {
    const torch::InferenceMode guard;
    inference = fresh();
  }
  EXPECT_FALSE(reused(std::move(inference), 4, {3}, at::kFloat));  // training can't use it
}

/// Whether the kernel was asked for huge pages at that address: the flag "hg" of its mapping.
bool asks_for_huge_pages(const void* address) {
  std::ifstream maps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  bool is_there = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      is_there = begin <= wanted && wanted < end;
    }
    if (is_there && line.starts_with("VmFlags:")) return line.find(" hg") != std::string::npos;
  }
  return false;
}

TEST(Buffers, large_ones_lie_in_huge_pages) {
  if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage")) {
    GTEST_SKIP() << "this system has no transparent huge pages";
  }
  const auto large = empty_in_huge_pages({12, 1 << 20}, at::kFloat);
  EXPECT_EQ(large.sizes(), (std::vector<int64_t>{12, 1 << 20}));
  EXPECT_EQ(large.scalar_type(), at::kFloat);
  EXPECT_TRUE(asks_for_huge_pages(large.const_data_ptr<float>() + (6 << 20)));
  const auto small = empty_in_huge_pages({1 << 10}, at::kByte);
  EXPECT_EQ(small.numel(), 1 << 10);
  EXPECT_FALSE(asks_for_huge_pages(small.const_data_ptr<uint8_t>()));
}

TEST(Buffers, conversion_keeps_the_values_and_no_graph) {
  const auto bytes = torch::arange(12, torch::kByte).view({3, 4});
  const auto floats = converted_in_huge_pages(bytes, at::kFloat);
  EXPECT_TRUE(torch::equal(floats, torch::arange(12, torch::kFloat).view({3, 4})));
  EXPECT_TRUE(converted_in_huge_pages(floats, at::kFloat).is_same(floats));
  const auto transposed = converted_in_huge_pages(bytes.t(), at::kDouble);
  EXPECT_TRUE(transposed.is_contiguous());
  EXPECT_EQ(transposed[1][2].item<double>(), 9.0);
  const auto weight = torch::ones({3}, torch::requires_grad());
  EXPECT_FALSE(converted_in_huge_pages(weight, at::kDouble).requires_grad());
}

}  // namespace levin::buffer_test
