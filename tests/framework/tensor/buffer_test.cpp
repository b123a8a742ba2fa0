#include <levin/framework/tensor/buffer.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

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

}  // namespace levin::buffer_test
