#include <gtest/gtest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/dataloader.h>
#include <torch/torch.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "framework/allocations.h"
#include "framework/message_of.h"

namespace levin::dataloader_test {

using test::message_of;
using Rows = std::vector<int64_t>;

std::shared_ptr<TensorDataset> numbers(int64_t rows) {
  return std::make_shared<TensorDataset>(torch::arange(rows * 3).view({rows, 3}).to(at::kFloat),
                                         torch::arange(rows));
}

// What a batch holds, copied: two of these are equal where the batches are.
struct Snapshot {
  Rows row_ids;
  std::vector<float> input;
  Rows target;
  int64_t global_rows = 0;
  bool operator==(const Snapshot&) const = default;
};

Snapshot snapshot(const Batch& batch, const Reader& reader) {
  Snapshot copy;
  copy.row_ids = batch.row_ids();
  const auto input = batch.input().contiguous();
  copy.input.assign(input.const_data_ptr<float>(), input.const_data_ptr<float>() + input.numel());
  const auto* target = batch.target().const_data_ptr<int64_t>();
  copy.target.assign(target, target + batch.target().numel());
  copy.global_rows = reader.global_rows();
  return copy;
}

std::vector<Snapshot> read_all(Reader& reader) {
  std::vector<Snapshot> all;
  Batch batch;
  while (reader.next(batch)) all.push_back(snapshot(batch, reader));
  EXPECT_EQ(batch.tensors().size(), 0U);
  return all;
}

std::vector<Snapshot> read_epoch(const DataLoader& loader, int64_t epoch = 0,
                                 RankShare rank_share = {}) {
  auto reader = loader.open(epoch, 0, rank_share);
  return read_all(reader);
}

Rows ids_of(const std::vector<Snapshot>& batches) {
  Rows ids;
  for (const auto& batch : batches) {
    ids.insert(ids.end(), batch.row_ids.begin(), batch.row_ids.end());
  }
  return ids;
}

void add_noise(Batch& batch, const TransformContext& context) {
  const auto input = batch.input();
  auto values = input.accessor<float, 2>();
  for (int64_t i = 0; i < batch.rows(); ++i) {
    auto generator = context.generator(i);
    for (int64_t j = 0; j < values.size(1); ++j) {
      values[i][j] += static_cast<float>(generator.uniform());
    }
  }
}

// A stream of `rows` rows that says nothing of its end; can be slow, fail at a row, let the first
// `together` calls wait for each other, and notes who read it.
class Stream : public Dataset {
 public:
  explicit Stream(int64_t rows, bool knows_size = false) : rows_(rows), knows_size_(knows_size) {}
  std::optional<int64_t> size() const override {
    return knows_size_ ? std::optional<int64_t>(rows_) : std::nullopt;
  }
  void get_batch(std::span<const int64_t> rows, Batch& out) const override {
    ++calls;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      threads.insert(std::this_thread::get_id());
    }
    if (delay.count() > 0) std::this_thread::sleep_for(delay);
    meet();
    const auto end =
        std::find_if(rows.begin(), rows.end(), [this](int64_t r) { return r >= rows_; });
    const Rows given(rows.begin(), end);
    if (std::find(given.begin(), given.end(), fail_at.load()) != given.end()) {
      throw std::runtime_error("row " + std::to_string(fail_at) + " can't be read");
    }
    const auto target = torch::tensor(given, at::kLong);
    out = Batch({{"input", target.view({-1, 1}).to(at::kFloat)}, {"target", target}});
  }

  mutable std::atomic<int64_t> calls{0};
  std::atomic<int64_t> fail_at{-1};
  std::chrono::milliseconds delay{0};
  int together = 0;  // set it before the first call
  mutable std::mutex mutex;
  mutable std::set<std::thread::id> threads;

 private:
  void meet() const {
    std::unique_lock<std::mutex> lock(mutex);
    if (met_ == together) return;
    ++met_;
    has_come_.notify_all();
    const bool all =
        has_come_.wait_for(lock, std::chrono::seconds(60), [this] { return met_ == together; });
    EXPECT_TRUE(all) << "calls wait for each other's end";
    met_ = together;
  }

  mutable std::condition_variable has_come_;
  mutable int met_ = 0;
  int64_t rows_;
  bool knows_size_;
};

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
    Batch batch;
    int64_t before = 0;
    for (int64_t epoch = 0; epoch < 12; ++epoch) {
      if (epoch == 6) before = test::allocations();
      reader.seek(epoch);
      while (reader.next(batch)) {
      }
    }
    EXPECT_EQ(test::allocations() - before, 0) << workers << " workers, 66 batches";
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
  Batch batch;
  int64_t before = 0;
  for (int64_t epoch = 0; epoch < 12; ++epoch) {
    if (epoch == 6) before = test::allocations();
    reader.seek(epoch);
    while (reader.next(batch)) {
    }
  }
  EXPECT_EQ(test::allocations() - before, 0) << "66 batches";
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

TEST(DataLoader, an_exception_belongs_to_its_batch_and_can_be_tried_again) {
  for (const int64_t workers : {0, 1, 3}) {
    for (const bool knows_size : {true, false}) {
      const auto stream = std::make_shared<Stream>(40, knows_size);
      stream->fail_at = 17;
      const DataLoader loader(stream, {.batch_size = 4, .num_workers = workers});
      auto reader = loader.open();
      Batch batch;
      for (int64_t k = 0; k < 4; ++k) {
        EXPECT_FALSE(reader.at_end());
        ASSERT_TRUE(reader.next(batch));
        EXPECT_EQ(batch.row_ids().front(), 4 * k);
      }
      for (int attempt = 0; attempt < 2; ++attempt) {
        EXPECT_FALSE(reader.at_end());
        try {
          reader.next(batch);
          FAIL();
        } catch (const std::runtime_error& error) {
          EXPECT_STREQ(error.what(), "row 17 can't be read");
        }
        EXPECT_EQ(reader.position(), 4);
      }
      reader.seek(0, 5);  // past it
      ASSERT_TRUE(reader.next(batch));
      EXPECT_EQ(batch.row_ids(), (Rows{20, 21, 22, 23}));
      reader.seek(0, 4);
      EXPECT_THROW(reader.next(batch), std::runtime_error);
      stream->fail_at = -1;
      ASSERT_TRUE(reader.next(batch));
      EXPECT_EQ(batch.row_ids(), (Rows{16, 17, 18, 19}));
      EXPECT_EQ(read_all(reader).size(), 5U);
    }
  }
}

TEST(DataLoader, exceptions_of_transforms_and_samplers_arrive_too) {
  for (const int64_t workers : {0, 2}) {
    const DataLoader failing(numbers(20), {.batch_size = 4,
                                           .num_workers = workers,
                                           .transform = [](Batch& batch, const TransformContext&) {
                                             batch["no such tensor"];
                                           }});
    auto reader = failing.open();
    Batch batch;
    EXPECT_THROW(reader.next(batch), DataError);
    const DataLoader beyond(numbers(20), {.batch_size = 4,
                                          .num_workers = workers,
                                          .sampler = std::make_shared<SequentialSampler>(24)});
    auto other = beyond.open(0, 4);
    ASSERT_TRUE(other.next(batch));
    EXPECT_EQ(test::message_of<DataError>([&] { other.next(batch); }),
              "row 20 was asked for, but the data set has rows 0 to 19; check the sampler");
  }
}

TEST(DataLoader, a_data_set_that_gives_too_few_rows_is_an_error) {
  const auto short_one = std::make_shared<Stream>(10);
  const DataLoader loader(short_one,
                          {.batch_size = 4, .sampler = std::make_shared<SequentialSampler>(12)});
  auto reader = loader.open(0, 2);
  Batch batch;
  EXPECT_THROW(reader.next(batch), DataError);
}

TEST(DataLoader, threads_start_once_and_live_across_epochs_and_seeks) {
  const auto stream = std::make_shared<Stream>(40, true);
  const DataLoader loader(stream, {.batch_size = 4, .num_workers = 2});
  auto reader = loader.open();
  EXPECT_EQ(stream->calls, 0);  // a reader nobody reads from does nothing
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    reader.seek(epoch, epoch % 5);
    read_all(reader);
  }
  EXPECT_LE(stream->threads.size(), 2U);
  EXPECT_EQ(stream->threads.count(std::this_thread::get_id()), 0U);
}

TEST(DataLoader, workers_stay_within_the_prefetch_bound) {
  const auto stream = std::make_shared<Stream>(400, true);
  const DataLoader loader(stream, {.batch_size = 1, .num_workers = 2, .prefetch_factor = 3});
  auto reader = loader.open();
  Batch batch;
  for (int64_t k = 1; k <= 30; ++k) {
    ASSERT_TRUE(reader.next(batch));
    // They do run ahead: a minute is given to them to show it.
    for (int i = 0; k % 10 == 0 && stream->calls == k && i < 30000; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    EXPECT_LE(stream->calls, k + 6);
    if (k % 10 == 0) {
      EXPECT_GT(stream->calls, k);
    }
  }
}

TEST(DataLoader, seeking_while_workers_are_at_work_mixes_nothing_up) {
  const auto stream = std::make_shared<Stream>(1000, true);
  stream->delay = std::chrono::milliseconds(2);
  const DataLoader loader(stream, {.batch_size = 2, .num_workers = 3});
  auto reader = loader.open();
  Batch batch;
  for (int64_t i = 0; i < 12; ++i) {
    const int64_t position = i * 37 % 400;
    reader.seek(i % 2, position);
    for (int64_t k = position; k < position + 3; ++k) {
      ASSERT_TRUE(reader.next(batch));
      EXPECT_EQ(batch.row_ids(), (Rows{2 * k, 2 * k + 1}));
      EXPECT_TRUE(torch::equal(batch.target(), torch::tensor({2 * k, 2 * k + 1})));
    }
  }
}

TEST(DataLoader, workers_overlap) {
  const auto stream = std::make_shared<Stream>(1000, true);
  stream->together = 3;  // none of three calls ends before all have begun
  const DataLoader loader(stream, {.batch_size = 2, .num_workers = 3});
  auto reader = loader.open();
  Batch batch;
  for (int64_t k = 0; k < 24; ++k) {
    ASSERT_TRUE(reader.next(batch));
    EXPECT_EQ(batch.row_ids(), (Rows{2 * k, 2 * k + 1}));
  }
  EXPECT_EQ(stream->threads.size(), 3U);
}

TEST(DataLoader, a_reader_of_slow_workers_dropped_midway_ends) {
  const auto stream = std::make_shared<Stream>(1000, true);
  stream->delay = std::chrono::milliseconds(10);
  const DataLoader loader(stream, {.batch_size = 2, .num_workers = 3});
  for (const int reads : {0, 1, 4}) {
    auto reader = loader.open();
    Batch batch;
    for (int i = 0; i < reads; ++i) ASSERT_TRUE(reader.next(batch));
    reader.seek(2, 7);
    if (reads == 4) {
      ASSERT_TRUE(reader.next(batch));
    }
  }
}

TEST(DataLoader, readers_move) {
  static_assert(!std::is_copy_constructible_v<Reader>);
  const DataLoader loader(numbers(30), {.batch_size = 3, .shuffle = true, .num_workers = 2});
  const auto expected = read_epoch(loader);
  auto first = loader.open();
  Batch batch;
  ASSERT_TRUE(first.next(batch));
  Reader second = std::move(first);
  first = loader.open(0, 9);
  const auto rest = read_all(second);
  EXPECT_TRUE(std::equal(rest.begin(), rest.end(), expected.begin() + 1, expected.end()));
  EXPECT_EQ(read_all(first).size(), 1U);
}

TEST(DataLoader, a_batch_read_in_inference_mode_leaves_buffers_that_training_can_use) {
  const DataLoader loader(numbers(20), {.batch_size = 5});
  auto reader = loader.open();
  const auto weight = torch::ones({3, 1}, torch::requires_grad());
  Batch batch;
  {
    const torch::InferenceMode guard;
    ASSERT_TRUE(reader.next(batch));
    EXPECT_TRUE(c10::InferenceMode::is_enabled());
  }
  EXPECT_FALSE(batch.input().is_inference());
  batch.input().mm(weight).sum().backward();
  EXPECT_EQ(weight.grad().sum().item<float>(), 14 * 15 / 2);
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
