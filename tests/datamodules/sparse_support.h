#pragma once

#include <torch/torch.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "datamodules/readers/support.h"

#include <levin/datamodules/readers/sparse_libsvm.h>
#include <levin/datamodules/readers/sparse_lvb.h>
#include <levin/framework/data/dataloader.h>
#include <levin/framework/data/sparse_rows.h>

namespace levin::test {

/// Lines of libsvm text: rows of up to 5 of 20 features, numbered from 1, whose labels, `low` and
/// 1, depend on feature 3.
inline std::string libsvm_lines(int64_t rows, int64_t seed = 0, const std::string& low = "0") {
  std::string text;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t key = (row + 1) * (seed + 7) + seed;
    const bool has_three = key % 2 == 0;
    text += has_three ? "1" : low;
    if (key % 3 != 0) text += " 1:0.5";
    if (has_three) text += " 3:" + std::to_string(1 + key % 4);
    if (key % 5 != 0) text += " " + std::to_string(4 + key % 10) + ":-1.25";
    text += " " + std::to_string(15 + key % 6) + ":1\n";
  }
  return text;
}

/// Writes the rows of libsvm text as shards of `per_shard` rows.
inline void write_shards(const std::filesystem::path& folder, const std::filesystem::path& text,
                         int64_t per_shard, int64_t columns) {
  std::filesystem::create_directories(folder);
  const auto rows =
      readers::read_sparse_libsvm({text}, {.num_features = columns, .zero_based = false});
  for (int64_t first = 0; first < rows.rows(); first += per_shard) {
    const int64_t count = std::min(per_shard, rows.rows() - first);
    readers::write_sparse_lvb(folder / ("shard-" + std::to_string(100000 + first) + ".lvb"),
                              rows.slice(first, count));
  }
}

/// All rows of an epoch; inputs are made dense.
struct SparseEpoch {
  torch::Tensor input;
  torch::Tensor target;
  torch::Tensor weight;
  std::vector<int64_t> ids;
};

inline SparseEpoch read_epoch(const DataLoaders& loaders, int64_t epoch = 0) {
  EXPECT_EQ(loaders.size(), 1U);
  std::vector<torch::Tensor> inputs;
  std::vector<torch::Tensor> targets;
  std::vector<torch::Tensor> weights;
  SparseEpoch all;
  auto reader = loaders.front().open(epoch);
  for (Batch batch; reader.next(batch);) {
    EXPECT_TRUE(batch.input_rows().is_sparse());
    require_valid_entries(batch.input_rows(), "a batch");
    inputs.push_back(to_dense(batch.input_rows()).clone());
    if (batch.has("target")) targets.push_back(batch.target().clone());
    if (batch.has("weight")) weights.push_back(batch.weight().clone());
    all.ids.insert(all.ids.end(), batch.row_ids().begin(), batch.row_ids().end());
  }
  all.input = torch::cat(inputs);
  if (!targets.empty()) all.target = torch::cat(targets);
  if (!weights.empty()) all.weight = torch::cat(weights);
  return all;
}

inline void expect_same(const SparseEpoch& a, const SparseEpoch& b) {
  EXPECT_TRUE(torch::equal(a.input, b.input));
  EXPECT_EQ(a.target.scalar_type(), b.target.scalar_type());
  EXPECT_TRUE(torch::equal(a.target, b.target));
}

}  // namespace levin::test
