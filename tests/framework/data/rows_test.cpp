#include <gtest/gtest.h>
#include <levin/framework/data/rows.h>
#include <levin/framework/tensor/device.h>
#include <torch/torch.h>

#include <vector>

namespace levin::rows_test {

using Numbers = std::vector<int64_t>;

/// Rows 0.0 0.1 0.2, 1.0 1.1 1.2 ...: [count, 3] float32.
torch::Tensor table(int64_t count) {
  return torch::arange(count).view({-1, 1}) + torch::tensor({0.0F, 0.1F, 0.2F});
}

torch::Tensor chosen(const torch::Tensor& from, const Numbers& numbers) {
  return from.index_select(0, torch::tensor(numbers, at::kLong));
}

/// Row i of a view, whatever its kind.
std::vector<float> row_of(const kernels::RowView& view, int64_t i) {
  const int64_t place = (view.numbers != nullptr ? view.numbers[i] : i) * view.row_size;
  std::vector<float> values;
  for (int64_t j = place; j < place + view.row_size; ++j) {
    if (view.type == kernels::RowView::Type::float32) {
      values.push_back(static_cast<const float*>(view.data)[j]);
    } else {
      const auto byte = static_cast<float>(static_cast<const uint8_t*>(view.data)[j]);
      values.push_back((byte - view.zero_point) * view.scale);
    }
  }
  return values;
}

/// A view must show what `tensor` gives.
void expect_view_is_tensor(const Rows& rows) {
  const auto view = rows.view();
  ASSERT_TRUE(view);
  const auto tensor = rows.tensor();
  ASSERT_EQ(view->count, tensor.size(0));
  ASSERT_EQ(view->row_size * view->count, tensor.numel());
  for (int64_t i = 0; i < view->count; ++i) {
    const auto row = tensor[i].reshape({-1}).contiguous();
    const auto* values = row.const_data_ptr<float>();
    EXPECT_EQ(row_of(*view, i), std::vector<float>(values, values + row.numel()));
  }
}

TEST(Rows, no_tensor_means_no_rows) {
  const Rows none;
  EXPECT_FALSE(none.is_defined());
  EXPECT_EQ(none.size(), 0);
  EXPECT_EQ(none.nbytes(), 0U);
  EXPECT_FALSE(none.tensor().defined());
  EXPECT_FALSE(none.view());
  EXPECT_FALSE(none.to(at::kMeta).is_defined());
  EXPECT_FALSE(none.pin_memory().is_defined());
  EXPECT_EQ(Rows(torch::tensor(1.0)).size(), 0);
}

TEST(Rows, dense_rows_are_their_tensor) {
  const auto tensor = table(5);
  const Rows rows(tensor);
  EXPECT_TRUE(rows.is_dense());
  EXPECT_TRUE(rows.tensor().is_same(tensor));
  EXPECT_EQ(rows.size(), 5);
  EXPECT_EQ(rows.dtype(), at::kFloat);
  EXPECT_EQ(rows.row_shape(), Numbers{3});
  EXPECT_EQ(rows.nbytes(), 60U);
  expect_view_is_tensor(rows);
}

TEST(Rows, selected_rows_stay_in_place_and_gathered_rows_are_a_copy) {
  const auto source = table(9);
  const Rows all(source);
  const Numbers numbers{8, 0, 3, 3};
  Rows selected;
  Rows gathered;
  all.select(numbers, selected);
  all.gather(numbers, gathered);
  EXPECT_FALSE(selected.is_dense());
  EXPECT_TRUE(gathered.is_dense());
  EXPECT_TRUE(selected.source().is_same(source));
  EXPECT_FALSE(gathered.tensor().is_alias_of(source));
  for (const Rows* rows : {&selected, &gathered}) {
    EXPECT_EQ(rows->size(), 4);
    EXPECT_EQ(rows->row_shape(), Numbers{3});
    EXPECT_EQ(rows->nbytes(), 48U);
    EXPECT_TRUE(torch::equal(rows->tensor(), chosen(source, numbers)));
    expect_view_is_tensor(*rows);
  }
  EXPECT_FALSE(selected.tensor().is_same(selected.tensor())) << "each call gathers";
}

TEST(Rows, bytes_stand_for_floats_wherever_they_are_read) {
  const auto bytes = torch::arange(24, torch::kByte).view({6, 2, 2});
  const Rows all(bytes, {.scale = 0.5F, .zero_point = 2.0F});
  const auto numbers_meant = (bytes.to(torch::kFloat) - 2.0F) * 0.5F;
  EXPECT_EQ(all.dtype(), at::kFloat);
  EXPECT_FALSE(all.is_dense());
  EXPECT_TRUE(torch::equal(all.tensor(), numbers_meant));
  expect_view_is_tensor(all);
  const Numbers numbers{5, 1};
  Rows rows;
  all.select(numbers, rows);
  EXPECT_EQ(rows.nbytes(), 32U);
  EXPECT_TRUE(torch::equal(rows.tensor(), chosen(numbers_meant, numbers)));
  expect_view_is_tensor(rows);
  all.gather(numbers, rows);
  EXPECT_TRUE(rows.is_dense());
  EXPECT_TRUE(torch::equal(rows.tensor(), chosen(numbers_meant, numbers)));
  EXPECT_TRUE(torch::equal(all.narrow(2, 3).tensor(), numbers_meant.narrow(0, 2, 3)));
}

TEST(Rows, rows_of_a_selection_are_those_of_its_source) {
  const auto source = table(9);
  Rows odd;
  Rows(source).select(Numbers{1, 3, 5, 7}, odd);
  Rows rows;
  odd.select(Numbers{3, 0}, rows);
  EXPECT_TRUE(torch::equal(rows.tensor(), chosen(source, {7, 1})));
  odd.gather(Numbers{2, 2}, rows);
  EXPECT_TRUE(rows.is_dense());
  EXPECT_TRUE(torch::equal(rows.tensor(), chosen(source, {5, 5})));
}

TEST(Rows, narrow_gives_a_stretch_of_either_kind_without_a_copy) {
  const auto source = table(9);
  const Rows all(source);
  EXPECT_TRUE(all.narrow(2, 4).tensor().is_alias_of(source));
  EXPECT_TRUE(torch::equal(all.narrow(2, 4).tensor(), source.narrow(0, 2, 4)));
  Rows selected;
  all.select(Numbers{8, 0, 3, 3}, selected);
  const Rows part = selected.narrow(1, 2);
  EXPECT_TRUE(part.source().is_same(source));
  EXPECT_TRUE(torch::equal(part.tensor(), chosen(source, {0, 3})));
  const Rows none = selected.narrow(0, 0);
  EXPECT_EQ(none.size(), 0);
  EXPECT_EQ(none.tensor().sizes(), (Numbers{0, 3}));
  EXPECT_EQ(none.view()->count, 0);
}

TEST(Rows, words_are_copied_from_wherever_they_begin) {
  for (const int64_t width : {4, 8}) {
    const auto bytes = torch::arange(6 * width + 1, torch::kByte);
    const auto source = bytes.narrow(0, 1, 6 * width).view({6, width});  // begins at an odd address
    Rows rows;
    Rows(source).gather(Numbers{5, 0, 3}, rows);
    EXPECT_TRUE(torch::equal(rows.tensor(), chosen(source, {5, 0, 3}))) << width;
  }
}

TEST(Rows, sealed_rows_and_those_chosen_from_them_are_read_like_others) {
  const auto source = table(9);
  Rows all(source);
  all.seal();
  const Numbers numbers{8, 0, 3};
  Rows rows;
  all.gather(numbers, rows);
  EXPECT_TRUE(torch::equal(rows.tensor(), chosen(source, numbers)));
  all.select(numbers, rows);
  expect_view_is_tensor(rows);
  EXPECT_TRUE(torch::equal(rows.narrow(1, 2).tensor(), chosen(source, {0, 3})));
  Rows transposed(torch::randn({3, 9}).t());
  transposed.seal();
  EXPECT_FALSE(transposed.view());
  transposed.gather(numbers, rows);
  EXPECT_TRUE(torch::equal(rows.tensor(), chosen(transposed.source(), numbers)));
}

TEST(Rows, memory_that_held_sealed_rows_is_examined_anew) {
  Rows all(table(9));
  all.seal();
  Rows rows;
  all.select(Numbers{1, 2}, rows);
  all.gather(Numbers{1, 2}, rows);
  rows.tensor().set_requires_grad(true);
  EXPECT_FALSE(rows.view()) << "it takes part in a graph";
}

TEST(Rows, move_to_a_device_gathered_and_stay_in_place_on_their_own) {
  const Rows all(table(9));
  Rows selected;
  all.select(Numbers{4, 2}, selected);
  EXPECT_FALSE(selected.to(at::kCPU).is_dense());
  const Rows meta = selected.to(at::kMeta);
  EXPECT_TRUE(meta.tensor().is_meta());
  EXPECT_EQ(meta.size(), 2);
  EXPECT_FALSE(meta.view());
}

TEST(Rows, together_are_copies_in_which_bytes_stay_bytes) {
  const auto bytes = torch::arange(60, torch::kByte).view({20, 3});
  const ByteScale scale{.scale = 0.5F, .zero_point = 3.0F};
  const Rows all(bytes, scale);
  EXPECT_TRUE(all.is_whole());
  EXPECT_TRUE(all.together(/*pinned=*/false).source().is_same(bytes)) << "nothing to do";
  Rows selected;
  all.select(Numbers{4, 19, 0}, selected);
  EXPECT_FALSE(selected.is_whole());
  const Rows together = selected.together(/*pinned=*/false);
  EXPECT_TRUE(together.is_whole());
  EXPECT_TRUE(torch::equal(together.source(), chosen(bytes, {4, 19, 0})));
  EXPECT_EQ(together.scale(), scale);
  EXPECT_TRUE(torch::equal(together.tensor(), selected.tensor()));
  expect_view_is_tensor(together);

  Rows(table(9)).select(Numbers{8, 1}, selected);
  EXPECT_TRUE(selected.together(/*pinned=*/false).is_dense());
  EXPECT_TRUE(torch::equal(selected.together(/*pinned=*/false).tensor(), chosen(table(9), {8, 1})));
  const auto turned = torch::arange(20).view({2, 10}).t();  // not contiguous
  Rows(turned).select(Numbers{8, 1}, selected);
  EXPECT_TRUE(torch::equal(selected.together(/*pinned=*/false).tensor(), chosen(turned, {8, 1})));
}

TEST(Rows, like_others_have_their_form_and_memory_of_their_own) {
  const Rows bytes(torch::zeros({4, 3}, torch::kByte), ByteScale{.scale = 0.5F});
  const Rows like = bytes.like();
  EXPECT_EQ(like.source().sizes(), bytes.source().sizes());
  EXPECT_EQ(like.source().scalar_type(), torch::kByte);
  EXPECT_EQ(like.scale(), bytes.scale());
  EXPECT_NE(like.source().const_data_ptr(), bytes.source().const_data_ptr());
  Rows selected;
  Rows(table(9)).select(Numbers{8, 1}, selected);
  EXPECT_TRUE(selected.like().is_dense());
  EXPECT_EQ(selected.like().size(), 2);
}

TEST(RowsCuda, move_to_a_device_and_are_gathered_there) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU";
  const Rows all(table(9));
  Rows selected;
  all.select(Numbers{4, 2}, selected);
  const Rows there = selected.to(at::Device(at::kCUDA, 0));
  EXPECT_TRUE(torch::equal(there.to(at::kCPU).tensor(), selected.tensor()));
  EXPECT_TRUE(selected.pin_memory().tensor().is_pinned());
  Rows bytes;
  Rows(torch::arange(60, torch::kByte).view({20, 3}), ByteScale{}).select(Numbers{7, 3}, bytes);
  const Rows pinned = bytes.pin_memory();
  EXPECT_TRUE(pinned.source().is_pinned());
  EXPECT_EQ(pinned.source().scalar_type(), torch::kByte);
  const Rows bytes_there = pinned.to(at::Device(at::kCUDA, 0));
  EXPECT_EQ(bytes_there.source().scalar_type(), torch::kByte) << "converted there";
  EXPECT_TRUE(torch::equal(bytes_there.tensor().cpu(), bytes.tensor()));
  Rows gathered;
  Rows(table(9).cuda()).gather(Numbers{4, 2}, gathered);
  EXPECT_TRUE(torch::equal(gathered.tensor().cpu(), selected.tensor()));
}

TEST(Rows, a_kernel_is_shown_plain_numbers_only) {
  EXPECT_FALSE(Rows(table(9).to(torch::kDouble)).view());
  EXPECT_FALSE(Rows(table(9).t()).view());
  EXPECT_FALSE(Rows(table(9).set_requires_grad(true)).view());
  EXPECT_FALSE(Rows(torch::ones({4, 3}, torch::kByte)).view()) << "no scale";
}

TEST(Rows, gather_keeps_graphs_and_takes_tensors_that_are_not_contiguous) {
  const auto learnt = table(9).set_requires_grad(true);
  Rows rows;
  Rows(learnt).gather(Numbers{4, 2}, rows);
  EXPECT_TRUE(rows.tensor().requires_grad());
  const auto transposed = torch::randn({3, 9}).t();
  Rows(transposed).gather(Numbers{4, 2}, rows);
  EXPECT_TRUE(torch::equal(rows.tensor(), chosen(transposed, {4, 2})));
}

// Rows that follow each other are copied without a list of their numbers, also on a device.
void expect_copies_of_consecutive_rows(const Rows& all, const torch::Tensor& expected) {
  Rows rows;
  all.gather(Numbers{2, 3, 4}, rows);
  EXPECT_TRUE(torch::equal(rows.tensor().cpu(), expected.narrow(0, 2, 3)));
  EXPECT_FALSE(rows.tensor().is_alias_of(all.source()));
  all.gather(Numbers{8}, rows);
  EXPECT_TRUE(torch::equal(rows.tensor().cpu(), expected.narrow(0, 8, 1)));
  all.gather(Numbers{}, rows);
  EXPECT_EQ(rows.size(), 0);
}

TEST(Rows, consecutive_ones_are_a_copy) {
  const auto transposed = torch::randn({3, 9}).t();
  expect_copies_of_consecutive_rows(Rows(transposed), transposed);
  const auto bytes = torch::randint(256, {3, 9}, torch::kByte).t();
  const ByteScale scale{.scale = 0.25F, .zero_point = 3.0F};
  expect_copies_of_consecutive_rows(Rows(bytes, scale), (bytes.to(torch::kFloat) - 3) * 0.25);
}

TEST(RowsCuda, consecutive_ones_are_a_copy) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
  expect_copies_of_consecutive_rows(Rows(table(9).cuda()), table(9));
  const auto labels = torch::arange(9);
  expect_copies_of_consecutive_rows(Rows(labels.cuda()), labels);
  const auto bytes = torch::randint(256, {9, 5}, torch::kByte);
  const ByteScale scale{.scale = 0.25F, .zero_point = 3.0F};
  expect_copies_of_consecutive_rows(Rows(bytes.cuda(), scale),
                                    (bytes.to(torch::kFloat) - 3) * 0.25);
}

TEST(Rows, memory_is_used_again_unless_somebody_else_uses_it) {
  const auto source = table(50);
  const Rows all(source);
  Rows rows;
  all.gather(Numbers{1, 2, 4}, rows);
  const void* memory = rows.source().const_data_ptr();
  all.gather(Numbers{7, 3}, rows);
  EXPECT_EQ(rows.source().const_data_ptr(), memory);
  rows.drop_shared();
  EXPECT_TRUE(rows.is_defined());
  const auto held = rows.tensor();
  all.gather(Numbers{0, 0}, rows);
  EXPECT_NE(rows.source().const_data_ptr(), memory);
  EXPECT_TRUE(torch::equal(held, chosen(source, {7, 3})));
  const auto shared = rows.tensor();
  rows.drop_shared();
  EXPECT_FALSE(rows.is_defined());
  all.select(Numbers{1}, rows);
  rows.drop_shared();
  EXPECT_FALSE(rows.is_defined());
}

TEST(Rows, a_selection_never_writes_to_the_tensor_it_refers_to) {
  auto source = table(4);
  const auto view = source.view({12});  // keeps the memory
  Rows rows;
  Rows(source).select(Numbers{1, 0, 3, 2}, rows);
  source.reset();
  rows.allocate(4, {3}, at::kFloat).fill_(7.0F);
  EXPECT_TRUE(torch::equal(view, table(4).view({12})));
  EXPECT_TRUE(rows.is_dense());
  EXPECT_EQ(rows.size(), 4);
}

}  // namespace levin::rows_test
