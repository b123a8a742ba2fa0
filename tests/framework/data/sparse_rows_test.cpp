#include <gtest/gtest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/sparse_rows.h>
#include <torch/torch.h>

#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "framework/message_of.h"

namespace levin::sparse_rows_test {

using test::message_of;
using test::says;
using Numbers = std::vector<int64_t>;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

torch::Tensor offsets_of(const Numbers& offsets) { return torch::tensor(offsets, torch::kLong); }
torch::Tensor columns_of(const std::vector<int32_t>& columns) {
  return torch::tensor(columns, torch::kInt);
}

/// [4, 5], of which row 1 is empty.
///
///     0 1 0 0 2
///     0 0 0 0 0
///     3 0 0 4 0
///     0 0 5 0 0
Rows table(bool has_values = true) {
  const auto values = torch::tensor({1.0F, 2.0F, 3.0F, 4.0F, 5.0F});
  return Rows::sparse(offsets_of({0, 2, 2, 4, 5}), columns_of({1, 4, 0, 3, 2}),
                      has_values ? values : torch::Tensor(), 5);
}

torch::Tensor dense_table(bool has_values = true) {
  const auto table = torch::tensor({{0.0F, 1.0F, 0.0F, 0.0F, 2.0F},
                                    {0.0F, 0.0F, 0.0F, 0.0F, 0.0F},
                                    {3.0F, 0.0F, 0.0F, 4.0F, 0.0F},
                                    {0.0F, 0.0F, 5.0F, 0.0F, 0.0F}});
  return has_values ? table : table.ne(0).to(torch::kFloat);
}

torch::Tensor chosen(const torch::Tensor& from, const Numbers& numbers) {
  return from.index_select(0, torch::tensor(numbers, at::kLong));
}

/// What a kernel reads.
torch::Tensor read(const kernels::SparseView& view) {
  auto dense = torch::zeros({view.count, view.row_size});
  for (int64_t i = 0; i < view.count; ++i) {
    const int64_t row = view.numbers != nullptr ? view.numbers[i] : i;
    for (int64_t j = view.offsets[row]; j < view.offsets[row + 1]; ++j) {
      dense[i][view.indices[j]] = view.values != nullptr ? view.values[j] : 1.0F;
    }
  }
  return dense;
}

/// The rows must say the same in all ways of reading them.
void expect_rows(const Rows& rows, const torch::Tensor& expected) {
  ASSERT_TRUE(rows.is_sparse());
  EXPECT_FALSE(rows.is_dense());
  EXPECT_EQ(rows.size(), expected.size(0));
  EXPECT_EQ(rows.dtype(), at::kFloat);
  EXPECT_EQ(rows.row_shape(), Numbers{expected.size(1)});
  const auto tensor = rows.tensor();
  EXPECT_EQ(tensor.layout(), at::kSparseCsr);
  EXPECT_EQ(tensor.sizes(), expected.sizes());
  EXPECT_TRUE(torch::equal(tensor.to_dense(), expected)) << tensor.to_dense();
  EXPECT_TRUE(torch::equal(to_dense(rows), expected));
  ASSERT_TRUE(rows.sparse_view());
  EXPECT_TRUE(torch::equal(read(*rows.sparse_view()), expected));
  EXPECT_EQ(rows.num_entries(), expected.count_nonzero().item<int64_t>());
  EXPECT_EQ(rows.nbytes(), 8U * static_cast<size_t>(rows.num_entries() + rows.size()));
  EXPECT_FALSE(rows.view()) << "kernels for dense rows can't read them";
  EXPECT_FALSE(rows.device_view());
}

TEST(SparseRows, are_read_as_they_were_given) {
  for (const bool has_values : {true, false}) {
    expect_rows(table(has_values), dense_table(has_values));
  }
  EXPECT_FALSE(Rows(dense_table()).sparse_view());
  EXPECT_TRUE(torch::equal(to_dense(Rows(dense_table())), dense_table()));
}

TEST(SparseRows, selected_rows_stay_in_place_and_gathered_rows_are_a_copy) {
  for (const bool has_values : {true, false}) {
    const Rows all = table(has_values);
    const auto dense = dense_table(has_values);
    for (const Numbers& numbers : {Numbers{3, 0, 0}, Numbers{1}, Numbers{}, Numbers{0, 1, 2, 3}}) {
      Rows selected;
      Rows gathered;
      all.select(numbers, selected);
      all.gather(numbers, gathered);
      expect_rows(selected, chosen(dense, numbers));
      expect_rows(gathered, chosen(dense, numbers));
      EXPECT_FALSE(selected.is_whole());
      EXPECT_TRUE(gathered.is_whole());
      EXPECT_TRUE(selected.indices().is_same(all.indices()));
      EXPECT_FALSE(gathered.indices().is_alias_of(all.indices()));
    }
  }
}

TEST(SparseRows, rows_of_a_selection_are_those_of_its_source) {
  Rows odd;
  table().select(Numbers{3, 2, 0}, odd);
  Rows rows;
  odd.select(Numbers{1, 1}, rows);
  expect_rows(rows, chosen(dense_table(), {2, 2}));
  odd.gather(Numbers{2, 0}, rows);
  expect_rows(rows, chosen(dense_table(), {0, 3}));
  expect_rows(odd.narrow(1, 2), chosen(dense_table(), {2, 0}));
}

TEST(SparseRows, narrowed_rows_share_their_entries) {
  const Rows all = table();
  for (int64_t first = 0; first <= 4; ++first) {
    for (int64_t count = 0; first + count <= 4; ++count) {
      const Rows part = all.narrow(first, count);
      expect_rows(part, dense_table().narrow(0, first, count));
      EXPECT_TRUE(part.values().is_alias_of(all.values()));
      Rows last;
      if (count > 0) part.gather(Numbers{count - 1}, last);
      if (count > 0) expect_rows(last, chosen(dense_table(), {first + count - 1}));
    }
  }
}

TEST(SparseRows, a_tensor_of_them_shares_their_memory_and_becomes_them_again) {
  const Rows rows = table();
  const auto tensor = rows.tensor();
  EXPECT_TRUE(tensor.values().is_alias_of(rows.values()));
  EXPECT_TRUE(tensor.col_indices().is_alias_of(rows.indices()));
  const Rows again = tensor;
  expect_rows(again, dense_table());
  EXPECT_TRUE(again.values().is_alias_of(rows.values()));
  EXPECT_TRUE(again.indices().is_alias_of(rows.indices()));
  expect_rows(Rows(dense_table().to_sparse_csr()), dense_table());  // with int64 indices
}

// Such tensors stay what they are, as those of other layouts do.
TEST(SparseRows, other_sparse_tensors_do_not_become_sparse_rows) {
  const auto csr = dense_table().to_sparse_csr();
  EXPECT_FALSE(Rows(csr.to(torch::kDouble)).is_sparse());
  EXPECT_FALSE(Rows(dense_table().to_sparse()).is_sparse());
  EXPECT_FALSE(Rows(dense_table().to_sparse_csc()).is_sparse());
  EXPECT_FALSE(Rows(csr.detach().requires_grad_()).is_sparse());
  const auto bad = at::_sparse_csr_tensor_unsafe(offsets_of({0, 1, 2}), offsets_of({1, 1L << 33}),
                                                 torch::ones(2), {2, 5});
  EXPECT_TRUE(says(message_of<DataError>([&] { const Rows rows = bad; }),
                   {"entry 1: the column is 8589934592", "from 0 to 4"}));
}

TEST(SparseRows, are_gathered_into_memory_that_nobody_else_uses) {
  const Rows all = table();
  Rows out;
  all.gather(Numbers{2, 2, 0}, out);
  const void* const values = out.values().const_data_ptr();
  const void* const indices = out.indices().const_data_ptr();
  out.drop_shared();
  all.gather(Numbers{3, 0}, out);
  EXPECT_EQ(out.values().const_data_ptr(), values);
  EXPECT_EQ(out.indices().const_data_ptr(), indices);
  const auto kept = out.tensor();
  out.drop_shared();
  EXPECT_FALSE(out.is_defined());
  all.gather(Numbers{2, 2}, out);
  EXPECT_TRUE(torch::equal(kept.to_dense(), chosen(dense_table(), {3, 0}))) << "was written again";
  expect_rows(out, chosen(dense_table(), {2, 2}));
  Rows(dense_table()).gather(Numbers{1, 2}, out);
  EXPECT_TRUE(out.is_dense());
  EXPECT_TRUE(torch::equal(out.tensor(), chosen(dense_table(), {1, 2})));
  table(/*has_values=*/false).gather(Numbers{0}, out);
  expect_rows(out, chosen(dense_table(false), {0}));
}

TEST(SparseRows, come_together_in_memory_of_their_own) {
  Rows selected;
  table().select(Numbers{2, 0}, selected);
  const Rows together = selected.together(/*pinned=*/false);
  EXPECT_TRUE(together.is_whole());
  EXPECT_FALSE(together.values().is_alias_of(table().values()));
  expect_rows(together, chosen(dense_table(), {2, 0}));
  const Rows whole = table();
  EXPECT_TRUE(whole.together(false).values().is_same(whole.values()));
  expect_rows(whole.pin_memory(), dense_table());
  EXPECT_TRUE(whole.to(at::kCPU).values().is_same(whole.values()));
  const Rows like = selected.like();
  EXPECT_EQ(like.size(), 2);
  EXPECT_TRUE(torch::equal(like.indices(), columns_of({0, 3, 1, 4})));
  EXPECT_TRUE(torch::equal(like.source(), offsets_of({0, 2, 4})));
  EXPECT_EQ(like.values().sizes(), Numbers{4});
  EXPECT_FALSE(like.indices().is_alias_of(selected.indices()));
  auto dense = torch::full({2, 5}, 7.0F);
  selected.copy_to(dense);
  EXPECT_TRUE(torch::equal(dense, chosen(dense_table(), {2, 0})));
}

TEST(SparseRows, move_to_a_device_as_a_whole) {
  Rows selected;
  table().select(Numbers{3, 0}, selected);
  const Rows there = selected.to(at::kMeta);
  EXPECT_TRUE(there.is_sparse());
  EXPECT_TRUE(there.is_whole());
  EXPECT_EQ(there.size(), 2);
  for (const auto& tensor : there.memory()) EXPECT_TRUE(tensor.is_meta());
  EXPECT_EQ(there.memory().size(), 3U);
  EXPECT_FALSE(there.sparse_view());
  Rows rows;
  EXPECT_TRUE(says(message_of<DataError>([&] { there.gather(Numbers{0}, rows); }),
                   {"sparse rows on meta", "on the CPU alone"}));
  EXPECT_TRUE(says(message_of<DataError>([&] { there.select(Numbers{0}, rows); }), {"on meta"}));
  EXPECT_TRUE(
      says(message_of<DataError>([&] { table().select(torch::tensor({0}), rows); }), {"span"}));
}

TEST(SparseRows, of_wrong_types_and_shapes_are_refused) {
  const auto offsets = offsets_of({0, 1});
  const auto columns = columns_of({0});
  const auto refuse = [](const auto&... parts) {
    return message_of<DataError>([&] { Rows::sparse(parts...); });
  };
  EXPECT_TRUE(says(refuse(offsets.to(torch::kInt), columns, torch::Tensor(), 5),
                   {"the offsets of sparse rows are Int, but must be Long"}));
  EXPECT_TRUE(says(refuse(offsets, columns.to(torch::kLong), torch::Tensor(), 5),
                   {"the indices of sparse rows are Long, but must be Int"}));
  EXPECT_TRUE(says(refuse(offsets, columns, torch::ones(1, torch::kDouble), 5),
                   {"the values of sparse rows are Double, but must be Float"}));
  EXPECT_TRUE(says(refuse(offsets, columns, torch::ones(2), 5), {"2 numbers", "1 numbers long"}));
  EXPECT_TRUE(says(refuse(torch::Tensor(), columns, torch::ones(1), 5), {"offsets", "missing"}));
  EXPECT_TRUE(says(refuse(offsets_of({}), columns, torch::ones(1), 5), {"no offsets"}));
  EXPECT_TRUE(says(refuse(offsets, columns, torch::ones(1), 0), {"number of columns is 0"}));
}

TEST(SparseRows, with_bad_entries_are_refused_by_row_and_entry) {
  const auto refuse = [](const Numbers& offsets, const std::vector<int32_t>& columns,
                         const std::vector<float>& values) {
    return message_of<DataError>([&] {
      require_valid_entries(
          Rows::sparse(offsets_of(offsets), columns_of(columns), torch::tensor(values), 5), "x");
    });
  };
  EXPECT_TRUE(says(refuse({1, 2}, {0, 1}, {1, 1}), {"x: offset 0 is 1; the first must be 0"}));
  EXPECT_TRUE(says(refuse({0, 2, 1, 2}, {0, 1}, {1, 1}),
                   {"x: offset 2 is 1; it must be at least 2, the one before it"}));
  EXPECT_TRUE(says(refuse({0, 1, 1}, {0, 1}, {1, 1}),
                   {"x: offset 2 is 1; the last must be 2, the number of entries"}));
  EXPECT_TRUE(says(refuse({0, 1, 3}, {0, 2, -1}, {1, 1, 1}),
                   {"x, row 1, entry 1 of the row: the column is -1", "from 0 to 4"}));
  EXPECT_TRUE(says(refuse({0, 0, 2}, {1, 5}, {1, 1}),
                   {"x, row 1, entry 1 of the row: the column is 5", "counted from 1"}));
  EXPECT_TRUE(says(refuse({0, 2, 4}, {1, 2, 3, 3}, {1, 1, 1, 1}),
                   {"x, row 1, entry 1 of the row: the column is 3", "sorted_entries"}));
  EXPECT_TRUE(says(refuse({0, 2}, {2, 1}, {1, 1}),
                   {"x, row 0, entry 1 of the row: the column is 1", "has the column 2"}));
  EXPECT_TRUE(says(refuse({0, 1, 1, 3}, {0, 2, 4}, {1, 1, kNan}),
                   {"x, row 2, entry 1 of the row: the value is nan", "finite"}));
  require_valid_entries(table(), "x");
  require_valid_entries(table(false), "x");
  require_valid_entries(table().narrow(2, 2), "x");
}

TEST(SparseRows, are_sorted_and_summed_as_libtorch_does_it) {
  torch::manual_seed(3);
  const auto rows = std::get<0>(torch::randint(0, 30, {400}).sort());
  const auto columns = torch::randint(0, 12, {400});
  const auto values = torch::randn(400);
  const auto offsets =
      torch::cat({torch::zeros(1, torch::kLong), torch::bincount(rows, {}, 30).cumsum(0)});
  const auto dense =
      torch::sparse_coo_tensor(torch::stack({rows, columns}), values, {30, 12}).to_dense();
  const Rows given = Rows::sparse(offsets, columns.to(torch::kInt), values, 12);
  const Rows sorted = sorted_entries(given);
  require_valid_entries(sorted, "x");
  EXPECT_LT((to_dense(sorted) - dense).abs().max().item<float>(), 1e-6F);
  EXPECT_TRUE(sorted_entries(sorted).values().is_same(sorted.values())) << "nothing to do";
  const Rows ones = Rows::sparse(offsets_of({0, 3, 5}), columns_of({2, 0, 2, 4, 1}), {}, 5);
  EXPECT_TRUE(torch::equal(
      to_dense(sorted_entries(ones)),
      torch::tensor({{1.0F, 0.0F, 2.0F, 0.0F, 0.0F}, {0.0F, 1.0F, 0.0F, 0.0F, 1.0F}})));
  Rows last;
  ones.select(Numbers{1}, last);
  const Rows swapped = sorted_entries(last);
  EXPECT_FALSE(swapped.values().defined()) << "all are still 1";
  EXPECT_TRUE(torch::equal(swapped.indices(), columns_of({1, 4})));
}

}  // namespace levin::sparse_rows_test
