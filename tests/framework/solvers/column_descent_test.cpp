// Coordinate descent over sparse columns: its minimum, and how few sweeps it takes to get there.

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/solvers/all.h>
#include <levin/framework/solvers/column_descent.h>
#include <levin/framework/solvers/kinked_line.h>
#include <levin/framework/solvers/linear_objective.h>
#include <levin/framework/tensor/random.h>

#include "framework/solvers/solver_cases.h"
#include "framework/support.h"

namespace levin::column_descent_test {
namespace {

using namespace levin::test;

/// Columns for ColumnDescent, the same as a matrix, and a model over them.
struct Model {
  explicit Model(torch::Tensor matrix) : x(std::move(matrix)) {
    const int64_t rows = x.size(0);
    curvature = (torch::rand({rows}, torch::kDouble) + 0.2).div_(rows);
    targets = x.mv(torch::randn({x.size(1)}, torch::kDouble)) - 0.8;
    const auto present = torch::rand({x.size(1)}).lt(0.5);
    start = torch::randn({x.size(1)}, torch::kDouble) * present;
    const auto wrong = curvature * (x.mv(start) - targets);  // the bias is 0
    slopes = x.t().mv(wrong);
    bias_slope = wrong.sum().item<double>();
  }

  EntryLists columns(bool with_values) const {
    std::vector<double> values;
    std::vector<int32_t> indices;
    std::vector<int64_t> offsets{0};
    const auto numbers = x.accessor<double, 2>();
    for (int64_t j = 0; j < x.size(1); ++j) {
      for (int64_t i = 0; i < x.size(0); ++i) {
        const double value = numbers[i][j];
        if (value == 0.0) continue;
        if (with_values) values.push_back(value);
        indices.push_back(static_cast<int32_t>(i));
      }
      offsets.push_back(std::ssize(indices));
    }
    return {std::move(values), std::move(indices), std::move(offsets), x.size(0)};
  }

  ColumnDescent descent(const EntryLists& lists, double l1, double l2) const {
    ColumnDescent it(lists, curvature.const_data_ptr<double>(), l1, l2);
    it.add_bias(bias_slope);
    for (int64_t j = 0; j < x.size(1); ++j) {
      it.add(j, start[j].item<double>(), slopes[j].item<double>());
    }
    return it;
  }

  /// The least subgradient of the model where the descent is, and whether all is consistent there.
  double violation(const ColumnDescent& it, double l1, double l2) const {
    auto now = torch::empty_like(start);
    for (int64_t j = 0; j < x.size(1); ++j) now[j] = it.value(static_cast<size_t>(j));
    const auto change = x.mv(now - start) + it.bias_change();
    for (int64_t i = 0; i < x.size(0); ++i) {
      EXPECT_NEAR(it.change(i), change[i].item<double>(), 1e-8);
    }
    const auto slope = slopes + x.t().mv(curvature * change) + 2.0 * l2 * now;
    const auto least =
        torch::where(now == 0.0, slope - slope.clamp(-l1, l1), slope + l1 * now.sign());
    const double of_bias = bias_slope + curvature.dot(change).item<double>();
    return std::max(least.abs().max().item<double>(), std::abs(of_bias));
  }

  torch::Tensor x, curvature, targets, start, slopes;
  double bias_slope = 0.0;
};

/// Rows with one value of each of several categories, of which the first are the most frequent, as
/// columns of ones.
torch::Tensor categories(int64_t rows, int64_t fields, int64_t values) {
  auto x = torch::zeros({rows, fields * values}, torch::kDouble);
  for (int64_t f = 0; f < fields; ++f) {
    const auto drawn = torch::rand({rows}).square().mul(values).to(torch::kLong) + f * values;
    x.scatter_(1, drawn.unsqueeze(1), 1.0);
  }
  return x;
}

constexpr ColumnDescent::Limits kToTheEnd{.tolerance = 1e-10,
                                          .share = 0.0,
                                          .enough = std::numeric_limits<double>::infinity(),
                                          .most_sweeps = 2000};

TEST(ColumnDescentTest, finds_the_minimum_where_the_least_subgradient_is_0) {
  torch::manual_seed(3);
  const auto present = torch::rand({200, 40}) < 0.2;
  const Model model((torch::randn({200, 40}, torch::kDouble) + 0.7) * present);
  const auto lists = model.columns(true);
  const std::vector<std::pair<double, double>> penalties{
      {0.0, 0.0}, {0.02, 0.0}, {0.02, 0.01}, {0.0, 0.01}};
  for (const auto& [l1, l2] : penalties) {
    auto it = model.descent(lists, l1, l2);
    it.minimise(kToTheEnd);
    EXPECT_LT(it.sweeps(), 200) << l1 << " " << l2;
    EXPECT_LT(model.violation(it, l1, l2), 2e-10) << l1 << " " << l2;
    int64_t zeros = 0;
    for (size_t j = 0; j < 40; ++j) zeros += it.value(j) == 0.0 ? 1 : 0;
    EXPECT_EQ(zeros > 0, l1 > 0.0) << "zeros are exact";
  }
}

// All values of a category add up to the column of the bias. One entry at a time, it would take
// thousands of sweeps to move them all against the bias.
TEST(ColumnDescentTest, takes_few_sweeps_over_categories_beside_a_bias) {
  torch::manual_seed(4);
  const Model model(categories(600, 12, 9));
  const auto lists = model.columns(false);
  for (const double l1 : {0.0, 0.0005}) {
    auto it = model.descent(lists, l1, 0.0);
    it.minimise(kToTheEnd);
    EXPECT_LT(it.sweeps(), 160) << l1;
    EXPECT_LT(model.violation(it, l1, 0.0), 2e-10) << l1;
  }
}

TEST(ColumnDescentTest, columns_without_values_are_columns_of_ones) {
  torch::manual_seed(5);
  const Model model(categories(90, 3, 5));
  const auto with = model.columns(true);
  const auto without = model.columns(false);
  EXPECT_TRUE(without.are_ones());
  EXPECT_FALSE(with.are_ones());
  auto a = model.descent(with, 0.001, 0.001);
  auto b = model.descent(without, 0.001, 0.001);
  a.minimise({.tolerance = 0.0, .share = 0.0, .enough = 1e9, .most_sweeps = 9});
  b.minimise({.tolerance = 0.0, .share = 0.0, .enough = 1e9, .most_sweeps = 9});
  for (size_t j = 0; j < 15; ++j) EXPECT_NEAR(a.value(j), b.value(j), 1e-13);
  EXPECT_EQ(a.sweeps(), 9);
}

TEST(ColumnDescentTest, leaves_constant_columns_to_the_bias) {
  torch::manual_seed(6);
  auto x = categories(90, 3, 5);
  x.select(1, 7).fill_(1.0);
  const Model model(x);
  const auto lists = model.columns(false);
  auto it = model.descent(lists, 0.001, 0.0);
  it.minimise(kToTheEnd);
  EXPECT_EQ(it.value(7), 0.0);
  EXPECT_LT(model.violation(it, 0.001, 0.0), 2e-10);
}

TEST(KinkedLineTest, the_step_is_where_the_function_is_least) {
  KeyedGenerator random(23);
  for (int round = 0; round < 300; ++round) {
    const double slope = 3.0 * random.uniform() - 4.0;
    const double curvature = round % 3 == 0 ? 0.0 : random.uniform();
    std::vector<Kink> kinks;
    for (int k = 0; k < 5; ++k) kinks.push_back({4.0 * random.uniform(), 1.2 * random.uniform()});
    if (curvature == 0.0) kinks.push_back({3.5, 4.0});  // or there would be no least value
    const auto value = [&](double t) {
      double sum = slope * t + 0.5 * curvature * t * t;
      for (const auto& kink : kinks) sum += kink.rise * std::max(0.0, t - kink.at);
      return sum;
    };
    const double step = least_on_line(slope, curvature, kinks);
    for (int k = 0; k <= 400; ++k) ASSERT_LE(value(step), value(0.01 * k) + 1e-12) << round;
  }
  EXPECT_EQ(least_on_line(1.0, 1.0, {{2.0, 1.0}}), 0.0) << "uphill";
}

/// What a fit over rows of categories took.
struct Fit {
  int64_t iterations = 0;
  int64_t passes = 0;
  torch::Tensor weight{}, bias{};
};

/// Trains by coordinate descent on rows of categories that are kept sparse. After `stop`
/// iterations, goes on from the state.
Fit fit(LinearLoss::Kind kind, int64_t stop, int64_t max_iter, double tol) {
  torch::manual_seed(7);
  const auto x = categories(3000, 30, 40).to(torch::kFloat);
  const int64_t outputs = kind == LinearLoss::Kind::logistic ? 1 : 3;
  const auto z = 0.5 * x.mm(torch::randn({x.size(1), outputs})) + torch::randn({3000, outputs});
  const auto y = outputs == 1 ? z.select(1, 0).gt(0.5).to(torch::kLong) : z.argmax(1);
  LinearLoss loss{.kind = kind,
                  .weight = torch::zeros({outputs, x.size(1)}, torch::kDouble),
                  .bias = torch::zeros({outputs}, torch::kDouble),
                  .l1_strength = 0.0005};
  const auto sparse = x.to_sparse_csr();
  // Without values, as data modules hand out rows whose entries are all 1.
  MemoryRows rows(Rows::sparse(sparse.crow_indices().to(torch::kLong),
                               sparse.col_indices().to(torch::kInt), {}, x.size(1)),
                  y, 700);
  const std::vector<torch::Tensor> parameters{loss.weight, loss.bias};
  const CoordinateDescentOptions options{.tol = tol, .max_iter = max_iter};
  auto solver = std::make_unique<CoordinateDescent>(parameters, options);
  auto objective = std::make_unique<LinearObjective>(rows, loss, parameters);
  while (!solver->is_done()) {
    solver->iterate(*objective);
    if (solver->iterations() != stop) continue;
    const auto state = solver->state_dict().clone();
    solver = std::make_unique<CoordinateDescent>(parameters, options);
    solver->load_state_dict(state);
    objective = std::make_unique<LinearObjective>(rows, loss, parameters);
  }
  EXPECT_EQ(solver->has_converged(), solver->iterations() < max_iter) << solver->outcome();
  return {solver->iterations(), rows.passes(), loss.weight, loss.bias};
}

TEST(ColumnDescentTest, coordinate_descent_takes_a_pass_over_the_rows_an_iteration) {
  for (const auto kind : {LinearLoss::Kind::logistic, LinearLoss::Kind::one_vs_rest}) {
    const auto found = fit(kind, 0, 100, 1e-9);
    EXPECT_LE(found.iterations, 14);
    EXPECT_LE(found.passes, found.iterations + 6) << "the first ones check and copy the rows";
    EXPECT_GT(found.weight.eq(0.0).sum().item<int64_t>(), 100);
  }
}

TEST(ColumnDescentTest, coordinate_descent_resumes_on_sparse_rows_with_the_same_bits) {
  const auto whole = fit(LinearLoss::Kind::logistic, 0, 5, 1e-13);
  for (const int64_t stop : {1, 3}) {
    const auto resumed = fit(LinearLoss::Kind::logistic, stop, 5, 1e-13);
    EXPECT_TRUE(same_bits(resumed.weight, whole.weight)) << stop;
    EXPECT_TRUE(same_bits(resumed.bias, whole.bias)) << stop;
  }
}

// Some batches say that all their entries are 1, and others have values.
TEST(ColumnDescentTest, rows_with_values_and_without_are_joined) {
  class TwoBatches final : public RowSource {
   public:
    void pass(c10::function_ref<void(const Batch& batch)> use) override {
      const auto offsets = torch::tensor({0, 1, 3}, torch::kLong);
      const auto indices = torch::tensor({1, 0, 2}, torch::kInt);
      for (const bool with_values : {false, true, false}) {
        Batch batch;
        batch.set(
            "input",
            Rows::sparse(offsets, indices,
                         with_values ? torch::tensor({2.0F, 3.0F, 4.0F}) : torch::Tensor(), 3));
        use(batch);
      }
    }
    void sum(torch::Tensor& /*values*/) override {}
  };
  TwoBatches rows;
  const auto lists = read_row_entries(rows, 3).transposed();
  std::vector<double> found;
  for (int64_t j = 0; j < 3; ++j) {
    for_each_entry(lists.at(j), [&](double value, int64_t i) {
      found.push_back(value);
      found.push_back(static_cast<double>(i));
    });
  }
  const std::vector<double> expected{1, 1, 3, 3, 1, 5, 1, 0, 2, 2, 1, 4, 1, 1, 4, 3, 1, 5};
  EXPECT_EQ(found, expected);
}

}  // namespace
}  // namespace levin::column_descent_test
