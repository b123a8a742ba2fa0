// Data modules read float64 if the Trainer's precision is 64-true, so that no digit is lost.
#include "datamodules/loader_support.h"
#include "datamodules/readers/support.h"
#include "framework/message_of.h"
#include "framework/support.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/datamodules/array.h>
#include <levin/datamodules/digits.h>
#include <levin/datamodules/stream.h>
#include <levin/datamodules/table.h>
#include <levin/models/linear_regression.h>

namespace levin::precision_data_test {

using test::read_all;
using test::says;
using test::TemporaryFolder;
using test::write_text;

constexpr double kValue = 0.12345678901234567;  // float32 has 8 of its digits

std::string csv() {
  std::string text = "a,y\n";
  for (int i = 0; i < 10; ++i) text += "0.12345678901234567,0.12345678901234567\n";
  return text;
}

template <class Data>
void expect_digits(Data& data, at::ScalarType type) {
  const auto batch = read_all(data.train_dataloader());
  EXPECT_EQ(batch.input().scalar_type(), type);
  EXPECT_EQ(batch.target().scalar_type(), type);
  const double expected = type == torch::kDouble ? kValue : double{static_cast<float>(kValue)};
  EXPECT_EQ(batch.input().flatten()[0].template item<double>(), expected);
  EXPECT_EQ(batch.target().flatten()[0].template item<double>(), expected);
}

/// Reads in float32, in float64 and in float32 again.
template <class Data>
void expect_types(Data& data) {
  data.setup(Stage::fit);
  expect_digits(data, torch::kFloat);
  for (const auto type : {torch::kDouble, torch::kFloat}) {
    data.set_floating_type(type);
    data.setup(Stage::fit);
    expect_digits(data, type);
  }
}

TEST(PrecisionData, of_files_are_read_in_the_type_of_the_run) {
  const TemporaryFolder folder;
  const auto path = (folder / "a.csv").string();
  write_text(folder / "a.csv", csv());
  ArrayDataModule array({.x = path, .target_type = "value"});
  expect_types(array);
  TableDataModule table({.x = path, .target = "y", .target_type = "value"});
  expect_types(table);
  TableDataModule streamed({.x = path,
                            .target = "y",
                            .target_type = "value",
                            .val_split = 0.0,
                            .test_split = 0.0,
                            .stream = true});
  expect_types(streamed);
}

TEST(PrecisionData, given_as_tensors_keep_their_digits_or_it_is_noted) {
  const auto x = torch::full({10, 1}, kValue, torch::kDouble);
  ArrayDataModule data(x, x.squeeze(1), {.target_type = "value"});
  data.set_floating_type(torch::kDouble);
  data.setup(Stage::fit);
  expect_digits(data, torch::kDouble);
  EXPECT_TRUE(data.take_notes().empty());
  ArrayDataModule rounded(x, x.squeeze(1), {.target_type = "value"});
  rounded.setup(Stage::fit);
  rounded.set_floating_type(torch::kDouble);
  const auto notes = rounded.take_notes();
  ASSERT_EQ(notes.size(), 1);
  EXPECT_TRUE(says(notes[0], {"64-true", "float32", "dtype = float64"}));
  ArrayDataModule floats(x.to(torch::kFloat), x.squeeze(1).to(torch::kFloat));
  floats.setup(Stage::fit);
  floats.set_floating_type(torch::kDouble);
  EXPECT_TRUE(floats.take_notes().empty());
}

TEST(PrecisionData, of_sparse_rows_stay_float32) {
  const auto x = torch::eye(12).to_sparse_csr();
  ArrayDataModule data(Rows(x), torch::arange(12) % 2, {.batch_size = 4});
  data.set_floating_type(torch::kDouble);
  data.setup(Stage::fit);
  EXPECT_EQ(data.train_dataloader()[0].dataset().size(), 10);
}

// The Trainer tells the data module before it reads.
TEST(PrecisionData, reach_a_step_with_all_digits_in_a_fit_of_64_true) {
  const TemporaryFolder folder;
  write_text(folder / "a.csv", csv());
  class Seen : public LinearRegression {
   public:
    Seen() : LinearRegression(LinearRegressionOptions{}) {}
    torch::Tensor training_step(const Batch& batch, Step& step) override {
      input = batch.input().flatten()[0].item<double>();
      return LinearRegression::training_step(batch, step);
    }
    double input = 0.0;
  };
  Seen module;
  TrainerOptions options;
  Fields fields = describe(options);
  from_value(fields,
             Value::from_json(R"({"precision": 64, "max_epochs": 1, "accelerator": "cpu"})"),
             "trainer");
  options.default_root_dir = folder.path().string();
  ArrayDataModule data({.x = (folder / "a.csv").string(), .target_type = "value"});
  Trainer(options).fit(module, data);
  EXPECT_EQ(module.input, kValue);
  EXPECT_EQ(module.parameters()[0].dtype(), torch::kDouble);
}

}  // namespace levin::precision_data_test
