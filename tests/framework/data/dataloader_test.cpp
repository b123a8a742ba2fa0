#include <gtest/gtest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/dataloader.h>
#include <torch/torch.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "framework/data/dataloader_numbers.h"
#include "framework/message_of.h"

namespace levin::dataloader_test {

using test::message_of;

// row 11
TEST(DataLoader, a_batch_of_10_iris_rows_is_10x4_and_10) {
  const auto data = std::make_shared<TensorDataset>(torch::randn({150, 4}), torch::zeros({150}));
  const DataLoader loader(data, {.batch_size = 10, .shuffle = true});
  auto reader = loader.open();
  Batch batch;
  ASSERT_TRUE(reader.next(batch));
  EXPECT_EQ(batch.input().sizes(), (Rows{10, 4}));
  EXPECT_EQ(batch.target().sizes(), Rows{10});
  EXPECT_EQ(batch.rows(), 10);
  EXPECT_EQ(reader.size(), 15);
}

// row 12: same seed, same order, whatever the number of workers
TEST(DataLoader, every_epoch_is_the_same_for_any_number_of_workers) {
  for (const bool shuffle : {false, true}) {
    DataLoaderOptions options{
        .batch_size = 7, .shuffle = shuffle, .seed = 5, .transform = add_noise};
    std::vector<std::vector<Snapshot>> expected;
    for (const int64_t workers : {0, 1, 2, 3}) {
      options.num_workers = workers;
      auto reader = DataLoader(numbers(100), options).open();
      for (size_t epoch = 0; epoch < 4; ++epoch) {
        reader.seek(static_cast<int64_t>(epoch));
        auto batches = read_all(reader);
        ASSERT_EQ(batches.size(), 15U);
        EXPECT_EQ(batches.back().row_ids.size(), 2U);
        auto ids = ids_of(batches);
        std::sort(ids.begin(), ids.end());
        Rows all(100);
        std::iota(all.begin(), all.end(), 0);
        EXPECT_EQ(ids, all);
        if (workers == 0) {
          expected.push_back(std::move(batches));
        } else {
          EXPECT_EQ(batches, expected[epoch]) << workers << " workers, epoch " << epoch;
        }
      }
    }
    EXPECT_EQ(shuffle, ids_of(expected[0]) != ids_of(expected[1]));
  }
}

// row 12
TEST(DataLoader, the_seed_is_the_global_one_where_none_is_given) {
  const DataLoader loader(numbers(50), {.batch_size = 5, .shuffle = true});
  seed_everything(1);
  const auto first = read_epoch(loader);
  seed_everything(2);
  EXPECT_NE(read_epoch(loader), first);
  seed_everything(1);
  EXPECT_EQ(read_epoch(loader), first);
  const DataLoader seeded(numbers(50), {.batch_size = 5, .shuffle = true, .seed = 1});
  seed_everything(2);
  EXPECT_EQ(read_epoch(seeded), first);
}

TEST(DataLoader, seeking_anywhere_goes_on_as_if_read_through) {
  for (const int64_t workers : {0, 1, 2, 3}) {
    const DataLoader loader(numbers(53), {.batch_size = 4,
                                          .shuffle = true,
                                          .num_workers = workers,
                                          .seed = 9,
                                          .transform = add_noise});
    std::vector<std::vector<Snapshot>> through;
    for (int64_t epoch = 0; epoch < 3; ++epoch) through.push_back(read_epoch(loader, epoch));
    auto reader = loader.open();
    Batch batch;
    for (int64_t i = 0; i < 3 * 15; ++i) {
      const int64_t epoch = i * 2 % 3;  // forth and back
      const int64_t position = i * 11 % 15;
      reader.seek(epoch, position);
      EXPECT_EQ(reader.epoch(), epoch);
      EXPECT_EQ(reader.position(), position);
      EXPECT_EQ(reader.at_end(), position == 14);
      const auto& expected = through[static_cast<size_t>(epoch)];
      for (auto k = static_cast<size_t>(position); k < 14; ++k) {
        ASSERT_TRUE(reader.next(batch));
        ASSERT_EQ(snapshot(batch, reader), expected[k]) << workers << " " << epoch << " " << k;
        if (i % 3 == 0 && k > 5) break;  // leave some epochs in the middle
      }
      if (reader.at_end()) {
        EXPECT_FALSE(reader.next(batch));
      }
      auto opened = loader.open(epoch, position);
      ASSERT_EQ(opened.next(batch), position < 14);
      if (position < 14) {
        EXPECT_EQ(snapshot(batch, opened), expected[static_cast<size_t>(position)]);
      }
    }
  }
}

TEST(DataLoader, positions_and_shards_that_cannot_be_are_refused) {
  const DataLoader loader(numbers(10), {.batch_size = 4});
  auto reader = loader.open(0, 3);
  Batch batch;
  EXPECT_FALSE(reader.next(batch));
  EXPECT_THROW(reader.seek(0, 4), ConfigError);
  EXPECT_THROW(reader.seek(-1), ConfigError);
  EXPECT_THROW(loader.open(0, -1), ConfigError);
  EXPECT_THROW(loader.open(0, 0, {.rank = 2, .world_size = 2}), ConfigError);
  EXPECT_THROW(loader.open(0, 0, {.rank = 0, .world_size = 0}), ConfigError);
  EXPECT_THROW(DataLoader(numbers(10), {.global_batch_size = 2}).size({.rank = 0, .world_size = 3}),
               ConfigError);
}

TEST(DataLoader, ranks_share_each_global_batch_and_have_equally_many) {
  for (const bool drop_last : {false, true}) {
    DataLoaderOptions options{.global_batch_size = 12, .shuffle = true, .drop_last = drop_last};
    options.seed = 3;
    options.transform = add_noise;
    // The last global batch has one row: most ranks have none of it.
    const auto whole = read_epoch(DataLoader(numbers(61), options), 1);
    ASSERT_EQ(whole.size(), drop_last ? 5U : 6U);
    for (const int64_t world : {2, 3, 4, 5}) {
      for (const int64_t workers : {0, 2}) {
        options.num_workers = workers;
        const DataLoader loader(numbers(61), options);
        std::vector<std::vector<Snapshot>> ranks;
        for (int64_t rank = 0; rank < world; ++rank) {
          ranks.push_back(read_epoch(loader, 1, {rank, world}));
          ASSERT_EQ(ranks.back().size(), whole.size());
        }
        for (size_t k = 0; k < whole.size(); ++k) {
          std::vector<size_t> taken(static_cast<size_t>(world));
          for (size_t i = 0; i < whole[k].row_ids.size(); ++i) {
            const auto rank = (k * 12 + i) % static_cast<size_t>(world);
            const auto& mine = ranks[rank][k];
            const auto at = taken[rank]++;
            ASSERT_LT(at, mine.row_ids.size());
            EXPECT_EQ(mine.row_ids[at], whole[k].row_ids[i]);
            // The transform drew the same numbers.
            for (size_t j = 0; j < 3; ++j) {
              EXPECT_EQ(mine.input[at * 3 + j], whole[k].input[i * 3 + j]);
            }
          }
          for (size_t rank = 0; rank < taken.size(); ++rank) {
            EXPECT_EQ(ranks[rank][k].row_ids.size(), taken[rank]);
            EXPECT_EQ(ranks[rank][k].global_rows, whole[k].global_rows);
          }
        }
      }
    }
  }
}

TEST(DataLoader, a_rank_without_rows_still_gets_a_batch_of_the_usual_shape) {
  const DataLoader loader(numbers(9), {.batch_size = 2});
  auto reader = loader.open(0, 2, {.rank = 1, .world_size = 2});
  EXPECT_EQ(reader.size(), 3);
  EXPECT_EQ(loader.size({.rank = 1, .world_size = 2}), 3);
  EXPECT_EQ(loader.size(), 5);
  Batch batch;
  ASSERT_TRUE(reader.next(batch));
  EXPECT_EQ(batch.rows(), 0);
  EXPECT_EQ(batch.input().sizes(), (Rows{0, 3}));
  EXPECT_EQ(batch.target().sizes(), Rows{0});
  EXPECT_EQ(batch.target().scalar_type(), at::kLong);
  EXPECT_TRUE(batch.row_ids().empty());
  EXPECT_EQ(reader.global_rows(), 1);
  EXPECT_FALSE(reader.next(batch));
}

TEST(DataLoader, drop_last_leaves_out_a_batch_that_is_not_full) {
  for (const int64_t rows : {20, 23}) {
    const DataLoader loader(numbers(rows), {.batch_size = 5, .drop_last = true});
    EXPECT_EQ(loader.size(), 4);
    const auto batches = read_epoch(loader);
    ASSERT_EQ(batches.size(), 4U);
    for (const auto& batch : batches) EXPECT_EQ(batch.row_ids.size(), 5U);
  }
}

TEST(DataLoader, a_stream_of_unknown_length_ends_where_it_ends) {
  for (const int64_t workers : {0, 1, 3}) {
    for (const int64_t rows : {0, 1, 4, 19, 20}) {
      for (const bool drop_last : {false, true}) {
        const auto stream = std::make_shared<Stream>(rows);
        const DataLoader loader(stream,
                                {.batch_size = 4, .drop_last = drop_last, .num_workers = workers});
        EXPECT_FALSE(loader.size().has_value());
        auto reader = loader.open();
        for (int64_t epoch = 0; epoch < 3; ++epoch) {
          reader.seek(epoch);
          Rows ids;
          Batch batch;
          int64_t batches = 0;
          while (!reader.at_end()) {
            EXPECT_EQ(reader.position(), batches);
            ASSERT_TRUE(reader.next(batch));
            ++batches;
            EXPECT_EQ(reader.global_rows(), batch.rows());
            ids.insert(ids.end(), batch.row_ids().begin(), batch.row_ids().end());
          }
          EXPECT_FALSE(reader.next(batch));
          EXPECT_FALSE(reader.next(batch));
          EXPECT_EQ(batches, drop_last ? rows / 4 : (rows + 3) / 4);
          Rows expected(static_cast<size_t>(drop_last ? rows / 4 * 4 : rows));
          std::iota(expected.begin(), expected.end(), 0);
          EXPECT_EQ(ids, expected);
        }
        if (rows > 12) {
          reader.seek(1, 2);
          Batch batch;
          ASSERT_TRUE(reader.next(batch));
          EXPECT_EQ(batch.row_ids().front(), 8);
        }
      }
    }
  }
}

TEST(DataLoader, ranks_agree_on_the_end_of_a_stream) {
  for (int64_t rows = 0; rows < 14; ++rows) {
    for (const int64_t workers : {0, 2}) {
      const DataLoader loader(std::make_shared<Stream>(rows),
                              {.batch_size = 2, .num_workers = workers});
      const auto whole = read_epoch(DataLoader(std::make_shared<Stream>(rows), {.batch_size = 6}));
      Rows seen;
      for (int64_t rank = 0; rank < 3; ++rank) {
        const auto mine = read_epoch(loader, 0, {rank, 3});
        ASSERT_EQ(mine.size(), whole.size()) << rows << " rows, rank " << rank;
        for (size_t k = 0; k < mine.size(); ++k) {
          EXPECT_EQ(mine[k].global_rows, whole[k].global_rows);
          EXPECT_EQ(mine[k].row_ids, mine[k].target);
          for (const int64_t id : mine[k].row_ids) EXPECT_EQ(id % 3, rank);
        }
        const auto ids = ids_of(mine);
        seen.insert(seen.end(), ids.begin(), ids.end());
      }
      std::sort(seen.begin(), seen.end());
      EXPECT_EQ(seen, ids_of(whole));
    }
  }
}

TEST(DataLoader, transforms_run_alike_on_every_thread) {
  const int threads = torch::get_num_threads();
  torch::set_num_threads(2);
  const auto module_weight = torch::ones({3, 3}, torch::requires_grad());
  for (const int64_t workers : {0, 2}) {
    std::atomic<int> wrong{0};
    const auto transform = [&](Batch& batch, const TransformContext& context) {
      if (torch::get_num_threads() != 1 || torch::GradMode::is_enabled()) ++wrong;
      if (context.positions.size() != static_cast<size_t>(batch.rows())) ++wrong;
      batch.set("input", batch.input().mm(module_weight));
    };
    auto reader =
        DataLoader(numbers(20), {.batch_size = 5, .num_workers = workers, .transform = transform})
            .open();
    Batch batch;
    while (reader.next(batch)) EXPECT_FALSE(batch.input().requires_grad());
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(torch::get_num_threads(), 2);
    EXPECT_TRUE(torch::GradMode::is_enabled());
  }
  torch::set_num_threads(threads);
}

TEST(DataLoader, takes_a_sampler_of_the_users) {
  const auto sampler = std::make_shared<WeightedSampler>(std::vector<double>{1, 0, 0, 0, 1}, 30, 4);
  std::vector<Snapshot> expected;
  for (const int64_t workers : {0, 2}) {
    const DataLoader loader(numbers(5),
                            {.batch_size = 4, .num_workers = workers, .sampler = sampler});
    EXPECT_EQ(loader.size(), 8);
    const auto batches = read_epoch(loader, 1);
    const auto ids = ids_of(batches);
    EXPECT_EQ(ids.size(), 30U);
    for (const int64_t id : ids) EXPECT_TRUE(id == 0 || id == 4) << id;
    EXPECT_NE(ids, ids_of(read_epoch(loader, 0)));
    if (workers == 0) expected = batches;
    EXPECT_EQ(batches, expected);
    EXPECT_EQ(ids_of(read_epoch(loader.without_shuffle())), (Rows{0, 1, 2, 3, 4}));
  }
}

TEST(DataLoader, without_shuffle_reads_in_order) {
  const DataLoader loader(numbers(6), {.batch_size = 4, .shuffle = true});
  EXPECT_EQ(ids_of(read_epoch(loader.without_shuffle())), (Rows{0, 1, 2, 3, 4, 5}));
}

TEST(DataLoader, options_that_cannot_be_are_refused) {
  const auto data = numbers(5);
  EXPECT_THROW(DataLoader(data, {.batch_size = 0}), ConfigError);
  EXPECT_THROW(DataLoader(data, {.global_batch_size = -1}), ConfigError);
  EXPECT_THROW(DataLoader(data, {.num_workers = -1}), ConfigError);
  EXPECT_THROW(DataLoader(data, {.prefetch_factor = 0}), ConfigError);
  EXPECT_THROW(DataLoader(nullptr, {}), ConfigError);
  EXPECT_THROW(DataLoader(std::make_shared<Stream>(5), {.shuffle = true}), ConfigError);
  EXPECT_THROW(
      DataLoader(data, {.shuffle = true, .sampler = std::make_shared<SequentialSampler>(5)}),
      ConfigError);
  EXPECT_EQ(message_of<DataError>([] { DataLoader loader(numbers(0), {}); }),
            "the data set of a loader is empty; it must have at least one row");
  const auto nothing = std::make_shared<SequentialSampler>(0);
  EXPECT_EQ(message_of<DataError>([&] { DataLoader loader(data, {.sampler = nothing}); }),
            "the sampler of a loader is empty; it must give at least one row");
  try {
    DataLoader(data, {.batch_size = -3});
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "batch_size = -3: must be at least 1");
  }
}

// row 15: a fifth of the rows, at random from a seed, read in batches of 100
TEST(DataLoader, reads_a_random_fifth_in_batches_of_100) {
  RandomSampler order(1000, 6);
  order.set_epoch(0);
  Rows chosen(200);
  order.rows(0, chosen);
  const auto validation = std::make_shared<Subset>(numbers(1000), chosen);
  for (const int64_t workers : {0, 2}) {
    const DataLoader loader(validation, {.batch_size = 100, .num_workers = workers});
    const auto batches = read_epoch(loader);
    ASSERT_EQ(batches.size(), 2U);
    EXPECT_EQ(ids_of(batches), chosen);
    for (const auto& batch : batches) EXPECT_EQ(batch.target, batch.row_ids);
  }
}

void expect_batches_on(at::Device device) {
  for (const int64_t workers : {0, 2}) {
    const DataLoader loader(numbers(64), {.batch_size = 8,
                                          .shuffle = true,
                                          .num_workers = workers,
                                          .pin_memory = true});  // ignored without CUDA
    const auto expected = read_epoch(loader);
    auto reader = loader.open();
    reader.set_device(device);
    EXPECT_EQ(reader.size(), 8);
    Batch batch;
    size_t k = 0;
    while (reader.next(batch)) {
      for (const auto& [name, tensor] : batch.tensors()) {
        EXPECT_EQ(tensor.device(), device) << name;
      }
      EXPECT_EQ(snapshot(batch.to(at::kCPU), reader), expected[k++]);
    }
    EXPECT_EQ(k, 8U);
  }
}

// row 29: a loader that yields batches on the device and knows its length
TEST(DataLoader, yields_batches_on_the_device_and_knows_its_length) { expect_batches_on(at::kCPU); }

TEST(DataLoaderCuda, yields_batches_on_the_device_and_knows_its_length) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU";
  expect_batches_on(at::Device(at::kCUDA, 0));
}

TEST(DataLoaderCuda, reads_data_that_lives_there) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU";
  const auto here = numbers(100);
  const auto there = std::make_shared<TensorDataset>(here->tensors()[0].second.cuda(),
                                                     here->tensors()[1].second.cuda());
  for (const bool shuffle : {false, true}) {
    const DataLoaderOptions options{.batch_size = 7, .shuffle = shuffle, .num_workers = 2};
    const auto expected = read_epoch(DataLoader(here, options));
    auto reader = DataLoader(there, options).open();
    Batch batch;
    size_t k = 0;
    while (reader.next(batch)) {
      EXPECT_TRUE(batch.input().is_cuda());
      EXPECT_EQ(snapshot(batch.to(at::kCPU), reader), expected[k++]);
    }
    EXPECT_EQ(k, expected.size());
  }
}

}  // namespace levin::dataloader_test
