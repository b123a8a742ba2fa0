// Sparse rows in data sets, loaders and batches, beside the same rows stored densely.
#include <gtest/gtest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/dataloader.h>
#include <levin/framework/data/device_copies.h>
#include <levin/framework/data/sparse_rows.h>
#include <torch/torch.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "framework/data/steady_allocations.h"
#include "framework/message_of.h"

namespace levin::sparse_batches_test {

using test::message_of;
using test::says;
using Numbers = std::vector<int64_t>;

/// Two of three numbers are 0, and row 5 has no others.
torch::Tensor dense_rows(int64_t rows) {
  torch::manual_seed(5);
  auto x = torch::randn({rows, 9}) * torch::rand({rows, 9}).lt(0.3);
  x[5].zero_();
  return x;
}

std::shared_ptr<TensorDataset> sparse_data(int64_t rows) {
  return std::make_shared<TensorDataset>(dense_rows(rows).to_sparse_csr(), torch::arange(rows));
}
std::shared_ptr<TensorDataset> dense_data(int64_t rows) {
  return std::make_shared<TensorDataset>(dense_rows(rows), torch::arange(rows));
}

/// The batches of an epoch; sparse ones must be sparse and are made dense.
std::vector<Batch> read_epoch(const std::shared_ptr<const Dataset>& data,
                              const DataLoaderOptions& options, RankShare share, bool in_place,
                              bool is_sparse) {
  auto reader = DataLoader(data, options).open(1, 0, share);
  reader.leave_rows_in_place(in_place);
  std::vector<Batch> batches;
  Batch batch;
  while (reader.next(batch)) {
    EXPECT_EQ(batch.input_rows().is_sparse(), is_sparse);
    if (is_sparse && options.num_workers == 0 && !options.transform) {
      EXPECT_EQ(batch.input_rows().is_whole(), !in_place);
    }
    Batch copy({{"input", to_dense(batch.input_rows()).clone()},
                {"target", std::as_const(batch).target().clone()}});
    copy.row_ids() = batch.row_ids();
    batches.push_back(std::move(copy));
  }
  return batches;
}

void expect_same(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_TRUE(torch::equal(a[i].input(), b[i].input())) << i;
    EXPECT_TRUE(torch::equal(a[i].target(), b[i].target())) << i;
    EXPECT_EQ(a[i].row_ids(), b[i].row_ids()) << i;
  }
}

TEST(SparseBatches, are_those_of_dense_rows_for_any_workers_ranks_and_place) {
  for (const int64_t workers : {0, 2}) {
    for (const RankShare share : {RankShare{0, 1}, RankShare{1, 2}, RankShare{3, 4}}) {
      for (const bool in_place : {false, true}) {
        const DataLoaderOptions options{
            .batch_size = 8, .shuffle = true, .num_workers = workers, .seed = 3};
        const auto dense = read_epoch(dense_data(65), options, share, in_place, false);
        expect_same(read_epoch(sparse_data(65), options, share, in_place, true), dense);
        const Numbers rows{60, 3, 5, 7, 11, 5, 64, 0, 1};
        expect_same(read_epoch(std::make_shared<Subset>(sparse_data(65), rows), options, share,
                               in_place, true),
                    read_epoch(std::make_shared<Subset>(dense_data(65), rows), options, share,
                               in_place, false));
      }
    }
  }
}

/// A stream that ends after 21 rows.
class SparseStream : public Dataset {
 public:
  explicit SparseStream(bool is_sparse) : data_(is_sparse ? sparse_data(21) : dense_data(21)) {}
  std::optional<int64_t> size() const override { return {}; }
  void get_batch(std::span<const int64_t> rows, Batch& out) const override {
    Numbers there;
    for (const int64_t row : rows) {
      if (row < 21) there.push_back(row);
    }
    data_->get_batch(there, out);
  }

 private:
  std::shared_ptr<TensorDataset> data_;
};

TEST(SparseBatches, of_a_stream_are_shared_by_the_ranks) {
  for (const int64_t rank : {0, 1, 2}) {
    const DataLoaderOptions options{.batch_size = 5};
    const RankShare share{rank, 3};
    const auto read = [&](bool is_sparse) {
      return read_epoch(std::make_shared<SparseStream>(is_sparse), options, share, false,
                        is_sparse);
    };
    expect_same(read(true), read(false));
  }
}

TEST(SparseBatches, go_through_transforms_as_sparse_tensors) {
  for (const int64_t workers : {0, 2}) {
    DataLoaderOptions options{.batch_size = 8, .num_workers = workers};
    options.transform = [](Batch& batch, const TransformContext&) { batch.input().mul_(2.0); };
    const auto dense = read_epoch(dense_data(65), options, {}, true, false);
    const auto data = sparse_data(65);
    expect_same(read_epoch(data, options, {}, true, true), dense);
    EXPECT_TRUE(torch::equal(data->tensors()[0].second.to_dense(), dense_rows(65)))
        << "the data set was written";
    options.transform = [](Batch& batch, const TransformContext&) {
      batch.set("input", batch.input().to_dense() * 2.0);
    };
    expect_same(read_epoch(data, options, {}, true, false), dense);
  }
}

// Rows without values get some when a hook asks for their tensor, so that changes last.
TEST(SparseBatches, what_a_hook_changes_in_place_stays_in_the_batch) {
  const auto offsets = torch::tensor({0, 2, 3});
  const auto columns = torch::tensor({1, 2, 0}, torch::kInt);
  for (const bool is_selected : {false, true}) {
    Rows rows = Rows::sparse(offsets, columns, {}, 3);
    if (is_selected) {
      const Rows all = rows;
      all.select(Numbers{0, 1}, rows);
    }
    Batch batch;
    batch.set("input", rows);
    EXPECT_TRUE(std::as_const(batch).input().layout() == at::kSparseCsr);
    batch.input().mul_(3.0);
    batch.input().add_(batch.input());
    EXPECT_TRUE(torch::equal(to_dense(batch.input_rows()),
                             torch::tensor({{0.0F, 6.0F, 6.0F}, {6.0F, 0.0F, 0.0F}})));
    EXPECT_TRUE(torch::equal(std::as_const(batch).tensors()[0].second.to_dense(),
                             to_dense(batch.input_rows())));
  }
}

TEST(SparseBatches, nothing_is_allocated_once_buffers_are_there) {
  const auto columns = torch::tensor({1, 3, 8}, torch::kInt).repeat({103});
  const auto data = std::make_shared<TensorDataset>(TensorDataset::of_rows(
      {{"input", Rows::sparse(torch::arange(104) * 3, columns, torch::randn(309), 9)},
       {"target", torch::arange(103)}}));
  for (const int64_t workers : {0, 2}) {
    for (const bool in_place : {false, true}) {
      auto reader =
          DataLoader(data, {.batch_size = 10, .shuffle = true, .num_workers = workers}).open();
      reader.leave_rows_in_place(in_place);
      EXPECT_EQ(test::steady_allocations(reader), 0) << workers << " workers, 66 batches";
    }
  }
}

TEST(SparseBatches, move_with_everything_they_consist_of) {
  Batch batch;
  sparse_data(20)->select_batch(Numbers{3, 5, 1}, batch);
  const Batch there = DeviceCopies(at::kMeta).copy(batch);
  EXPECT_TRUE(there.input_rows().values().is_meta());
  EXPECT_TRUE(there.target().is_meta());
  EXPECT_EQ(there.rows(), 3);
  EXPECT_TRUE(
      torch::equal(to_dense(batch.pin_memory().input_rows()), to_dense(batch.input_rows())));
}

TEST(SparseDataset, is_made_of_a_sparse_tensor_or_of_rows) {
  const auto x = dense_rows(20);
  const TensorDataset data(x.to_sparse_csr(), torch::arange(20));
  EXPECT_EQ(data.size(), 20);
  EXPECT_TRUE(data.entries()[0].second.is_sparse());
  EXPECT_EQ(data.tensors()[0].second.layout(), at::kSparseCsr);
  EXPECT_TRUE(torch::equal(data.tensors()[0].second.to_dense(), x));
  EXPECT_TRUE(torch::equal(to_dense(data.get(7).input_rows()), x.narrow(0, 7, 1)));
  Rows chosen;
  Rows(x.to_sparse_csr()).select(Numbers{4, 2}, chosen);
  const auto from_rows = TensorDataset::of_rows({{"input", chosen}, {"target", torch::ones(2)}});
  EXPECT_TRUE(from_rows.entries()[0].second.is_whole());
  EXPECT_TRUE(torch::equal(to_dense(from_rows.entries()[0].second),
                           x.index_select(0, torch::tensor({4, 2}))));
  const auto bytes = TensorDataset::of_rows(
      {{"input", Rows(torch::ones({2, 3}, torch::kByte), {.scale = 0.5F, .zero_point = 0.0F})}});
  EXPECT_EQ(bytes.get(0).input()[0][0].item<float>(), 0.5F);
}

TEST(SparseDataset, is_found_in_memory_but_never_copied_to_a_device) {
  const std::shared_ptr<const Dataset> data = sparse_data(20);
  const auto found = find_in_memory(std::make_shared<Subset>(data, Numbers{4, 2}));
  EXPECT_EQ(found.tensors.get(), data.get());
  EXPECT_EQ(found.rows, (Numbers{4, 2}));
  EXPECT_EQ(found.tensors->on(at::kMeta), nullptr);
  auto reader = DataLoader(data, {.batch_size = 4}).open();
  EXPECT_FALSE(reader.reside(at::kCPU, size_t{1} << 30));
  Batch batch;
  EXPECT_TRUE(reader.next(batch)) << "it is streamed then";
  EXPECT_FALSE(reader.can_record());
}

TEST(SparseDataset, refuses_what_it_cannot_read) {
  const auto x = dense_rows(20).to_sparse_csr();
  const auto refuse = [](const torch::Tensor& input, const torch::Tensor& target) {
    return message_of<DataError>([&] { TensorDataset(input, target); });
  };
  EXPECT_TRUE(says(refuse(x, torch::arange(19)), {"20", "19"}));
  EXPECT_TRUE(says(refuse(x.to(torch::kDouble), torch::arange(20)),
                   {"tensor 'input': its layout and type is SparseCsr Double", "to(at::kFloat)"}));
  EXPECT_TRUE(says(refuse(dense_rows(20).to_sparse_csc(), torch::arange(20)), {"SparseCsc"}));
  const auto unsorted =
      Rows::sparse(torch::tensor({0, 2}), torch::tensor({3, 1}, torch::kInt), {}, 4);
  EXPECT_TRUE(says(message_of<DataError>([&] {
                     TensorDataset::of_rows({{"words", unsorted}});
                   }),
                   {"tensor 'words', row 0, entry 1", "sorted_entries"}));
  TensorDataset data(x, torch::arange(20));
  EXPECT_TRUE(says(message_of<DataError>([&] { data.set_scale("input", {}); }), {"Float"}));
}

}  // namespace levin::sparse_batches_test
