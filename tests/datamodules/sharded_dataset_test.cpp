#include <levin/datamodules/sharded_dataset.h>

#include "datamodules/stream_support.h"
#include "framework/sanitizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <thread>

#include <levin/framework/data/dataloader.h>

namespace levin::sharded_dataset_test {

namespace fs = std::filesystem;
using test::expect_data_error;
using Order = std::vector<int64_t>;

/// 525 rows of 64 KB in 6 files, 12 blocks of at most 64 rows.
class ShardedDatasetTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new test::TemporaryFolder;
    rows_ = new test::Rows(test::make_rows(525, 16000));
    int64_t first = 0;
    for (const int64_t count : {150, 70, 1, 64, 200, 40}) {
      test::write_lvb(path(files_++), test::part_of(*rows_, first, count));
      first += count;
    }
  }
  static void TearDownTestSuite() {
    delete folder_;
    delete rows_;
    files_ = 0;
  }
  static fs::path path(int file) { return *folder_ / ("part-" + std::to_string(file) + ".lvb"); }
  static std::vector<fs::path> paths() {
    std::vector<fs::path> all;
    for (int i = 0; i < files_; ++i) all.push_back(path(i));
    return all;
  }
  static std::shared_ptr<ShardedDataset> open(ShardedDatasetOptions options = {}) {
    return test::open_files(paths(), {}, options);
  }

  /// Expects that a batch holds the rows it says; their numbers go to `order`.
  static void take(const Batch& batch, Order& order) {
    const auto ids = torch::tensor(batch.row_ids());
    ASSERT_TRUE(torch::equal(batch.input(), rows_->input.index_select(0, ids)));
    ASSERT_TRUE(torch::equal(batch.target(), rows_->target.index_select(0, ids)));
    order.insert(order.end(), batch.row_ids().begin(), batch.row_ids().end());
  }
  static Order read(Reader& reader) {
    Order order;
    for (Batch batch; reader.next(batch);) take(batch, order);
    return order;
  }
  static DataLoader loader(const std::shared_ptr<ShardedDataset>& set, int64_t workers,
                           ShardSamplerOptions options, int64_t batch_size = 32) {
    return DataLoader(
        set, {.batch_size = batch_size, .num_workers = workers, .sampler = set->sampler(options)});
  }
  static Order sorted(Order order) {
    std::sort(order.begin(), order.end());
    return order;
  }
  static Order everything() {
    Order all(525);
    std::iota(all.begin(), all.end(), 0);
    return all;
  }

  static inline test::TemporaryFolder* folder_ = nullptr;
  static inline test::Rows* rows_ = nullptr;
  static inline int files_ = 0;
};

// row 19: streamed and sharded data
TEST_F(ShardedDatasetTest, every_row_comes_once_in_one_order_for_any_number_of_workers) {
  ASSERT_EQ(open()->table().blocks(), 12);
  Order expected;
  for (const int64_t workers : {0, 1, 3}) {
    const auto set = open({.read_threads = std::max<int64_t>(1, workers)});
    auto shuffled = loader(set, workers, {.shuffle_rows = 130, .seed = 5}).open();
    const Order first = read(shuffled);
    shuffled.seek(1);
    const Order second = read(shuffled);
    if (workers == 0) expected = first;
    EXPECT_EQ(first, expected) << workers;
    EXPECT_EQ(sorted(first), everything());
    EXPECT_EQ(sorted(second), everything());
    EXPECT_NE(first, second);
    auto ordered = loader(set, workers, {.shuffle = false}).open();
    EXPECT_EQ(read(ordered), everything()) << workers;
  }
}

TEST_F(ShardedDatasetTest, an_epoch_can_be_entered_at_any_batch) {
  const auto set = open();
  for (const int64_t workers : {0, 2}) {
    const auto description = loader(set, workers, {.shuffle_rows = 130, .seed = 5});
    auto reader = description.open(3);
    const Order whole = read(reader);
    for (const int64_t position : {16, 1, 9, 17, 5}) {
      const auto first = std::min<int64_t>(position * 32, 525);
      const Order rest(whole.begin() + first, whole.end());
      auto other = description.open(3, position);
      EXPECT_EQ(read(other), rest) << position;
      reader.seek(3, position);
      EXPECT_EQ(read(reader), rest) << position;
    }
  }
}

TEST_F(ShardedDatasetTest, batches_may_go_over_more_windows_than_are_in_memory) {
  const auto set = open();
  for (const int64_t workers : {0, 3}) {
    auto reader = loader(set, workers, {.shuffle_rows = 1, .seed = 2}, 300).open();
    EXPECT_EQ(sorted(read(reader)), everything());
    auto small = loader(set, workers, {.shuffle_rows = 1, .seed = 2}, 3).open();
    EXPECT_EQ(sorted(read(small)), everything());
  }
}

TEST_F(ShardedDatasetTest, several_readers_go_over_one_set_at_the_same_time) {
  const auto set = open({.read_threads = 2});
  std::vector<Order> orders(3);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < orders.size(); ++i) {
    threads.emplace_back([&, i] {
      auto reader =
          loader(set, static_cast<int64_t>(i), {.shuffle_rows = 70, .seed = i}, 16).open();
      orders[i] = read(reader);
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& order : orders) EXPECT_EQ(sorted(order), everything());
  EXPECT_NE(orders[0], orders[1]);
}

TEST_F(ShardedDatasetTest, a_reader_may_go_in_the_middle_of_an_epoch) {
  auto set = open();
  for (int64_t batches = 0; batches < 8; ++batches) {
    auto reader = loader(set, batches % 3, {.shuffle_rows = 70, .seed = 9}).open(batches);
    Batch batch;
    for (int64_t i = 0; i < batches; ++i) ASSERT_TRUE(reader.next(batch));
    if (batches == 7) set.reset();  // the reader is the last that has it
  }
  set = open();
  auto reader = loader(set, 1, {.shuffle_rows = 70, .seed = 9}).open();
  EXPECT_EQ(sorted(read(reader)), everything());
}

TEST_F(ShardedDatasetTest, what_cannot_be_read_is_an_error_of_that_batch_and_tried_again) {
  for (const int64_t workers : {0, 2}) {
    const auto set = open();
    auto reader = loader(set, workers, {.shuffle = false}, 25).open();
    fs::rename(path(4), path(4) += ".away");
    Order order;
    std::string message;
    for (Batch batch; message.empty();) {
      try {
        ASSERT_TRUE(reader.next(batch)) << "came to the end without a file";
        take(batch, order);
      } catch (const DataError& error) {
        message = error.what();
      }
    }
    fs::rename(path(4) += ".away", path(4));
    EXPECT_NE(message.find("part-4.lvb"), std::string::npos) << message;
    EXPECT_EQ(order.size(), 275U);  // rows 285 to 484 are in that file
    const Order rest = read(reader);
    order.insert(order.end(), rest.begin(), rest.end());
    EXPECT_EQ(order, everything());
  }
}

TEST_F(ShardedDatasetTest, rows_are_read_one_by_one_where_nothing_is_read_ahead) {
  const auto set = open();
  const std::vector<int64_t> rows = {524, 0, 151, 220, 221, 0, 284, 285, 149};
  Batch batch;
  set->get_batch(rows, batch);
  Order order;
  take(batch, order);
  EXPECT_EQ(order, rows);
  EXPECT_EQ(set->origin_of(221), path(3).string() + ", row 0");
  expect_data_error([&] { set->get_batch(std::vector<int64_t>{525}, batch); },
                    "row 525 was asked for, but the data set has rows 0 to 524; check the sampler");
  expect_data_error([&] { set->get_batch(std::vector<int64_t>{-1}, batch); },
                    "row -1 was asked for, but the data set has rows 0 to 524; check the sampler");
}

TEST_F(ShardedDatasetTest, the_table_knows_what_a_row_weighs) {
  EXPECT_EQ(open()->table().block_bytes(), BlockTable::kBlockBytes);
  const test::TemporaryFolder folder;
  const auto header = readers::lvb_layout({{"input", readers::DType::uint8, {9 << 20}}}, 3);
  test::write_text(folder / "a.lvb", readers::lvb_header(header));
  fs::resize_file(folder / "a.lvb", header.file_bytes());
  const auto set = test::open_files({folder / "a.lvb"});
  EXPECT_GE(set->table().block_bytes(), 9 << 20);
  EXPECT_EQ(set->sampler({})->window_rows(), 14);
}

TEST_F(ShardedDatasetTest, a_set_that_nobody_reads_for_is_refused) {
  EXPECT_THROW(open({.read_threads = 0}), ConfigError);
  EXPECT_THROW(open({.read_threads = -3}), ConfigError);
}

// Every place in a row and every kind of number: the check takes eight floats at a time, and 1024.
TEST_F(ShardedDatasetTest, what_is_not_finite_is_an_error_that_names_file_and_row) {
  const test::TemporaryFolder folder;
  const auto expect = [&](const torch::Tensor& input, const char* part) {
    if (input.scalar_type() == at::kDouble) {
      test::write_npy_of<double>(folder / "x.npy", input);
    } else {
      test::write_npy_of<float>(folder / "x.npy", input);
    }
    for (const bool ahead : {true, false}) {
      expect_data_error(
          [&] {
            test::read_all(*test::open_files({folder / "x.npy"}, {.target_column = "none"}), ahead);
          },
          part);
    }
  };
  const auto largest = torch::full({3, 1030}, std::numeric_limits<float>::max());
  largest[1].fill_(std::numeric_limits<float>::lowest());
  largest[2].fill_(std::numeric_limits<float>::denorm_min());
  test::write_npy_of<float>(folder / "x.npy", largest);
  EXPECT_TRUE(torch::equal(
      test::read_all(*test::open_files({folder / "x.npy"}, {.target_column = "none"}), true).input,
      largest));
  for (const int64_t place : {0, 7, 8, 1023, 1024, 1029}) {
    for (const float value : {NAN, -NAN, INFINITY, -INFINITY}) {
      const auto input = largest.clone();
      input[1][place] = value;
      expect(input, "x.npy, row 1 (from 0): the input holds ");
    }
  }
  expect(torch::tensor({{1.0, 2.0}, {3.0, 1e300}}, at::kDouble),
         "x.npy, row 1 (from 0): the input holds 1e+300; every number must be finite and fit in "
         "float32. Replace it, or leave out the row.");
  test::write_npy_of<float>(folder / "x.npy", torch::ones({4, 3}));
  test::write_npy_of<float>(folder / "y.npy", torch::tensor({1.0F, 2.0F, NAN, 3.0F}));
  expect_data_error(
      [&] {
        test::read_all(*test::open_files({folder / "x.npy"}, {}, {}, {folder / "y.npy"}), true);
      },
      "x.npy, row 2 (from 0): the target holds nan; every number must be finite and fit in "
      "float32. Replace it, or leave out the row.");
}

TEST_F(ShardedDatasetTest, a_class_that_is_not_whole_is_an_error_that_names_file_and_row) {
  const test::TemporaryFolder folder;
  test::write_npy_of<float>(folder / "x.npy", torch::ones({3, 2}));
  test::write_npy_of<float>(folder / "y.npy", torch::tensor({1.0F, 0.5F, 2.0F}));
  const readers::ShardOptions classes = {.target_type = readers::TargetType::classes};
  expect_data_error(
      [&] {
        test::read_all(*test::open_files({folder / "x.npy"}, classes, {}, {folder / "y.npy"}),
                       true);
      },
      "x.npy, row 1 (from 0): the class is 0.5; classes must be whole numbers up to 2^53. If the "
      "targets aren't classes, set target_type = value.");
}

double anonymous_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("RssAnon:", 0) == 0) return std::atof(line.c_str() + 8) / 1024.0;
  }
  return 0.0;
}

// Must hold: memory has no part in how large the files are.
TEST_F(ShardedDatasetTest, memory_does_not_grow_with_the_files) {
  if (anonymous_mb() == 0.0) GTEST_SKIP() << "the system doesn't say";
  std::vector<fs::path> many;
  for (int i = 0; i < 8; ++i) {
    for (const auto& each : paths()) many.push_back(each);
  }
  const auto set = test::open_files(many);  // 269 MB
  ASSERT_GT(set->file_bytes(), 268'000'000U);
  auto reader = loader(set, 1, {.shuffle_rows = 64, .seed = 1}, 16).open();
  Batch batch;
  ASSERT_TRUE(reader.next(batch));
  const double before = anonymous_mb();
  double most = before;
  int64_t rows = batch.rows();
  while (reader.next(batch)) {
    rows += batch.rows();
    most = std::max(most, anonymous_mb());
  }
  EXPECT_EQ(rows, 8 * 525);
  // MB. The sanitizer holds back up to 256 MB of freed blocks. How much of that is held back only
  // while this test runs depends on what the tests before it in the same process have freed. All
  // files together are still larger than the bound by far.
  constexpr double kOfTheSanitizer = test::kAddressSanitizer ? 40.0 : 0.0;
  // Three windows of at most two blocks of 4 MiB, and buffers of a few batches of 1 MB.
  EXPECT_LT(most - before, 40.0 + kOfTheSanitizer);
}

// Rows of 784 bytes and a label lie 832 bytes apart: padding counts.
TEST_F(ShardedDatasetTest, a_block_fits_in_two_huge_pages) {
  const test::TemporaryFolder folder;
  const auto header = readers::lvb_layout(
      {{"input", readers::DType::uint8, {784}}, {"target", readers::DType::int64, {}}}, 6000);
  test::write_text(folder / "a.lvb", readers::lvb_header(header));
  fs::resize_file(folder / "a.lvb", header.file_bytes());
  const auto set = test::open_files({folder / "a.lvb"});
  const auto bytes = static_cast<size_t>(set->table().block_rows()) * header.stride;
  EXPECT_EQ(header.stride, 832U);
  EXPECT_LE(readers::MappedFile::read_space(bytes), size_t{4} << 20);
  EXPECT_GE(bytes, size_t{3} << 20);
}

TEST_F(ShardedDatasetTest, a_set_of_up_to_two_windows_is_read_once_for_all_epochs) {
  const auto set = open();
  auto reader = loader(set, 0, {.shuffle_rows = 300, .seed = 4}).open();
  Order first = read(reader);
  for (int file = 0; file < files_; ++file) fs::rename(path(file), path(file) += ".away");
  Order second;
  try {
    reader.seek(1);
    second = read(reader);
  } catch (const DataError& error) {
    ADD_FAILURE() << error.what();
  }
  for (int file = 0; file < files_; ++file) fs::rename(path(file) += ".away", path(file));
  EXPECT_EQ(sorted(second), everything());
  EXPECT_NE(first, second);
}

}  // namespace levin::sharded_dataset_test
