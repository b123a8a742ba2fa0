#pragma once

#include <torch/torch.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "datamodules/readers/support.h"

#include <levin/datamodules/readers/lvb.h>
#include <levin/datamodules/readers/npy.h>
#include <levin/datamodules/sharded_dataset.h>

namespace levin::test {

/// Rows to be written in several formats: features with three digits after the point, labels 0
/// to 2.
struct Rows {
  torch::Tensor input;   // [rows, features] float32
  torch::Tensor target;  // [rows] int64
};

inline Rows make_rows(int64_t rows, int64_t features, uint64_t seed = 1) {
  auto generator = at::detail::createCPUGenerator(seed);
  auto target = torch::randint(3, {rows}, generator, torch::kLong);
  auto noise = torch::randint(-2000, 2000, {rows, features}, generator, torch::kInt);
  // Divided as doubles and rounded once, as a reader of text does.
  return {(noise.to(torch::kDouble) / 1000.0).to(torch::kFloat), target};
}

inline Rows part_of(const Rows& rows, int64_t first, int64_t count) {
  return {rows.input.narrow(0, first, count), rows.target.narrow(0, first, count)};
}

inline void write_csv(const std::filesystem::path& path, const Rows& rows, bool header = false,
                      const std::string& line_end = "\n", char delimiter = ',') {
  std::ofstream file(path, std::ios::binary);
  const int64_t width = rows.input.size(1);
  for (int64_t i = 0; header && i < width; ++i) file << 'f' << i << delimiter;
  if (header) file << "label" << line_end;
  for (int64_t r = 0; r < rows.input.size(0); ++r) {
    for (int64_t i = 0; i < width; ++i) {
      char number[32];
      std::snprintf(number, sizeof(number), "%.3f", rows.input[r][i].item<double>());
      file << number << delimiter;
    }
    file << rows.target[r].item<int64_t>() << line_end;
  }
}

inline void write_libsvm(const std::filesystem::path& path, const Rows& rows, int64_t base = 1) {
  std::ofstream file(path);
  file << "# a comment\n";
  for (int64_t r = 0; r < rows.input.size(0); ++r) {
    file << rows.target[r].item<int64_t>();
    for (int64_t i = 0; i < rows.input.size(1); ++i) {
      char number[32];
      std::snprintf(number, sizeof(number), "%.3f", rows.input[r][i].item<double>());
      if (std::string(number) != "0.000") file << ' ' << i + base << ':' << number;
    }
    file << '\n';
  }
}

template <class T>
void write_npy_of(const std::filesystem::path& path, const torch::Tensor& tensor) {
  const auto whole = tensor.contiguous();
  readers::write_npy(
      path, readers::Array::of<T>(tensor.sizes().vec(),
                                  {whole.const_data_ptr<T>(), static_cast<size_t>(whole.numel())}));
}

/// A .lvb file of rows, as anybody could write one.
inline void write_lvb(const std::filesystem::path& path, const Rows& rows) {
  using readers::DType;
  const int64_t width = rows.input.size(1);
  const auto header = readers::lvb_layout(
      {{"input", DType::float32, {width}}, {"target", DType::int64, {}}}, rows.input.size(0));
  std::string text = readers::lvb_header(header);
  const auto input = rows.input.contiguous();
  const auto target = rows.target.contiguous();
  const size_t bytes = static_cast<size_t>(width) * sizeof(float);
  for (int64_t r = 0; r < input.size(0); ++r) {
    std::string record(header.stride, '\0');
    std::memcpy(record.data(), input.const_data_ptr<float>() + r * width, bytes);
    std::memcpy(record.data() + header.offsets[1], target.const_data_ptr<int64_t>() + r, 8);
    text += record;
  }
  write_text(path, text);
}

/// All rows of a data set, by its own order of reading ahead where `ahead`, else one by one.
inline Rows read_all(const ShardedDataset& dataset, bool ahead) {
  std::vector<int64_t> rows(static_cast<size_t>(*dataset.size()));
  const auto sampler = dataset.sampler({.shuffle = false})->clone();
  if (ahead) sampler->set_epoch(0);
  if (ahead) sampler->rows(0, rows);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
  Batch batch;
  dataset.get_batch(rows, batch);
  return {batch.input(), batch.has("target") ? batch.target() : torch::Tensor()};
}

inline void expect_rows(const Rows& found, const Rows& expected) {
  EXPECT_EQ(found.input.sizes(), expected.input.sizes());
  EXPECT_EQ(found.input.scalar_type(), expected.input.scalar_type());
  EXPECT_TRUE(torch::equal(found.input, expected.input));
  EXPECT_EQ(found.target.scalar_type(), expected.target.scalar_type());
  EXPECT_TRUE(torch::equal(found.target, expected.target));
}

inline std::shared_ptr<ShardedDataset> open_files(const std::vector<std::filesystem::path>& files,
                                                  const readers::ShardOptions& options = {},
                                                  ShardedDatasetOptions dataset_options = {},
                                                  std::vector<std::filesystem::path> targets = {}) {
  dataset_options.target_type = options.target_type;
  return std::make_shared<ShardedDataset>(readers::open_shards(files, targets, options),
                                          dataset_options);
}

}  // namespace levin::test
