#include <gtest/gtest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/dataloader.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>

#include "framework/data/dataloader_numbers.h"
#include "framework/message_of.h"

// The threads of a DataLoader, and the errors that come from them.

namespace levin::dataloader_test {

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

}  // namespace levin::dataloader_test
