#include <levin/datamodules/sparse.h>

#include <torch/torch.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "datamodules/readers/gzip_support.h"
#include "datamodules/sparse_support.h"
#include "framework/message_of.h"
#include "framework/support.h"
#include "framework/temporary_folder.h"

#include <levin/datamodules/sparse_shards.h>
#include <levin/datamodules/synthetic_clicks.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>

// Sparse rows that are streamed: text in the order of its lines, and shards.

namespace levin::sparse_stream_test {

using test::libsvm_lines;
using test::message_of;
using test::read_epoch;
using test::says;
using test::TemporaryFolder;
using test::write_text;

/// Two files of 70 rows as text ("text") and as shards ("shards"), and 20 rows to validate on.
void write_files(const TemporaryFolder& folder) {
  std::filesystem::create_directories(folder / "text");
  write_text(folder / "text/a.svm", "# a comment\n" + libsvm_lines(40));
  write_text(folder / "text/b.svm", libsvm_lines(30, 4));
  write_text(folder / "all.svm", libsvm_lines(40) + libsvm_lines(30, 4));
  test::write_shards(folder / "shards", folder / "all.svm", 26, 20);
  write_text(folder / "val.svm", libsvm_lines(20, 2));
  test::write_shards(folder / "val", folder / "val.svm", 9, 20);
}

/// How the files are read: in memory, as shards or as text.
enum class Way { memory, shards, text };

SparseDataModuleOptions options_for(const TemporaryFolder& folder, Way way, bool shuffle = false) {
  const bool is_text = way != Way::shards;
  return {.train = {(folder / (is_text ? "text" : "shards")).string()},
          .val = {(folder / (is_text ? "val.svm" : "val")).string()},
          .columns = 20,
          .zero_based = false,
          .stream = way != Way::memory,
          .batch_size = 7,
          .shuffle = shuffle};
}

TEST(SparseStream, gives_the_rows_that_are_in_memory_otherwise) {
  const TemporaryFolder folder;
  write_files(folder);
  SparseDataModule memory(options_for(folder, Way::memory));
  const auto expected = read_epoch(memory.train_dataloader());
  ASSERT_EQ(expected.ids.size(), 70U);
  for (const Way way : {Way::shards, Way::text}) {
    SparseDataModule stream(options_for(folder, way));
    for (const int64_t epoch : {0, 1}) {
      test::expect_same(read_epoch(stream.train_dataloader(), epoch), expected);
    }
    EXPECT_EQ(stream.num_classes(), 2);
    EXPECT_EQ(stream.train_dataloader().front().dataset().size().has_value(), way == Way::shards);
  }
}

TEST(SparseStream, text_may_be_compressed_in_memory_and_in_a_stream) {
  const TemporaryFolder folder;
  write_text(folder / "a.svm", libsvm_lines(40));
  write_text(folder / "a.svm.gz", test::gzipped_in_members(libsvm_lines(40), 300));
  write_text(folder / "a.npz.gz", "");
  const auto options = [&](const char* name, bool stream) {
    return SparseDataModuleOptions{.train = {(folder / name).string()},
                                   .columns = 20,
                                   .zero_based = false,
                                   .stream = stream,
                                   .shuffle = false};
  };
  SparseDataModule plain(options("a.svm", false));
  const auto expected = read_epoch(plain.train_dataloader());
  for (const bool stream : {false, true}) {
    SparseDataModule packed(options("a.svm.gz", stream));
    test::expect_same(read_epoch(packed.train_dataloader()), expected);
  }
  SparseDataModule npz(options("a.npz.gz", false));
  EXPECT_TRUE(says(message_of<DataError>([&] { npz.train_dataloader(); }),
                   {"a.npz.gz", "only text may be gzipped", "gunzip"}));
}

TEST(SparseStream, is_the_same_for_any_number_of_threads_and_longer_than_a_stretch_of_text) {
  const TemporaryFolder folder;
  write_text(folder / "long.svm", libsvm_lines(60000));  // over 1 MiB
  const auto sum = [&](bool stream, int64_t workers) {
    SparseDataModule data({.train = {(folder / "long.svm").string()},
                           .columns = 20,
                           .zero_based = false,
                           .stream = stream,
                           .batch_size = 1000,
                           .shuffle = false,
                           .num_workers = workers});
    const auto rows = read_epoch(data.train_dataloader());
    EXPECT_EQ(rows.target.size(0), 60000);
    return torch::cat({rows.input, rows.target.unsqueeze(1).to(torch::kFloat)}, 1);
  };
  const auto expected = sum(false, 0);
  EXPECT_TRUE(torch::equal(sum(true, 0), expected));
  EXPECT_TRUE(torch::equal(sum(true, 3), expected));
}

TEST(SparseStream, shards_are_shuffled_by_the_seed_and_the_epoch_alone) {
  const TemporaryFolder folder;
  write_files(folder);
  const auto order = [&](uint64_t seed, int64_t epoch, int64_t workers) {
    auto options = options_for(folder, Way::shards, /*shuffle=*/true);
    options.num_workers = workers;
    options.shuffle_rows = 30;
    seed_everything(seed);
    SparseDataModule data(options);
    return read_epoch(data.train_dataloader(), epoch).ids;
  };
  const auto first = order(1, 0, 0);
  EXPECT_EQ(order(1, 0, 2), first);
  EXPECT_NE(order(1, 1, 0), first);
  EXPECT_NE(order(2, 0, 0), first);
  auto sorted = first;
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i < sorted.size(); ++i) EXPECT_EQ(sorted[i], static_cast<int64_t>(i));
}

TEST(SparseStream, a_batch_of_any_rows_has_the_entries_of_these_rows) {
  const TemporaryFolder folder;
  write_files(folder);
  SparseDataModule memory(options_for(folder, Way::memory));
  const auto all = read_epoch(memory.train_dataloader());
  std::vector<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator(folder / "shards")) {
    files.push_back(file.path());
  }
  std::sort(files.begin(), files.end());
  const SparseShards shards(files, 20, 1);
  Batch batch;
  for (const std::vector<int64_t>& rows :
       {std::vector<int64_t>{69, 0, 1, 2, 30, 30}, std::vector<int64_t>{5}}) {
    shards.get_batch(rows, batch);  // the second time in memory that is larger
    const auto numbers = torch::tensor(rows);
    EXPECT_TRUE(torch::equal(to_dense(batch.input_rows()), all.input.index_select(0, numbers)));
    EXPECT_TRUE(torch::equal(batch.target(), all.target.index_select(0, numbers)));
  }
}

/// The weights after two epochs; with `stop`, saved there and resumed by another trainer.
StateDict train(const TemporaryFolder& folder, Way way, bool shuffle, int64_t stop = -1) {
  const TemporaryFolder logs;
  TrainerOptions options = {.accelerator = "cpu",
                            .max_epochs = 2,
                            .max_steps = stop,
                            .deterministic = true,
                            .default_root_dir = logs.path().string()};
  const LogisticRegressionOptions model_options = {
      .learning_rate = 0.1, .optimizer = "Adagrad", .sparse_gradients = true};
  seed_everything(11);
  SparseDataModule data(options_for(folder, way, shuffle));
  LogisticRegression model(model_options);
  Trainer first(options);
  first.fit(model, data);
  if (stop < 0) return model.state_dict().clone();
  EXPECT_EQ(first.run().global_step(), stop);
  first.save_checkpoint(logs / "stop.ckpt");

  options.max_steps = -1;
  seed_everything(999);  // a resumed process starts with anything
  SparseDataModule same(options_for(folder, way, shuffle));
  LogisticRegression other(model_options);
  Trainer second(options);
  second.fit(other, same, (logs / "stop.ckpt").string());
  EXPECT_EQ(second.run().global_step(), 20);
  return other.state_dict().clone();
}

void expect_same_bits(const StateDict& found, const StateDict& expected) {
  ASSERT_EQ(found.tensors.size(), expected.tensors.size());
  for (const auto& [name, tensor] : expected.tensors) {
    EXPECT_TRUE(test::same_bits(tensor, found.tensor(name))) << name;
  }
}

TEST(SparseStream, a_fit_has_the_same_bits_in_memory_from_shards_and_from_text) {
  const TemporaryFolder folder;
  write_files(folder);
  const auto expected = train(folder, Way::memory, false);
  EXPECT_GT(expected.tensor("linear.weight").abs().sum().item<double>(), 0.1);
  expect_same_bits(train(folder, Way::shards, false), expected);
  expect_same_bits(train(folder, Way::text, false), expected);
}

TEST(SparseStream, a_resumed_fit_ends_with_the_bits_of_one_that_went_through) {
  const TemporaryFolder folder;
  write_files(folder);
  for (const Way way : {Way::shards, Way::text}) {
    const auto whole = train(folder, way, true);
    for (const int64_t stop : {3, 10, 17}) expect_same_bits(train(folder, way, true, stop), whole);
  }
}

TEST(SparseStream, every_rank_gets_its_share_of_lines) {
  const TemporaryFolder folder;
  write_files(folder);
  SparseDataModule data(options_for(folder, Way::text));
  const auto loaders = data.train_dataloader();
  std::vector<int64_t> ids;
  for (const int64_t rank : {0, 1}) {
    auto reader = loaders.front().open(0, 0, {.rank = rank, .world_size = 2});
    for (Batch batch; reader.next(batch);) {
      EXPECT_EQ(to_dense(batch.input_rows()).size(0), std::ssize(batch.row_ids()));
      ids.insert(ids.end(), batch.row_ids().begin(), batch.row_ids().end());
    }
  }
  std::sort(ids.begin(), ids.end());
  ASSERT_EQ(ids.size(), 70U);
  for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(ids[i], static_cast<int64_t>(i));
}

TEST(SparseStream, bad_lines_are_refused_with_file_and_line_when_they_are_reached) {
  const TemporaryFolder folder;
  write_files(folder);
  const auto message = [&](const std::string& line) {
    write_text(folder / "text/b.svm", libsvm_lines(50000) + line + "\n");
    SparseDataModule data(options_for(folder, Way::text));
    return message_of<DataError>([&] { read_epoch(data.train_dataloader()); });
  };
  EXPECT_TRUE(says(message("1 21:1"), {"b.svm, line 50001", "21", "20"}));
  EXPECT_TRUE(says(message("0.5 2:1"), {"b.svm, line 50001", "target_type = value"}));
  EXPECT_TRUE(says(message("-1 2:1"), {"b.svm", "-1", "numbered from 0"}));
}

TEST(SparseStream, what_only_all_lines_tell_must_be_told) {
  const TemporaryFolder folder;
  write_files(folder);
  auto options = options_for(folder, Way::text);
  options.columns = 0;
  SparseDataModule data(options);
  EXPECT_TRUE(says(message_of<ConfigError>([&] { data.setup(Stage::fit); }),
                   {"columns", "zero_based", "levin convert"}));
  options = options_for(folder, Way::text);
  options.standardize = true;
  SparseDataModule scaled(options);
  EXPECT_TRUE(says(message_of<ConfigError>([&] { scaled.setup(Stage::fit); }),
                   {"standardize", "levin convert"}));
}

TEST(SparseStream, shards_are_divided_by_the_deviations_that_rows_in_memory_are) {
  const TemporaryFolder folder;
  write_files(folder);
  auto in_memory = options_for(folder, Way::memory);
  auto streamed = options_for(folder, Way::shards);
  in_memory.standardize = streamed.standardize = true;
  SparseDataModule memory(in_memory);
  SparseDataModule shards(streamed);
  const auto expected = read_epoch(memory.val_dataloader());
  test::expect_same(read_epoch(shards.train_dataloader()), read_epoch(memory.train_dataloader()));
  test::expect_same(read_epoch(shards.val_dataloader()), expected);
  SparseDataModule text(options_for(folder, Way::text));  // trained elsewhere
  text.load_fitted_state(memory.fitted_state());
  test::expect_same(read_epoch(text.val_dataloader()), expected);
}

TEST(SyntheticClicks, a_row_depends_on_the_seed_and_its_number_alone) {
  const SyntheticClicks clicks({.rows = 1000000000});
  Batch batch;
  clicks.get_batch(std::vector<int64_t>{999999999, 5, 0}, batch);
  require_valid_entries(batch.input_rows(), "clicks");
  EXPECT_EQ(batch.input_rows().num_entries(), 3 * 39);
  EXPECT_EQ(batch.input_rows().row_shape().front(), 1 << 20);
  const auto indices = batch.input_rows().indices().clone();
  Batch other;
  SyntheticClicks().get_batch(std::vector<int64_t>{0, 999999999}, other);
  const auto again = other.input_rows().indices();
  EXPECT_TRUE(torch::equal(again.slice(0, 0, 39), indices.slice(0, 78, 117)));
  EXPECT_TRUE(torch::equal(again.slice(0, 39, 78), indices.slice(0, 0, 39)));
  SyntheticClicks({.seed = 2}).get_batch(std::vector<int64_t>{0, 1}, other);
  EXPECT_FALSE(
      torch::equal(other.input_rows().indices().slice(0, 0, 39), indices.slice(0, 78, 117)));
}

TEST(SyntheticClicks, a_quarter_is_clicked_on_and_frequent_values_dominate) {
  const SyntheticClicks clicks({.rows = 4000});
  std::vector<int64_t> rows(4000);
  std::iota(rows.begin(), rows.end(), 0);
  Batch batch;
  clicks.get_batch(rows, batch);
  EXPECT_NEAR(batch.target().to(torch::kDouble).mean().item<double>(), 0.3, 0.1);
  const auto counts = torch::bincount(batch.input_rows().indices(), {}, 1 << 20);
  EXPECT_GT(counts.max().item<int64_t>(), 800);
  EXPECT_GT(counts.gt(0).sum().item<int64_t>(), 10000);
}

}  // namespace levin::sparse_stream_test
