#include <gtest/gtest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/dataset.h>
#include <levin/framework/data/sampler.h>
#include <torch/torch.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "framework/message_of.h"

namespace levin::dataset_test {

using test::message_of;

std::vector<int64_t> random_rows(int64_t rows, int64_t count) {
  RandomSampler sampler(rows, 3);
  sampler.set_epoch(0);
  std::vector<int64_t> order(static_cast<size_t>(count));
  sampler.rows(0, order);
  return order;
}

torch::Tensor as_index(const std::vector<int64_t>& rows) { return torch::tensor(rows, at::kLong); }

TEST(TensorDataset, gathers_what_index_select_gives_for_every_type_and_shape) {
  const std::vector<std::vector<int64_t>> shapes{{50}, {50, 1}, {50, 20}, {50, 3, 5, 2}, {50, 0}};
  const std::vector<std::vector<int64_t>> picks{
      random_rows(50, 17), {20, 21, 22, 23}, {}, {7}, {3, 3, 0, 49, 49}};
  for (const auto type : {at::kFloat, at::kDouble, at::kLong, at::kInt, at::kShort, at::kByte,
                          at::kBool, at::kHalf, at::kComplexFloat}) {
    for (const auto& shape : shapes) {
      const auto source = torch::randint(0, 100, shape).to(type);
      const TensorDataset data({{"x", source}});
      for (const auto& rows : picks) {
        Batch batch;
        data.get_batch(rows, batch);
        EXPECT_TRUE(torch::equal(batch["x"], source.index_select(0, as_index(rows))))
            << type << " " << shape.size();
        EXPECT_EQ(batch["x"].scalar_type(), type);
        EXPECT_EQ(batch.row_ids(), rows);
      }
    }
  }
}

TEST(TensorDataset, takes_tensors_that_are_not_contiguous_or_need_gradients) {
  const auto source = torch::randn({4, 30}, torch::requires_grad()).t();
  const TensorDataset data(source, torch::arange(60).slice(0, 0, 60, 2));
  const std::vector<int64_t> rows{5, 2, 29};
  Batch batch;
  data.get_batch(rows, batch);
  EXPECT_TRUE(torch::equal(batch.input(), source.detach().index_select(0, as_index(rows))));
  EXPECT_TRUE(torch::equal(batch.target(), torch::tensor({10, 4, 58})));
  EXPECT_FALSE(batch.input().requires_grad());
}

TEST(TensorDataset, writes_into_the_buffers_it_is_given) {
  const TensorDataset data(torch::randn({50, 8}), torch::arange(50));
  Batch batch;
  data.get_batch(random_rows(50, 10), batch);
  const auto* input = batch.input().const_data_ptr();
  const auto* target = batch.target().const_data_ptr();
  for (const int64_t count : {10, 3, 10, 0, 7}) {
    data.get_batch(random_rows(50, count), batch);
    EXPECT_EQ(batch.rows(), count);
    EXPECT_EQ(batch.target().size(0), count);
    if (count > 0) {
      EXPECT_EQ(batch.input().const_data_ptr(), input);
    }
    if (count > 0) {
      EXPECT_EQ(batch.target().const_data_ptr(), target);
    }
  }
}

TEST(TensorDataset, forgets_tensors_that_an_earlier_batch_had_besides) {
  const TensorDataset data(torch::randn({5, 2}), torch::arange(5));
  Batch batch(
      {{"target", torch::zeros({2})}, {"mask", torch::zeros({2})}, {"z", torch::zeros({2})}});
  data.get_batch(std::vector<int64_t>{1, 4}, batch);
  ASSERT_EQ(batch.tensors().size(), 2U);
  EXPECT_EQ(batch.tensors()[0].first, "input");
  EXPECT_TRUE(torch::equal(batch.target(), torch::tensor({1, 4})));
}

TEST(TensorDataset, rows_that_differ_or_are_missing_are_refused) {
  try {
    TensorDataset(torch::zeros({150, 4}), torch::zeros({149}));
    FAIL();
  } catch (const DataError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("150"), std::string::npos) << text;
    EXPECT_NE(text.find("149"), std::string::npos) << text;
  }
  EXPECT_EQ(message_of<DataError>([] { TensorDataset data(NamedTensors{}); }),
            "the data set is empty; give it at least one tensor");
  EXPECT_EQ(
      message_of<DataError>([] { TensorDataset data(torch::tensor(1.0), torch::tensor(1)); }),
      "tensor 'input' is a single number; the shape of a data set's tensor must be [rows, ...]");
  EXPECT_EQ(message_of<DataError>([] { TensorDataset data(torch::zeros({3}), torch::Tensor()); }),
            "tensor 'target' is undefined; the shape of a data set's tensor must be [rows, ...]");
}

TEST(TensorDataset, rows_outside_are_refused_not_read) {
  const TensorDataset data(torch::zeros({5, 2}), torch::zeros({5}));
  Batch batch;
  EXPECT_EQ(message_of<DataError>([&] {
              data.get_batch(std::vector<int64_t>{0, 5}, batch);
            }),
            "row 5 was asked for, but the data set has rows 0 to 4; check the sampler");
  EXPECT_THROW(data.get_batch(std::vector<int64_t>{-1}, batch), DataError);
  const TensorDataset none(torch::zeros({0, 2}), torch::zeros({0}));
  EXPECT_EQ(message_of<DataError>([&] { none.get_batch(std::vector<int64_t>{0}, batch); }),
            "row 0 was asked for, but the data set has no rows; check the sampler");
}

TEST(Dataset, get_gives_one_row) {
  const TensorDataset data(torch::arange(10.0).view({5, 2}), torch::arange(5));
  const Batch batch = data.get(3);
  EXPECT_TRUE(torch::equal(batch.input(), torch::tensor({{6.0, 7.0}})));
  EXPECT_EQ(batch.row_ids(), std::vector<int64_t>{3});
}

// row 15: a random fifth of the rows, from a seed, as validation data
TEST(Subset, a_random_fifth_and_the_rest_partition_the_rows) {
  const auto data = std::make_shared<TensorDataset>(torch::arange(500.0), torch::arange(500));
  const auto order = random_rows(500, 500);
  const Subset validation(data, {order.begin(), order.begin() + 100});
  const Subset train(data, {order.begin() + 100, order.end()});
  EXPECT_EQ(validation.size(), 100);
  EXPECT_EQ(train.size(), 400);
  std::vector<int64_t> seen;
  for (const Subset* part : {&validation, &train}) {
    std::vector<int64_t> all(static_cast<size_t>(*part->size()));
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
    Batch batch;
    part->get_batch(all, batch);
    EXPECT_TRUE(torch::equal(batch.target(), as_index(part->rows())));
    EXPECT_EQ(batch.row_ids(), part->rows());  // the parent's numbers
    seen.insert(seen.end(), batch.row_ids().begin(), batch.row_ids().end());
  }
  std::sort(seen.begin(), seen.end());
  for (size_t i = 0; i < seen.size(); ++i) ASSERT_EQ(seen[i], static_cast<int64_t>(i));
}

TEST(Subset, subsets_nest) {
  const auto data = std::make_shared<TensorDataset>(torch::arange(10.0), torch::arange(10));
  const auto odd = std::make_shared<Subset>(data, std::vector<int64_t>{1, 3, 5, 7, 9});
  const Subset last(odd, {4, 2});
  for (int i = 0; i < 3; ++i) {
    Batch batch;
    last.get_batch(std::vector<int64_t>{1, 0}, batch);
    EXPECT_TRUE(torch::equal(batch.target(), torch::tensor({5, 9})));
    EXPECT_EQ(batch.row_ids(), (std::vector<int64_t>{5, 9}));
  }
  EXPECT_THROW(Subset(data, {3, 10}), DataError);
  EXPECT_THROW(Subset(data, {-1}), DataError);
  Batch batch;
  EXPECT_THROW(last.get_batch(std::vector<int64_t>{2}, batch), DataError);
}

// --- rows that stay in place ---

TensorDataset wide_rows() {
  return {torch::arange(40.0 * 100.0).view({40, 100}), torch::arange(40)};
}

TEST(TensorDatasetInPlace, a_selected_batch_refers_to_the_rows_and_no_const_call_changes_that) {
  const auto data = wide_rows();
  Batch batch;
  data.select_batch(std::vector<int64_t>{7, 3}, batch);
  const Batch& read = batch;
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(read.rows(), 2);
    const auto view = read.input_rows().view();
    ASSERT_TRUE(view);
    EXPECT_EQ(view->data, data.tensors()[0].second.const_data_ptr());
    EXPECT_EQ(std::vector<int64_t>(view->numbers, view->numbers + view->count),
              (std::vector<int64_t>{7, 3}));
    EXPECT_EQ(read.input()[0][0].item<double>(), 700.0);
    EXPECT_EQ(read.input()[1][99].item<double>(), 399.0);
    EXPECT_TRUE(torch::equal(read["input"], read.tensors()[0].second));
    EXPECT_TRUE(torch::equal(read.to(at::kCPU).input(), read.input()));
    EXPECT_EQ(read.pin_memory().input_rows().is_dense(), torch::cuda::is_available());
    EXPECT_FALSE(read.input_rows().is_dense());
  }
  EXPECT_TRUE(torch::equal(read.target(), torch::tensor({7, 3})));
  EXPECT_TRUE(batch.entries()[1].second.is_dense());  // a number a row is cheaper to copy
}

TEST(TensorDatasetInPlace, is_not_done_unless_asked_for) {
  Batch batch;
  wide_rows().get_batch(std::vector<int64_t>{7, 3}, batch);
  EXPECT_TRUE(batch.input_rows().is_dense());
  EXPECT_EQ(batch.input_rows().view()->numbers, nullptr);
}

TEST(TensorDatasetInPlace, rows_that_no_kernel_reads_are_gathered) {
  for (const auto type : {at::kDouble, at::kByte, at::kLong}) {
    const TensorDataset data(torch::ones({5, 300}).to(type), torch::arange(5));
    Batch batch;
    data.select_batch(std::vector<int64_t>{4, 2}, batch);
    EXPECT_TRUE(batch.input_rows().is_dense()) << type;
  }
}

TEST(TensorDatasetInPlace, a_batch_outlives_its_data_set_and_gathers_for_itself) {
  Batch batch;
  {
    const auto data = wide_rows();
    data.select_batch(std::vector<int64_t>{1}, batch);
  }
  const Batch copy = batch;
  copy.input().zero_();
  EXPECT_EQ(copy.input()[0][1].item<double>(), 101.0);
  batch.input().zero_();
  EXPECT_EQ(copy.input()[0][1].item<double>(), 101.0);
  EXPECT_EQ(batch.input()[0][1].item<double>(), 0.0);
}

TEST(TensorDatasetInPlace, tensors_gathered_in_inference_mode_can_be_trained_on_later) {
  Batch batch;
  const auto data = wide_rows();
  data.select_batch(std::vector<int64_t>{1}, batch);
  {
    const c10::InferenceMode inference;
    EXPECT_FALSE(batch.input().is_inference());
  }
}

TEST(TensorDatasetInPlace, a_batch_is_written_again_whichever_way_it_was_made_before) {
  const auto data = wide_rows();
  Batch batch;
  for (const int64_t row : {3, 4, 5, 6}) {
    const std::vector<int64_t> rows{row, row + 20};
    row % 2 == 0 ? data.get_batch(rows, batch) : data.select_batch(rows, batch);
    EXPECT_EQ(batch.input_rows().is_dense(), row % 2 == 0);
    EXPECT_EQ(batch.input()[1][0].item<int64_t>(), (row + 20) * 100);
  }
  EXPECT_EQ(data.tensors()[0].second[39][99].item<double>(), 3999.0) << "the data were written";
}

TEST(TensorDatasetInPlace, a_subset_of_a_subset_refers_to_the_rows_of_the_first_data_set) {
  const auto data = std::make_shared<TensorDataset>(wide_rows());
  const auto odd = std::make_shared<Subset>(data, std::vector<int64_t>{1, 3, 5});
  const Subset last(odd, {2, 0});
  Batch batch;
  last.select_batch(std::vector<int64_t>{1, 0}, batch);
  EXPECT_FALSE(batch.input_rows().is_dense());
  EXPECT_EQ(batch.input()[0][0].item<double>(), 100.0);
  EXPECT_EQ(batch.input()[1][0].item<double>(), 500.0);
  EXPECT_EQ(batch.row_ids(), (std::vector<int64_t>{1, 5}));
}

TEST(TensorDatasetScale, bytes_are_handed_out_as_floats) {
  TensorDataset data(torch::arange(200, torch::kByte).view({2, 100}), torch::arange(2));
  data.set_scale("input", {.scale = 0.5F, .zero_point = 2.0F});
  for (const bool in_place : {false, true}) {
    Batch batch;
    const std::vector<int64_t> rows{1, 0};
    in_place ? data.select_batch(rows, batch) : data.get_batch(rows, batch);
    EXPECT_EQ(batch.input().scalar_type(), torch::kFloat);
    EXPECT_EQ(batch.input()[0][0].item<float>(), 49.0F);
    EXPECT_EQ(batch.input()[1][4].item<float>(), 1.0F);
    EXPECT_EQ(batch.target().scalar_type(), torch::kLong);
  }
  EXPECT_EQ(message_of<DataError>([&] { data.set_scale("target", {}); }),
            "tensor 'target': its type is Long; it must be Byte (uint8) to have a scale");
  EXPECT_THROW(data.set_scale("inputs", {}), DataError);
}

}  // namespace levin::dataset_test
