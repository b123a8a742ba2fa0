#include <gtest/gtest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/batch.h>
#include <torch/torch.h>

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace levin::batch_test {

Batch pair() {
  return Batch({{"input", torch::arange(6.0).view({3, 2})}, {"target", torch::arange(3)}});
}

TEST(Batch, gives_tensors_by_role_and_by_name) {
  Batch batch = pair();
  EXPECT_EQ(batch.rows(), 3);
  EXPECT_EQ(batch.input().sizes(), (std::vector<int64_t>{3, 2}));
  EXPECT_TRUE(torch::equal(batch.target(), torch::arange(3)));
  EXPECT_TRUE(batch.has("target"));
  EXPECT_FALSE(batch.has("weight"));
  batch.set("weight", torch::ones({3}));
  EXPECT_TRUE(torch::equal(batch.weight(), torch::ones({3})));
  batch.set("target", torch::zeros({3}));
  EXPECT_TRUE(torch::equal(batch["target"], torch::zeros({3})));
  EXPECT_EQ(batch.tensors().size(), 3U);
}

TEST(Batch, input_is_the_first_tensor_where_none_has_that_name) {
  EXPECT_EQ(
      Batch({{"x", torch::ones({2})}, {"input", torch::zeros({2})}}).input().sum().item<int>(), 0);
  EXPECT_EQ(Batch({{"x", torch::ones({2})}, {"y", torch::zeros({2})}}).input().sum().item<int>(),
            2);
}

TEST(Batch, a_missing_tensor_is_an_error_that_names_those_there_are) {
  const Batch batch = pair();
  try {
    batch["targets"];
    FAIL();
  } catch (const DataError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("targets"), std::string::npos) << text;
    EXPECT_NE(text.find("input, target"), std::string::npos) << text;
  }
  EXPECT_THROW(batch.weight(), DataError);
  EXPECT_THROW(Batch().input(), DataError);
  EXPECT_THROW(Batch().target(), DataError);
}

// Rows 1 and 0 of a table, left in place.
Batch in_place(const torch::Tensor& table) {
  Batch batch({{"target", torch::arange(2)}});
  Rows rows;
  Rows(table).select(std::vector<int64_t>{1, 0}, rows);
  batch.set("input", rows);
  batch.set("weight", rows);
  return batch;
}

TEST(Batch, what_is_done_to_a_tensor_in_place_stays_in_the_batch_and_out_of_the_data) {
  const auto table = torch::arange(6.0).view({3, 2});
  const auto expected = torch::tensor({{4.0, 6.0}, {0.0, 2.0}}, torch::kFloat);
  using Access = torch::Tensor (*)(Batch&);
  const std::pair<const char*, Access> accesses[] = {
      {"input", [](Batch& batch) { return batch.input(); }},
      {"input", [](Batch& batch) { return batch["input"]; }},
      {"input", [](Batch& batch) { return batch.tensors()[1].second; }},
      {"weight", [](Batch& batch) { return batch.weight(); }}};
  for (const auto& [name, access] : accesses) {
    Batch batch = in_place(table);
    const Batch before = batch;
    access(batch).mul_(2.0);
    access(batch).narrow(0, 1, 1).mul_(1.0);  // the second call gives the same tensor
    const Batch& read = batch;
    EXPECT_TRUE(torch::equal(read[name], expected)) << name;
    const auto view = read.entries()[name == std::string("input") ? 1 : 2].second.view();
    ASSERT_TRUE(view) << name;
    EXPECT_EQ(static_cast<const float*>(view->data)[0], 4.0F) << name << ": what kernels read";
    EXPECT_TRUE(torch::equal(before[name], expected / 2.0)) << name;
  }
  EXPECT_TRUE(torch::equal(table, torch::arange(6.0).view({3, 2})));
}

TEST(Batch, reading_it_as_const_leaves_rows_in_place) {
  const Batch batch = in_place(torch::arange(6.0).view({3, 2}));
  batch.input().zero_();
  batch.weight().zero_();
  for (const auto& entry : batch.tensors()) entry.second.zero_();
  EXPECT_FALSE(batch.input_rows().is_dense());
  EXPECT_EQ(batch.input()[0][0].item<double>(), 2.0);
  static_assert(std::is_const_v<decltype(Batch().tensors())>, "a tensor put there would be lost");
}

TEST(Batch, swap_exchanges_everything) {
  Batch a = pair();
  a.row_ids() = {4, 5, 6};
  a.set_loader_index(2);
  Batch b;
  swap(a, b);
  EXPECT_EQ(a.rows(), 0);
  EXPECT_TRUE(a.row_ids().empty());
  EXPECT_EQ(a.loader_index(), 0);
  EXPECT_TRUE(torch::equal(b.input(), pair().input()));
  EXPECT_EQ(b.row_ids(), (std::vector<int64_t>{4, 5, 6}));
  EXPECT_EQ(b.loader_index(), 2);
}

TEST(Batch, an_empty_batch_has_no_rows) {
  EXPECT_EQ(Batch().rows(), 0);
  EXPECT_EQ(Batch({{"input", torch::Tensor()}}).rows(), 0);
  EXPECT_EQ(Batch({{"input", torch::zeros({0, 4})}}).rows(), 0);
}

// row 29: all of it moves to a device in one go
TEST(Batch, to_moves_every_tensor_and_shares_those_that_are_there) {
  Batch batch = pair();
  batch.row_ids() = {4, 5, 6};
  batch.set_loader_index(2);
  const Batch same = batch.to(at::kCPU);
  EXPECT_TRUE(same.input().is_same(batch.input()));
  EXPECT_EQ(same.row_ids(), batch.row_ids());
  EXPECT_EQ(same.loader_index(), 2);
  const Batch meta = batch.to(at::kMeta);  // a device every machine has
  for (const auto& [name, tensor] : meta.tensors()) EXPECT_TRUE(tensor.is_meta()) << name;
  EXPECT_EQ(meta.rows(), 3);
}

TEST(BatchCuda, to_moves_every_tensor_there_and_back) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU";
  const Batch batch = pair();
  const Batch there = batch.to(at::Device(at::kCUDA, 0));
  for (const auto& [name, tensor] : there.tensors()) EXPECT_TRUE(tensor.is_cuda()) << name;
  EXPECT_TRUE(torch::equal(there.to(at::kCPU).input(), batch.input()));
  EXPECT_TRUE(batch.pin_memory().input().is_pinned());
}

TEST(Batch, pin_memory_is_ignored_where_no_cuda_device_is) {
  const Batch pinned = pair().pin_memory();
  EXPECT_TRUE(torch::equal(pinned.input(), pair().input()));
  EXPECT_EQ(pinned.input().is_pinned(), torch::cuda::is_available());
}

}  // namespace levin::batch_test
