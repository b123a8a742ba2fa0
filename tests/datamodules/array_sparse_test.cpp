#include <levin/datamodules/array.h>

#include "framework/message_of.h"

#include <torch/torch.h>

#include <string>
#include <utility>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/framework/data/sparse_rows.h>

namespace levin::array_sparse_test {

using test::message_of;
using test::says;

/// Rows of which most numbers are 0; labels i mod 3.
torch::Tensor features(int64_t rows) {
  torch::manual_seed(2);
  return torch::randn({rows, 7}) * torch::rand({rows, 7}).lt(0.3);
}
torch::Tensor labels(int64_t rows) { return torch::arange(rows).remainder(3); }

/// The rows of an epoch, made dense if they are sparse.
torch::Tensor rows_of(const DataLoaders& loaders, bool is_sparse) {
  auto reader = loaders.front().open();
  std::vector<torch::Tensor> inputs;
  Batch batch;
  while (reader.next(batch)) {
    EXPECT_EQ(batch.input_rows().is_sparse(), is_sparse);
    inputs.push_back(to_dense(batch.input_rows()).clone());
  }
  return torch::cat(inputs);
}

void expect_same_rows(ArrayDataModule&& sparse, ArrayDataModule&& dense) {
  EXPECT_TRUE(torch::equal(rows_of(sparse.train_dataloader(), true),
                           rows_of(dense.train_dataloader(), false)));
  EXPECT_TRUE(
      torch::equal(rows_of(sparse.val_dataloader(), true), rows_of(dense.val_dataloader(), false)));
  EXPECT_TRUE(torch::equal(rows_of(sparse.test_dataloader(), true),
                           rows_of(dense.test_dataloader(), false)));
  EXPECT_TRUE(torch::equal(rows_of(sparse.predict_dataloader(), true),
                           rows_of(dense.predict_dataloader(), false)));
  EXPECT_EQ(sparse.dims(), dense.dims());
  EXPECT_EQ(sparse.num_classes(), dense.num_classes());
}

TEST(ArrayDataModuleSparse, splits_and_shuffles_sparse_rows_as_dense_ones) {
  const auto x = features(90);
  const auto y = labels(90);
  for (const bool stratify : {false, true}) {
    const ArrayDataModuleOptions options{.batch_size = 8, .stratify = stratify};
    for (const auto& given : {x.to_sparse_csr(), x.to_sparse(), x.to(torch::kDouble).to_sparse()}) {
      expect_same_rows(ArrayDataModule(given, y, options), ArrayDataModule(x, y, options));
    }
  }
}

TEST(ArrayDataModuleSparse, takes_sparse_rows_without_a_copy_and_separate_sets) {
  const auto x = features(60);
  const auto csr = x.to_sparse_csr();
  const Rows rows =
      Rows::sparse(csr.crow_indices(), csr.col_indices().to(torch::kInt), csr.values(), 7);
  ArrayDataModule data(rows, labels(60));
  data.set_validation(features(9).to_sparse_csr(), labels(9));
  data.set_test(rows, labels(60));
  data.setup(Stage::fit);
  Batch batch;
  const auto loaders = data.test_dataloader();
  const auto& set = dynamic_cast<const TensorDataset&>(loaders.front().dataset());
  EXPECT_TRUE(set.entries()[0].second.values().is_alias_of(rows.values()));
  EXPECT_TRUE(torch::equal(rows_of(data.val_dataloader(), true), features(9)));
  EXPECT_EQ(*data.train_dataloader().front().dataset().size(), 60);
  data.set_validation(torch::ones({4, 8}).to_sparse_csr(), labels(4));
  EXPECT_TRUE(says(message_of<DataError>([&] { data.setup(Stage::fit); }),
                   {"x_val: the shape of a row", "8", "7"}));
}

TEST(ArrayDataModuleSparse, refuses_options_and_tensors_that_make_no_sense) {
  const auto x = features(30);
  const auto csr = x.to_sparse_csr();
  const auto config_error = [&](const torch::Tensor& given, const std::string& dtype) {
    ArrayDataModule data(given, labels(30), {.dtype = dtype});
    return message_of<ConfigError>([&] { data.setup(Stage::fit); });
  };
  EXPECT_TRUE(says(config_error(csr, "float64"), {"dtype = float64", "x is sparse", "float32"}));
  EXPECT_TRUE(says(config_error(csr.to(torch::kDouble), "as_is"), {"dtype = as_is", "Double"}));
  EXPECT_TRUE(says(config_error(csr, "float16"), {"float16"}));
  const auto data_error = [&](const Rows& given) {
    ArrayDataModule data(given, labels(given.size()));
    return message_of<DataError>([&] { data.setup(Stage::fit); });
  };
  EXPECT_TRUE(says(data_error(x.to_sparse_csc()), {"x: the layout", "SparseCsc"}));
  EXPECT_TRUE(says(data_error(features(0).to_sparse_csr()), {"x, a sparse array, is empty"}));
  auto values = csr.values().clone();
  values[0] = INFINITY;
  EXPECT_TRUE(says(data_error(at::_sparse_csr_tensor_unsafe(csr.crow_indices(), csr.col_indices(),
                                                            values, csr.sizes())),
                   {"x, row ", "entry 0 of the row: the value is inf"}));
  EXPECT_TRUE(says(
      data_error(Rows::sparse(torch::tensor({0, 2}), torch::tensor({4, 4}, torch::kInt), {}, 7)),
      {"x, row 0, entry 1 of the row", "sorted_entries"}));
}

}  // namespace levin::array_sparse_test
