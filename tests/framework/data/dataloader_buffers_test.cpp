#include <gtest/gtest.h>
#include <levin/framework/data/dataloader.h>
#include <torch/torch.h>

#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "framework/data/dataloader_numbers.h"
#include "framework/data/steady_allocations.h"

// The memory of a DataLoader: buffers that go round, and rows that are left where they are.

namespace levin::dataloader_test {

TEST(DataLoader, a_batch_somebody_holds_is_never_written_again) {
  for (const int64_t workers : {0, 2}) {
    const DataLoader loader(numbers(200), {.batch_size = 10, .num_workers = workers});
    auto reader = loader.open();
    const auto weight = torch::ones({3, 1}, torch::requires_grad());
    Batch batch;
    ASSERT_TRUE(reader.next(batch));
    const auto held = batch.input();
    ASSERT_TRUE(reader.next(batch));
    const auto view = batch.target().slice(0, 3, 5);
    ASSERT_TRUE(reader.next(batch));
    const auto loss = batch.input().mm(weight).sum();
    ASSERT_TRUE(reader.next(batch));
    const Batch copy = batch;
    while (reader.next(batch)) {
    }
    reader.seek(1);
    while (reader.next(batch)) {
    }
    EXPECT_TRUE(torch::equal(held, torch::arange(30.0).view({10, 3})));
    EXPECT_TRUE(torch::equal(view, torch::tensor({13, 14})));
    EXPECT_TRUE(torch::equal(copy.target(), torch::arange(30, 40)));
    loss.backward();
    const auto expected = torch::arange(60.0, 90.0).view({10, 3}).sum(0).view({3, 1});
    EXPECT_TRUE(torch::equal(weight.grad(), expected)) << weight.grad();
  }
}

TEST(DataLoader, buffers_go_round_without_new_ones) {
  for (const int64_t workers : {0, 1, 3}) {
    const DataLoader loader(
        numbers(103),
        {.batch_size = 10, .shuffle = true, .num_workers = workers, .transform = add_noise});
    auto reader = loader.open();
    std::set<const void*> inputs;
    std::set<const void*> targets;
    std::set<const void*> row_ids;
    Batch batch;
    for (int64_t epoch = 0; epoch < 20; ++epoch) {
      reader.seek(epoch);
      while (reader.next(batch)) {
        inputs.insert(batch.input().const_data_ptr());
        targets.insert(batch.target().const_data_ptr());
        row_ids.insert(batch.row_ids().data());
      }
    }
    // The batch in the caller's hands, one between, and those being prepared.
    const auto most = static_cast<size_t>(workers == 0 ? 1 : 2 * workers + 2);
    std::printf("%d workers: %zu buffers in 220 batches\n", static_cast<int>(workers),
                inputs.size());
    EXPECT_LE(inputs.size(), 2 * most);  // a short batch may have come first: that buffer grew once
    EXPECT_LE(targets.size(), 2 * most);
    EXPECT_LE(row_ids.size(), 2 * most);
  }
}

TEST(DataLoader, nothing_is_allocated_once_buffers_are_there) {
  for (const int64_t workers : {0, 2}) {
    const DataLoader loader(
        numbers(103),
        {.batch_size = 10, .shuffle = true, .num_workers = workers, .transform = add_noise});
    auto reader = loader.open();
    EXPECT_EQ(test::steady_allocations(reader), 0) << workers << " workers, 66 batches";
  }
}

// Rows wide enough to stay in place: 400 bytes.
std::shared_ptr<TensorDataset> wide(int64_t rows) {
  return std::make_shared<TensorDataset>(torch::arange(rows * 100).view({rows, 100}).to(at::kFloat),
                                         torch::arange(rows));
}

TEST(DataLoader, rows_left_in_place_are_the_same_rows_in_the_same_order) {
  for (const int64_t rank : {0, 1}) {
    const DataLoader loader(wide(103), {.batch_size = 10, .shuffle = true, .seed = 7});
    const auto expected = read_epoch(loader, 2, {rank, 2});
    auto reader = loader.open(2, 0, {rank, 2});
    reader.leave_rows_in_place(true);
    std::vector<Snapshot> seen;
    Batch batch;
    while (reader.next(batch)) {
      EXPECT_FALSE(batch.input_rows().is_dense());
      seen.push_back(snapshot(batch, reader));
    }
    EXPECT_EQ(seen, expected);
    reader.leave_rows_in_place(false);
    reader.seek(2);
    EXPECT_EQ(read_all(reader), expected);
  }
}

TEST(DataLoader, rows_left_in_place_know_those_of_the_next_batch) {
  std::vector<int64_t> backwards(60);
  for (size_t i = 0; i < backwards.size(); ++i) backwards[i] = 99 - static_cast<int64_t>(i);
  const std::vector<std::shared_ptr<const Dataset>> data_sets{
      wide(53), std::make_shared<Subset>(wide(100), backwards)};
  for (const auto& data : data_sets) {
    for (const int64_t world_size : {1, 2}) {
      const DataLoader loader(data, {.batch_size = 10, .shuffle = true, .seed = 7});
      auto reader = loader.open(0, 0, {world_size - 1, world_size});
      reader.leave_rows_in_place(true);
      std::vector<int64_t> announced;
      Batch batch;
      while (reader.next(batch)) {
        const auto view = std::as_const(batch).input_rows().view();
        ASSERT_TRUE(view);
        const std::vector<int64_t> rows(view->numbers, view->numbers + view->count);
        if (reader.position() > 1) {
          EXPECT_EQ(rows, announced);
        }
        announced.assign(view->next_numbers, view->next_numbers + view->next_count);
      }
      EXPECT_TRUE(announced.empty());  // by the last batch
    }
  }
}

TEST(DataLoader, a_rank_without_rows_gets_a_batch_of_no_rows_in_place_too) {
  const DataLoader loader(wide(9), {.batch_size = 2});
  auto reader = loader.open(0, 2, {.rank = 1, .world_size = 2});
  reader.leave_rows_in_place(true);
  Batch batch;
  ASSERT_TRUE(reader.next(batch));
  const Batch& read = batch;
  EXPECT_FALSE(read.input_rows().is_dense());
  EXPECT_EQ(read.rows(), 0);
  EXPECT_EQ(read.input().sizes(), (Rows{0, 100}));
  EXPECT_EQ(read.target().sizes(), Rows{0});
  EXPECT_TRUE(read.row_ids().empty());
  EXPECT_EQ(reader.global_rows(), 1);
  EXPECT_FALSE(reader.next(batch));
}

TEST(DataLoader,
     rows_are_copied_unless_the_caller_wants_them_in_place_and_nothing_else_needs_them) {
  const auto is_dense = [](const DataLoaderOptions& options, bool in_place,
                           std::optional<at::Device> device = {}) {
    auto reader = DataLoader(wide(20), options).open();
    reader.leave_rows_in_place(in_place);
    if (device) reader.set_device(*device);
    Batch batch;
    EXPECT_TRUE(reader.next(batch));
    return batch.input_rows().is_dense();
  };
  EXPECT_TRUE(is_dense({}, false));
  EXPECT_FALSE(is_dense({}, true));
  EXPECT_FALSE(is_dense({}, true, at::kCPU));
  EXPECT_TRUE(is_dense({.num_workers = 1}, true));
  EXPECT_TRUE(is_dense({.transform = [](Batch&, const TransformContext&) {}}, true));
  // Without CUDA, there is no pinned memory.
  EXPECT_EQ(is_dense({.pin_memory = true}, true), torch::cuda::is_available());
}

TEST(DataLoader, rows_left_in_place_allocate_nothing_in_a_steady_epoch) {
  auto reader = DataLoader(wide(103), {.batch_size = 10, .shuffle = true}).open();
  reader.leave_rows_in_place(true);
  EXPECT_EQ(test::steady_allocations(reader), 0) << "66 batches";
}

TEST(DataLoader, the_data_set_itself_is_never_written) {
  const auto x = torch::arange(12.0).view({4, 3});
  const auto data = std::make_shared<TensorDataset>(x, torch::arange(4));
  const DataLoader loader(data, {.batch_size = 4, .transform = add_noise});
  read_epoch(loader);
  EXPECT_TRUE(torch::equal(x, torch::arange(12.0).view({4, 3})));
}

TEST(DataLoader, tensors_a_transform_puts_in_stay_whole) {
  const auto constant = torch::full({4, 3}, 7.0);
  std::vector<float> memory(12, 3);
  const DataLoader loader(numbers(20), {.batch_size = 4, .transform = [&](Batch& batch, auto&) {
                                          batch.set("input", constant);
                                          batch.set("target", torch::from_blob(memory.data(), {4}));
                                        }});
  auto reader = loader.open();
  Batch batch;
  while (reader.next(batch)) EXPECT_TRUE(batch.input().is_same(constant));
  EXPECT_TRUE(torch::equal(constant, torch::full({4, 3}, 7.0)));
  EXPECT_EQ(memory, std::vector<float>(12, 3));
}

}  // namespace levin::dataloader_test
