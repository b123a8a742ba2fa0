#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/data/training_data.h>

#include <algorithm>
#include <optional>
#include <vector>

// Loaders that are read together by ranks that can't divide all parts evenly.

namespace levin::uneven_parts_test {

/// Rows whose input is `first` plus their number, [rows, 1].
std::shared_ptr<const Dataset> numbers(int64_t rows, int64_t first = 0) {
  const auto values = torch::arange(first, first + rows);
  return std::make_shared<TensorDataset>(values.to(torch::kFloat).view({rows, 1}), values % 2);
}

/// What a step of one rank, or of one process, has of a part.
struct PartOfStep {
  int64_t rows = 0;
  double sum = 0.0;  // of the inputs
};

PartOfStep part_of(const Batch& batch, const char* name) {
  if (!batch.has_part(name)) return {};
  const auto input = batch.part(name).input();
  return {input.size(0), input.sum().item<double>()};
}

// Each rank's loss counts by its rows of the first part. A mean over the rows of any part, weighted
// so, must be that over the rows of all ranks.
TEST(LoadersTogether, parts_that_do_not_divide_evenly_have_the_means_of_one_process) {
  const struct {
    int64_t rows_a, step_a, rows_b, step_b;
    LoaderMode mode = LoaderMode::max_size_cycle;
    std::optional<int64_t> limit{};
  } cases[] = {{4, 2, 5, 2}, {4, 2, 6, 3},  {5, 2, 6, 2},   {9, 4, 21, 7, LoaderMode::max_size},
               {5, 5, 5, 5}, {30, 6, 8, 3}, {20, 7, 20, 7}, {40, 8, 7, 7, LoaderMode::max_size, 9}};
  for (const auto& [rows_a, step_a, rows_b, step_b, mode, limit] : cases) {
    const auto loaders = DataLoaders::together(
        {{"a", DataLoader(numbers(rows_a), {.global_batch_size = step_a, .shuffle = true})},
         {"b", DataLoader(numbers(rows_b, 100), {.global_batch_size = step_b, .shuffle = true})}},
        mode);
    for (const int64_t ranks : {2, 3, 4}) {
      if (ranks > std::min(step_a, step_b)) continue;
      SCOPED_TRACE(::testing::Message() << rows_a << " by " << step_a << ", " << rows_b << " by "
                                        << step_b << " on " << ranks << " ranks");
      TrainingData one(loaders, {}, limit);
      std::vector<TrainingData> shares;
      for (int64_t rank = 0; rank < ranks; ++rank) {
        shares.emplace_back(loaders, RankShare{.rank = rank, .world_size = ranks}, limit);
      }
      one.seek(1, 1);
      for (auto& share : shares) share.seek(1, 1);
      for (Batch batch; one.next(batch);) {
        const bool has_a = batch.has_part("a");
        double mean_a = 0.0;
        double mean_b = 0.0;
        for (auto& share : shares) {
          Batch own;
          ASSERT_TRUE(share.next(own));
          ASSERT_EQ(share.global_rows(), batch.rows());
          if (own.rows() == 0) continue;
          const double weight = static_cast<double>(own.rows()) / static_cast<double>(batch.rows());
          const auto a = part_of(own, "a");
          const auto b = part_of(own, "b");
          if (has_a) mean_a += weight * a.sum / static_cast<double>(a.rows);
          if (batch.has_part("b")) mean_b += weight * b.sum / static_cast<double>(b.rows);
        }
        const auto a = part_of(batch, "a");
        const auto b = part_of(batch, "b");
        if (has_a) {
          EXPECT_NEAR(mean_a, a.sum / static_cast<double>(a.rows), 1e-9);
        }
        if (b.rows > 0) {
          EXPECT_NEAR(mean_b, b.sum / static_cast<double>(b.rows), 1e-9);
        }
      }
      for (auto& share : shares) EXPECT_TRUE(share.at_end());
    }
  }
}

}  // namespace levin::uneven_parts_test
