#include <levin/datamodules/sparse.h>

#include <torch/torch.h>

#include <algorithm>
#include <string>
#include <vector>

#include "datamodules/sparse_support.h"
#include "framework/message_of.h"
#include "framework/temporary_folder.h"

#include <levin/datamodules/array.h>
#include <levin/framework/core/error.h>

// Sparse rows of files in memory.

namespace levin::sparse_test {

using test::libsvm_lines;
using test::message_of;
using test::read_epoch;
using test::says;
using test::TemporaryFolder;
using test::write_text;

std::string path(const TemporaryFolder& folder, const std::string& name) {
  return (folder / name).string();
}

SparseDataModuleOptions training_on(const TemporaryFolder& folder, const std::string& name) {
  return {.train = {path(folder, name)}, .batch_size = 4, .shuffle = false};
}

TEST(SparseDataModule, text_becomes_sparse_batches_of_what_it_says) {
  const TemporaryFolder folder;
  write_text(folder / "a.svm", "1 1:0.5 4:2\n-1 2:3\n1\n");
  SparseDataModule data(training_on(folder, "a.svm"));
  const auto rows = read_epoch(data.train_dataloader());
  EXPECT_TRUE(torch::equal(rows.input, torch::tensor({{0.5F, 0.0F, 0.0F, 2.0F},
                                                      {0.0F, 3.0F, 0.0F, 0.0F},
                                                      {0.0F, 0.0F, 0.0F, 0.0F}})));
  EXPECT_TRUE(torch::equal(rows.target, torch::tensor({1, 0, 1})));
  EXPECT_EQ(data.class_names(), (std::vector<std::string>{"-1", "1"}));
  EXPECT_EQ(data.num_classes(), 2);
  EXPECT_EQ(data.columns(), 4);
}

TEST(SparseDataModule, rows_lie_where_the_reader_put_them) {
  const TemporaryFolder folder;
  write_text(folder / "a.svm", libsvm_lines(50));
  SparseDataModule data(training_on(folder, "a.svm"));
  auto reader = data.train_dataloader().front().open();
  reader.leave_rows_in_place(true);
  Batch one;
  Batch two;
  ASSERT_TRUE(reader.next(one));
  ASSERT_TRUE(reader.next(two));
  EXPECT_EQ(one.input_rows().indices().data_ptr(), two.input_rows().indices().data_ptr());
}

TEST(SparseDataModule, weights_of_rows_and_hashes_of_names_are_in_batches) {
  const TemporaryFolder folder;
  write_text(folder / "a.vw", "1 2.5 |u red |v big\n-1 |u blue\n");
  SparseDataModule data(
      {.train = {path(folder, "a.vw")}, .hash_bits = 10, .quadratic = {"uv"}, .shuffle = false});
  const auto rows = read_epoch(data.train_dataloader());
  EXPECT_EQ(rows.input.size(1), 1024);
  EXPECT_TRUE(torch::equal(rows.input.sum(1), torch::tensor({3.0F, 1.0F})));
  EXPECT_TRUE(torch::equal(rows.weight, torch::tensor({2.5F, 1.0F})));
}

TEST(SparseDataModule, all_formats_give_the_same_rows) {
  const TemporaryFolder folder;
  write_text(folder / "a.svm", libsvm_lines(30));
  test::write_shards(folder / "shards", folder / "a.svm", 11, 20);
  SparseDataModule text(training_on(folder, "a.svm"));
  SparseDataModule shards(training_on(folder, "shards"));
  test::expect_same(read_epoch(text.train_dataloader()), read_epoch(shards.train_dataloader()));
}

TEST(SparseDataModule, a_split_uses_every_row_once_and_takes_nothing_from_other_files) {
  const TemporaryFolder folder;
  write_text(folder / "a.svm", libsvm_lines(40));
  write_text(folder / "b.svm", libsvm_lines(5, 3));
  SparseDataModule data({.train = {path(folder, "a.svm")},
                         .test = {path(folder, "b.svm")},
                         .val_split = 0.25,
                         .test_split = 0.25});
  auto ids = read_epoch(data.train_dataloader()).ids;
  const auto val = read_epoch(data.val_dataloader()).ids;
  EXPECT_EQ(ids.size(), 30U);
  EXPECT_EQ(val.size(), 10U);
  ids.insert(ids.end(), val.begin(), val.end());
  std::sort(ids.begin(), ids.end());
  for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(ids[i], static_cast<int64_t>(i));
  EXPECT_EQ(read_epoch(data.test_dataloader()).ids.size(), 5U);
}

TEST(SparseDataModule, a_checkpoint_settles_how_other_files_are_read) {
  const TemporaryFolder folder;
  write_text(folder / "a.svm", "-1 0:1 7:1\n1 2:1\n");
  SparseDataModule trained(training_on(folder, "a.svm"));
  const auto state = trained.fitted_state();
  EXPECT_EQ(state.values.at("num_features").as_int(), 8);

  write_text(folder / "b.svm", "1 2:1\n");  // taken alone, its features are numbered from 1
  SparseDataModule other({.predict = {path(folder, "b.svm")}});
  other.load_fitted_state(state);
  const auto rows = read_epoch(other.predict_dataloader());
  EXPECT_EQ(rows.input.size(1), 8);
  EXPECT_EQ(rows.input[0][2].item<float>(), 1.0F);
  EXPECT_FALSE(rows.target.defined());
  EXPECT_EQ(other.class_names(), (std::vector<std::string>{"-1", "1"}));

  write_text(folder / "c.svm", "1 8:1\n");
  SparseDataModule wide({.test = {path(folder, "c.svm")}});
  wide.load_fitted_state(state);
  EXPECT_TRUE(
      says(message_of<DataError>([&] { wide.setup(Stage::test); }), {"c.svm, line 1", "8"}));
  SparseDataModule fewer({.test = {path(folder, "b.svm")}, .columns = 5});
  EXPECT_TRUE(says(message_of<ConfigError>([&] { fewer.load_fitted_state(state); }), {"columns"}));
}

TEST(SparseDataModule, names_are_hashed_as_in_training) {
  const TemporaryFolder folder;
  write_text(folder / "a.vw", "1 |u red |v big\n-1 |u blue\n");
  SparseDataModule trained(
      {.train = {path(folder, "a.vw")}, .hash_bits = 12, .quadratic = {"uv"}, .shuffle = false});
  const auto state = trained.fitted_state();
  write_text(folder / "b.vw", "|u red |v big\n");  // no label
  SparseDataModule other({.predict = {path(folder, "b.vw")}});
  other.load_fitted_state(state);
  EXPECT_TRUE(torch::equal(read_epoch(other.predict_dataloader()).input,
                           read_epoch(trained.train_dataloader()).input.narrow(0, 0, 1)));
  SparseDataModule wrong({.predict = {path(folder, "b.vw")}, .hash_bits = 13});
  EXPECT_TRUE(says(message_of<ConfigError>([&] { wrong.load_fitted_state(state); }),
                   {"hash_bits = 12", "13"}));
}

TEST(SparseDataModule, bad_files_are_refused_with_place_and_remedy) {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& text, SparseDataModuleOptions options = {}) {
    write_text(folder / "a.svm", text);
    options.train = {path(folder, "a.svm")};
    SparseDataModule data(options);
    return message_of<DataError>([&] { data.setup(Stage::fit); });
  };
  EXPECT_TRUE(says(message("1 1:1\n0 -2:1\n"), {"a.svm, line 2", "-2"}));
  EXPECT_TRUE(says(message("1 1:1\n0 9:1\n", {.columns = 5}), {"a.svm, line 2", "9", "5"}));
  EXPECT_TRUE(says(message("1 1:nan\n0 2:1\n"), {"a.svm, line 1", "nan"}));
  EXPECT_TRUE(says(message("1 1:1\n0.5 2:1\n", {.target_type = "class"}),
                   {"a.svm, row 1", "0.5", "target_type = value"}));
  EXPECT_TRUE(
      says(message("1 1:1\n3 2:1\n", {.num_classes = 3}), {"a.svm, row 1", "3", "below 3"}));
  EXPECT_TRUE(says(message("1 1:1\n1 2:1\n"), {"a.svm", "all 2 training rows", "two classes"}));
}

TEST(SparseDataModule, training_rows_may_be_drawn_by_their_classes) {
  const TemporaryFolder folder;
  write_text(folder / "a.svm", "0 1:1\n0 1:2\n1 1:3\n1 1:4\n0 1:5\n1 1:6\n");
  auto options = training_on(folder, "a.svm");
  options.batch_size = 2;
  options.sampling = "stratified";
  SparseDataModule data(options);
  auto reader = data.train_dataloader().front().open();
  int64_t batches = 0;
  for (Batch batch; reader.next(batch); ++batches) {
    EXPECT_EQ(batch.target().sum().item<int64_t>(), 1) << "one of each class";
  }
  EXPECT_EQ(batches, 3);
}

TEST(SparseDataModule, options_of_another_format_are_refused) {
  const auto message = [](SparseDataModuleOptions options) {
    options.train = {"rows"};
    return message_of<ConfigError>([&] { SparseDataModule{options}; });
  };
  EXPECT_TRUE(says(message({.format = "vw", .zero_based = true}), {"zero_based", "libsvm"}));
  EXPECT_TRUE(says(message({.format = "lvb", .sort_indices = true}), {"sort_indices", "npz"}));
  EXPECT_TRUE(says(message({.format = "libsvm", .hash_bits = 4}), {"hash_bits", "criteo"}));
  EXPECT_TRUE(says(message({.format = "criteo", .constant = true}), {"constant", "format = vw"}));
  EXPECT_TRUE(says(message({.stream = true, .sampling = "balanced"}), {"stream", "sampling"}));
  SparseDataModule({.train = {"rows"}, .format = "vw", .hash_bits = 4, .constant = true});
}

TEST(SparseDataModule, options_that_cannot_be_are_refused) {
  EXPECT_TRUE(says(message_of<ConfigError>([] { SparseDataModule({}); }), {"name a file"}));
  EXPECT_TRUE(
      says(message_of<ConfigError>([] { SparseDataModule({.train = {"a.svm"}, .format = "csv"}); }),
           {"csv", "libsvm"}));
  EXPECT_TRUE(says(message_of<ConfigError>([] {
                     SparseDataModule({.train = {"a.svm"}, .stream = true, .val_split = 0.1});
                   }),
                   {"val_split", "stream"}));
}

/// scikit-learn's StandardScaler(with_mean=False): the zeros count, and n is in the denominator.
torch::Tensor scaled(const torch::Tensor& x, const torch::Tensor& training) {
  const auto deviation = training.to(torch::kDouble).std(0, /*unbiased=*/false);
  return (x.to(torch::kDouble) / torch::where(deviation.eq(0), 1.0, deviation)).to(torch::kFloat);
}

TEST(SparseDataModule, features_are_divided_by_deviations_of_the_training_rows) {
  const TemporaryFolder folder;
  write_text(folder / "a.svm", libsvm_lines(60));
  write_text(folder / "b.svm", libsvm_lines(20, 5));
  SparseDataModule plain({.train = {path(folder, "a.svm")},
                          .test = {path(folder, "b.svm")},
                          .columns = 20,
                          .shuffle = false});
  const auto train = read_epoch(plain.train_dataloader()).input;
  const auto test = read_epoch(plain.test_dataloader()).input;
  SparseDataModule data({.train = {path(folder, "a.svm")},
                         .test = {path(folder, "b.svm")},
                         .columns = 20,
                         .standardize = true,
                         .shuffle = false});
  EXPECT_TRUE(torch::allclose(read_epoch(data.train_dataloader()).input, scaled(train, train)));
  EXPECT_TRUE(torch::allclose(read_epoch(data.test_dataloader()).input, scaled(test, train)));

  SparseDataModule later({.test = {path(folder, "b.svm")}});
  later.load_fitted_state(data.fitted_state());
  EXPECT_TRUE(torch::equal(read_epoch(later.test_dataloader()).input,
                           read_epoch(data.test_dataloader()).input));
  SparseDataModule alone({.test = {path(folder, "b.svm")}, .standardize = true});
  EXPECT_TRUE(says(message_of<ConfigError>([&] { alone.setup(Stage::test); }), {"train"}));
}

TEST(SparseDataModule, sparse_arrays_are_standardised_alike) {
  torch::manual_seed(3);
  const auto x = torch::randn({40, 6}) * torch::rand({40, 6}).lt(0.4);
  const auto y = torch::arange(40).remainder(2);
  ArrayDataModule data(
      x.to_sparse_csr(), y,
      {.val_split = 0.0, .test_split = 0.0, .shuffle = false, .standardize = true});
  EXPECT_TRUE(torch::allclose(read_epoch(data.train_dataloader()).input, scaled(x, x)));
  ArrayDataModule later(x.to_sparse_csr(), y, {.shuffle = false});
  later.load_fitted_state(data.fitted_state());
  EXPECT_TRUE(torch::allclose(read_epoch(later.predict_dataloader()).input, scaled(x, x)));
}

}  // namespace levin::sparse_test
