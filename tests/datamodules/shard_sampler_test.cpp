#include <levin/datamodules/shard_sampler.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>

#include "framework/epoch_of.h"

namespace levin::shard_sampler_test {

using test::epoch_of;

// Files of unequal sizes in blocks of 16 rows: the last block of most of them is short.
std::shared_ptr<const BlockTable> table() {
  static const auto made =
      std::make_shared<const BlockTable>(std::vector<int64_t>{1000, 37, 1, 512, 16, 200}, 16);
  return made;
}

TEST(BlockTable, every_row_lies_in_the_block_that_is_found_for_it) {
  int64_t row = 0;
  for (int64_t block = 0; block < table()->blocks(); ++block) {
    EXPECT_EQ(table()->first_row(block), row);
    for (int64_t i = 0; i < table()->rows_of(block); ++i, ++row) {
      const auto found = table()->find(row);
      ASSERT_EQ(found.block, block);
      ASSERT_EQ(found.offset, i);
    }
  }
  EXPECT_EQ(row, 1766);
  EXPECT_EQ(table()->rows(), 1766);
  EXPECT_EQ(table()->place_of(64).file, 1);  // 1,000 rows are 63 blocks
  EXPECT_EQ(table()->place_of(64).first, 16);
}

// row 19: streamed and sharded data
TEST(ShardSampler, every_row_comes_once_in_an_order_that_seed_and_epoch_alone_decide) {
  ShardSampler one(table(), {.shuffle_rows = 100, .seed = 42});
  ShardSampler two(table(), {.shuffle_rows = 100, .seed = 42});
  ShardSampler other(table(), {.shuffle_rows = 100, .seed = 43});
  const auto first = epoch_of(one, 0);
  const auto fifth = epoch_of(one, 5);
  EXPECT_EQ(epoch_of(two, 5), fifth);  // without having been through the epochs before
  EXPECT_EQ(epoch_of(two, 0), first);
  EXPECT_NE(first, fifth);
  EXPECT_NE(epoch_of(other, 0), first);
  std::vector<int64_t> all(1766);
  std::iota(all.begin(), all.end(), 0);
  for (auto rows : {first, fifth, epoch_of(other, 3)}) {
    std::sort(rows.begin(), rows.end());
    EXPECT_EQ(rows, all);
  }
}

TEST(ShardSampler, any_stretch_equals_that_part_of_the_whole_in_whatever_order_it_is_asked_for) {
  ShardSampler sampler(table(), {.shuffle_rows = 100, .seed = 1});
  const auto whole = epoch_of(sampler, 2);
  const auto copy = sampler.clone();
  copy->set_epoch(2);
  for (const int64_t first : {1700, 0, 111, 900, 112, 1, 1765, 350}) {
    std::vector<int64_t> part(static_cast<size_t>(std::min<int64_t>(1766 - first, 333)));
    copy->rows(first, part);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + first)) << first;
  }
}

TEST(ShardSampler, a_window_mixes_the_rows_of_few_blocks_from_all_over_the_files) {
  ShardSampler sampler(table(), {.shuffle_rows = 100, .seed = 1});
  const auto rows = epoch_of(sampler, 0);
  // The first window ends where all rows of its blocks have come: 100, up to a whole block.
  std::set<int64_t> blocks;
  size_t end = 0;
  size_t rows_of_blocks = 0;
  while (end < 100 || end < rows_of_blocks) {
    const int64_t block = table()->find(rows[end++]).block;
    if (blocks.insert(block).second) rows_of_blocks += static_cast<size_t>(table()->rows_of(block));
  }
  EXPECT_LT(end, 116U);
  int neighbours = 0;
  for (size_t i = 1; i < end; ++i) neighbours += rows[i] == rows[i - 1] + 1 ? 1 : 0;
  EXPECT_LT(neighbours, 10);  // 1 of 16 by chance
  EXPECT_GT(*blocks.rbegin() - *blocks.begin(), 20);
}

TEST(ShardSampler, many_small_files_are_mixed_as_much_as_few_large_ones) {
  const auto small = std::make_shared<const BlockTable>(std::vector<int64_t>(300, 2), 1000);
  ShardSampler sampler(small, {.shuffle_rows = 200, .seed = 1});
  const auto rows = epoch_of(sampler, 0);
  int neighbours = 0;
  for (size_t i = 1; i < rows.size(); ++i) neighbours += rows[i] / 2 == rows[i - 1] / 2 ? 1 : 0;
  EXPECT_LT(neighbours, 15);  // 3 by chance, 300 where each file were a window
}

TEST(ShardSampler, all_orders_of_one_window_are_about_as_likely) {
  const auto small = std::make_shared<const BlockTable>(std::vector<int64_t>{3}, 16);
  ShardSampler sampler(small, {.seed = 7});
  std::map<std::vector<int64_t>, int> counts;
  for (int64_t epoch = 0; epoch < 6000; ++epoch) ++counts[epoch_of(sampler, epoch)];
  ASSERT_EQ(counts.size(), 6U);
  for (const auto& [order, count] : counts) EXPECT_NEAR(count, 1000, 150) << order[0] << order[1];
}

TEST(ShardSampler, without_shuffling_rows_come_in_their_order_in_every_epoch) {
  ShardSampler sampler(table(), {.shuffle = false});
  std::vector<int64_t> all(1766);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(epoch_of(sampler, 0), all);
  EXPECT_EQ(epoch_of(sampler, 3), all);
}

TEST(ShardSampler, without_a_seed_a_copy_takes_the_one_of_the_run_it_is_opened_in) {
  seed_everything(5);
  const ShardSampler description(table(), {.shuffle_rows = 100});
  const auto before = epoch_of(*description.clone(), 0);
  seed_everything(6);
  EXPECT_NE(epoch_of(*description.clone(), 0), before);
  seed_everything(5);
  EXPECT_EQ(epoch_of(*description.clone(), 0), before);
}

TEST(ShardSampler, a_window_of_rows_larger_than_a_block_holds_few_of_them) {
  const int64_t row = int64_t{40} << 20;
  const auto large =
      std::make_shared<const BlockTable>(std::vector<int64_t>{100}, BlockTable::rows_for(row), row);
  EXPECT_EQ(ShardSampler(large, {}).window_rows(), 3);  // 120 of 128 MiB
  EXPECT_EQ(ShardSampler(large, {.shuffle = false}).window_rows(), 1);
  const auto huge = std::make_shared<const BlockTable>(std::vector<int64_t>{5}, 1, 100 * row);
  EXPECT_EQ(ShardSampler(huge, {}).window_rows(), 1);
  const auto small = std::make_shared<const BlockTable>(std::vector<int64_t>{5}, 1000);
  EXPECT_EQ(ShardSampler(small, {}).window_rows(), 32'000);
}

TEST(ShardSampler, refuses_a_negative_window) {
  EXPECT_THROW(ShardSampler(table(), {.shuffle_rows = -1}), ConfigError);
}

}  // namespace levin::shard_sampler_test
