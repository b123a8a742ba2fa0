#include <levin/datamodules/block_cache.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <numeric>
#include <set>

#include <levin/framework/core/error.h>

namespace levin::block_cache_test {

using namespace std::chrono_literals;

/// 100 blocks of one row, 64 bytes that say which one it is; reading can be held up and can fail.
class TestShard : public readers::Shard {
 public:
  TestShard() {
    name_ = "test";
    rows_ = 100;
    columns_ = {{"input", readers::DType::uint8, {64}}};
  }
  uint64_t file_bytes() const override { return 6400; }
  size_t row_bytes() const override { return 64; }
  void load(int64_t first, int64_t, bool, readers::BlockBuffer& buffer,
            std::span<readers::RowsInMemory> views) const override {
    ++loads;
    while (first == held_up) std::this_thread::sleep_for(1ms);
    if (first == broken) throw DataError::unreadable("test", "as planned");
    std::byte* bytes = buffer.reserve(64);
    std::fill_n(bytes, 64, static_cast<std::byte>(first));
    views[0] = {bytes, 64};
  }
  void read_row(int64_t, std::span<std::byte* const>) const override {}

  mutable std::atomic<int> loads{0};
  std::atomic<int64_t> held_up{-1};
  std::atomic<int64_t> broken{-1};
};

struct BlockCacheTest : testing::Test {
  std::shared_ptr<BlockCache> make(int64_t threads) const {
    const auto table = std::make_shared<BlockTable>(std::vector<int64_t>{100}, 1);
    return std::make_shared<BlockCache>(readers::Shards{shard}, table, false, threads);
  }
  static int first_byte(const BlockCache::BlockPointer& block) {
    return std::to_integer<int>(*block->columns.front().data);
  }
  std::shared_ptr<TestShard> shard = std::make_shared<TestShard>();
};

TEST_F(BlockCacheTest, has_what_is_held_and_nothing_else) {
  const auto cache = make(2);
  EXPECT_EQ(cache->find(3), nullptr);
  auto hold = cache->hold({3, 7, 99});
  for (const int64_t block : {99, 3, 7}) EXPECT_EQ(first_byte(cache->find(block)), block);
  EXPECT_EQ(cache->find(4), nullptr);
  auto second = cache->hold({7});
  const auto kept = cache->find(3);
  hold = {};
  EXPECT_EQ(cache->find(3), nullptr);
  EXPECT_EQ(first_byte(kept), 3);  // who has a block may read it
  EXPECT_EQ(first_byte(cache->find(7)), 7);
  EXPECT_EQ(shard->loads, 3);  // what two hold is read once
}

TEST_F(BlockCacheTest, who_waits_for_a_block_that_nobody_holds_any_more_is_told) {
  const auto cache = make(1);
  shard->held_up = 0;  // the only thread is busy with it
  const auto first = cache->hold({0});
  auto hold = cache->hold({1});
  auto found = std::async(std::launch::async, [&] { return cache->find(1); });
  EXPECT_EQ(found.wait_for(20ms), std::future_status::timeout);
  hold = {};
  const bool told = found.wait_for(60s) == std::future_status::ready;
  shard->held_up = -1;
  EXPECT_TRUE(told);
  EXPECT_EQ(found.get(), nullptr);
  EXPECT_EQ(first_byte(cache->find(0)), 0);
}

TEST_F(BlockCacheTest, what_reading_throws_comes_to_who_asks_and_is_tried_again_by_the_next_hold) {
  const auto cache = make(1);
  shard->broken = 5;
  const auto first = cache->hold({4, 5, 6});
  EXPECT_THROW(cache->find(5), DataError);
  EXPECT_EQ(first_byte(cache->find(6)), 6);
  shard->broken = -1;
  EXPECT_THROW(cache->find(5), DataError);
  const auto second = cache->hold({5});
  EXPECT_EQ(first_byte(cache->find(5)), 5);
}

TEST_F(BlockCacheTest, memory_is_used_again) {
  const auto cache = make(1);
  std::set<const std::byte*> places;
  BlockCache::Hold hold;
  for (int64_t block = 0; block + 4 < 100; block += 4) {
    hold = {};
    hold = cache->hold({block, block + 1, block + 2, block + 3});
    for (int64_t i = 0; i < 4; ++i) places.insert(cache->find(block + i)->columns.front().data);
  }
  EXPECT_LE(places.size(), 5U);
}

TEST_F(BlockCacheTest, goes_without_reading_what_is_still_queued) {
  auto cache = make(1);
  shard->held_up = 0;
  std::vector<int64_t> all(100);
  std::iota(all.begin(), all.end(), 0);
  auto hold = cache->hold(all);
  while (shard->loads == 0) std::this_thread::sleep_for(1ms);
  hold = {};
  shard->held_up = -1;
  cache.reset();
  EXPECT_LE(shard->loads, 1);
}

TEST_F(BlockCacheTest, many_threads_that_hold_drop_and_ask_get_the_right_block_or_none) {
  const auto cache = make(3);
  std::atomic<int> wrong{0};
  std::atomic<int> found{0};
  const auto go = [&](int64_t seed) {
    BlockCache::Hold before;
    for (int64_t i = 0; i < 300; ++i) {
      const int64_t block = (seed * 31 + i * 7) % 100;
      auto hold = cache->hold({block, (block + 1) % 100});
      const auto mine = cache->find(block);
      if (mine == nullptr || first_byte(mine) != block) ++wrong;
      const auto other = cache->find((block + 50) % 100);  // somebody else's, perhaps
      if (other != nullptr && first_byte(other) != (block + 50) % 100) ++wrong;
      found += mine != nullptr ? 1 : 0;
      before = std::move(hold);
    }
  };
  std::vector<std::thread> threads;
  for (int64_t seed = 0; seed < 4; ++seed) threads.emplace_back(go, seed);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(found, 1200);
}

}  // namespace levin::block_cache_test
