#include <levin/framework/solvers/column_ranks.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/solvers/linear_objective.h>
#include <levin/framework/solvers/row_losses.h>
#include <levin/framework/threads/shared_work.h>

#include "framework/solvers/solver_cases.h"

namespace levin::column_ranks_test {
namespace {

using test::MemoryRows;

constexpr int64_t kColumns = 70'000;
constexpr int64_t kRows = 15'000;
constexpr int64_t kEntries = 5;  // of each row, one in each fifth of the columns

/// Rows whose columns occur the more often the lower they are within their fifth, apart from the
/// first column of all, which is rare.
Rows skewed_rows(bool has_values) {
  torch::manual_seed(3);
  constexpr int64_t kWidth = kColumns / kEntries;
  const auto within = torch::rand({kRows, kEntries}).pow(3).mul(kWidth - 1).to(torch::kLong) + 1;
  const auto indices = (within + kWidth * torch::arange(kEntries)).clamp_max(kColumns - 1);
  const auto values = has_values ? torch::randn({kRows * kEntries}) : torch::Tensor();
  return Rows::sparse(kEntries * torch::arange(kRows + 1), indices.flatten().to(torch::kInt),
                      values, kColumns);
}

/// The same rows as a source that mustn't be copied.
class FixedRows final : public MemoryRows {
 public:
  using MemoryRows::MemoryRows;
  std::string reason_against_copies() const override { return "rows of a test"; }
};

/// All that an objective computes.
std::vector<torch::Tensor> computed(RowSource& rows, const LinearLoss& loss, bool bias_first) {
  std::vector<torch::Tensor> parameters{loss.weight, loss.bias};
  if (bias_first) std::swap(parameters[0], parameters[1]);
  LinearObjective objective(rows, loss, parameters);
  std::vector<torch::Tensor> results;
  const auto point = torch::sin(torch::arange(objective.size(), torch::kDouble));
  for (int time = 0; time < 2; ++time) {  // the second time, nothing must be left of the first
    auto gradient = torch::empty_like(point);
    results.push_back(torch::tensor(objective.evaluate(point, gradient), torch::kDouble));
    results.push_back(gradient);
    results.push_back(objective.hessian_product(gradient));
    results.push_back(objective.curvature_diagonal());
  }
  return results;
}

void expect_same(const std::vector<torch::Tensor>& results,
                 const std::vector<torch::Tensor>& expected) {
  ASSERT_EQ(results.size(), expected.size());
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_GT(expected[i].abs().max().item<double>(), 0.0) << "result " << i;
    EXPECT_TRUE(torch::equal(results[i], expected[i])) << "result " << i;
  }
}

TEST(ColumnRanksTest, leave_the_bits_of_objectives_as_they_are) {
  for (const int64_t outputs : {1, 3}) {
    const Rows x = skewed_rows(/*has_values=*/outputs > 1);
    ASSERT_TRUE(ColumnRanks::pay(x, x.num_entries()));
    const auto y = torch::randint(0, outputs == 1 ? 2 : 3, {kRows}, torch::kLong);
    const LinearLoss loss{
        .kind = outputs == 1 ? LinearLoss::Kind::logistic : LinearLoss::Kind::softmax,
        .weight = torch::zeros({outputs, kColumns}),
        .bias = torch::zeros({outputs}),
        .l2_strength = 1e-4};
    FixedRows fixed(x, y, 10'000);
    MemoryRows ranked(x, y, 10'000);
    const auto expected = computed(fixed, loss, outputs > 1);
    expect_same(computed(ranked, loss, outputs > 1), expected);
    EXPECT_EQ(ranked.passes(), fixed.passes() + 2) << "rows are to be counted, and copied";
    const HelperThreads helpers(1);
    expect_same(computed(ranked, loss, outputs > 1), expected);
  }
}

TEST(ColumnRanksTest, are_found_for_chosen_rows) {
  const Rows x = skewed_rows(/*has_values=*/true);
  std::vector<int64_t> numbers(static_cast<size_t>(kRows));
  std::iota(numbers.rbegin(), numbers.rend(), 0);
  Rows chosen;
  x.select(numbers, chosen);
  const auto y = torch::randint(0, 2, {kRows}, torch::kLong);
  const LinearLoss loss{.kind = LinearLoss::Kind::logistic,
                        .weight = torch::zeros({1, kColumns}),
                        .bias = torch::zeros({1})};
  FixedRows fixed(chosen, y);
  MemoryRows ranked(chosen, y);
  expect_same(computed(ranked, loss, false), computed(fixed, loss, false));
}

TEST(ColumnRanksTest, begin_with_the_columns_that_occur_most_often) {
  const Rows x = skewed_rows(/*has_values=*/true);
  ColumnRanks ranks(kColumns);
  ranks.count(x);
  ranks.rank();
  auto columns = torch::empty({kColumns}, torch::kInt);
  std::copy_n(ranks.columns(), kColumns, columns.mutable_data_ptr<int32_t>());
  EXPECT_TRUE(torch::equal(std::get<0>(columns.sort()), torch::arange(kColumns, torch::kInt)))
      << "each column has one rank";

  const Rows renumbered = ranks.renumbered(x);
  EXPECT_TRUE(torch::equal(columns.index_select(0, renumbered.indices()), x.indices()));
  EXPECT_TRUE(renumbered.values().is_same(x.values()));
  EXPECT_TRUE(renumbered.source().is_same(x.source()));
  const auto of_ranks = torch::bincount(renumbered.indices(), {}, kColumns);
  const auto largest = std::get<0>(torch::bincount(x.indices(), {}, kColumns).topk(1000));
  const auto share =
      of_ranks.narrow(0, 0, 1000).sum().item<double>() / largest.sum().item<double>();
  EXPECT_GT(share, 0.8) << "by some of the rows, nearly the most frequent ones are found";

  const auto weight = torch::randn({2, kColumns}, torch::kDouble);
  EXPECT_TRUE(torch::equal(ranks.sorted(weight), weight.index_select(1, columns)));
}

TEST(ColumnRanksTest, pay_for_many_columns_of_sparse_rows_alone) {
  const Rows x = skewed_rows(/*has_values=*/false);
  EXPECT_TRUE(ColumnRanks::pay(x, kColumns));
  EXPECT_FALSE(ColumnRanks::pay(x, kColumns - 1)) << "columns that hardly occur";
  EXPECT_FALSE(ColumnRanks::pay(x, int64_t{1} << 29)) << "too large a copy";
  EXPECT_FALSE(ColumnRanks::pay(Rows(torch::zeros({2, kColumns})), 2 * kColumns)) << "dense rows";
  EXPECT_FALSE(ColumnRanks::pay(Rows(), 0)) << "no rows";
}

// Where 1 - probability would lose all digits, and where the exponential is infinite or 0.
TEST(LogisticLossTest, is_exact_for_outputs_of_any_size) {
  for (const int64_t count : {3, 300}) {  // one by one, or by vectors
    std::vector<double> z, y, s, gradient(static_cast<size_t>(count)), p(gradient);
    const double outputs[] = {0.0, 1e-9, -0.5, 3.0, -40.0, 40.0, -750.0, 750.0};
    for (int64_t i = 0; i < count; ++i) {
      z.push_back(outputs[i % 8]);
      y.push_back(i % 3 == 0 ? 0.0 : 1.0);
      s.push_back(1.0 + static_cast<double>(i % 2));
    }
    const double loss = row_losses(
        LinearLoss::Kind::logistic,
        {.outputs = z.data(), .rows = count, .count = 1, .targets = y.data(), .weights = s.data()},
        gradient.data(), p.data());
    double expected = 0.0;
    for (size_t i = 0; i < z.size(); ++i) {
      const double sign = y[i] == 1.0 ? -1.0 : 1.0;
      const double of_row = s[i] * sign / (1.0 + std::exp(-sign * z[i]));
      EXPECT_NEAR(gradient[i], of_row, 1e-14 * std::abs(of_row) + 3e-16) << z[i] << ", " << y[i];
      EXPECT_NEAR(p[i], 1.0 / (1.0 + std::exp(-z[i])), 1e-15) << z[i];
      const double m = sign * z[i];
      expected += s[i] * (std::max(m, 0.0) + std::log1p(std::exp(-std::abs(m))));
    }
    EXPECT_NEAR(loss, expected, 1e-14 * expected);
  }
}

}  // namespace
}  // namespace levin::column_ranks_test
