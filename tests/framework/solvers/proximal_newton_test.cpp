// Matrices of some second derivatives, and the iterations of lbfgs that end a fit by them.

#include <cmath>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/solvers/coordinate_descent.h>
#include <levin/framework/solvers/linear_objective.h>
#include <levin/framework/solvers/proximal_newton.h>
#include <levin/framework/solvers/quadratic_descent.h>
#include <levin/framework/solvers/quasi_newton.h>

#include "framework/solvers/solver_cases.h"
#include "framework/support.h"

namespace levin::proximal_newton_test {
namespace {

using test::MemoryRows;

/// Rows whose features depend on each other so much that OWL-QN takes hundreds of iterations.
struct Hard {
  torch::Tensor x;
  torch::Tensor y;
  LinearLoss loss;
};
Hard hard() {
  torch::manual_seed(4);
  constexpr int64_t kRows = 200;
  constexpr int64_t kFeatures = 20;
  const auto scales = torch::logspace(0.0, -3.0, kFeatures, 10.0, torch::kDouble);
  const auto mixed = torch::randn({kRows, kFeatures}, torch::kDouble) * scales;
  const auto x = mixed.mm(torch::randn({kFeatures, kFeatures}, torch::kDouble));
  const auto noise = torch::randn({kRows, 3}, torch::kDouble);
  const auto y = (x.mm(torch::randn({kFeatures, 3}, torch::kDouble)) + noise).argmax(1);
  return {x,
          y,
          {.weight = torch::zeros({3, kFeatures}, torch::kDouble),
           .bias = torch::zeros({3}, torch::kDouble),
           .l1_strength = 1e-4}};
}

QuasiNewton lbfgs_of(const LinearLoss& loss) {
  return QuasiNewton({loss.weight, loss.bias}, {.tol = 1e-12, .max_iter = 2000});
}

TEST(LinearObjectiveTest, gives_the_second_derivatives_of_some_entries) {
  torch::manual_seed(1);
  const auto x = torch::randn({50, 6}, torch::kDouble);
  const auto classes = torch::randint(3, {50}, torch::kLong);
  for (const auto kind : {LinearLoss::Kind::softmax, LinearLoss::Kind::one_vs_rest}) {
    for (const bool bias_is_first : {false, true}) {
      const LinearLoss loss{.kind = kind,
                            .weight = torch::zeros({3, 6}, torch::kDouble),
                            .bias = torch::zeros({3}, torch::kDouble),
                            .l2_strength = 0.3};
      std::vector<torch::Tensor> parameters{loss.weight, loss.bias};
      if (bias_is_first) std::swap(parameters[0], parameters[1]);
      MemoryRows rows(x, classes, 20);
      LinearObjective objective(rows, loss, parameters);
      auto gradient = torch::empty({21}, torch::kDouble);
      objective.evaluate(torch::randn({21}, torch::kDouble), gradient);
      const auto whole = objective.hessian();
      // In any order, also with none of an output's entries, and with all.
      for (const auto& entries : {torch::tensor({20, 3, 0, 17, 8, 9}), torch::tensor({2}),
                                  torch::arange(20, -1, -1), torch::arange(21)}) {
        const auto some = objective.hessian_of(entries);
        EXPECT_TRUE(torch::allclose(some, whole.index_select(0, entries).index_select(1, entries),
                                    1e-12, 1e-14))
            << entries;
        const auto by_products = objective.Objective::hessian_of(entries);
        EXPECT_TRUE(torch::allclose(some, by_products, 1e-10, 1e-12)) << entries;
      }
    }
  }
}

// Four outputs of a softmax: as long as two weights of a feature are above 0 and two below, a
// number may be added to all of them. Of these minima, every solver ends at the one of least
// squares.
TEST(LinearObjectiveTest, solvers_find_the_same_of_several_minima_with_an_l1_penalty) {
  torch::manual_seed(12);
  const auto x = torch::randn({300, 8}, torch::kDouble);
  const auto y = (x.mm(2.0 * torch::randn({8, 4}, torch::kDouble))).argmax(1);
  std::vector<torch::Tensor> found;
  for (const int start : {0, 1, 2}) {
    const LinearLoss loss{.weight = torch::randn({4, 8}, torch::kDouble) * start,
                          .bias = torch::zeros({4}, torch::kDouble),
                          .l1_strength = 1e-3};
    MemoryRows rows(x, y);
    std::unique_ptr<Solver> solver;
    if (start < 2) {
      solver = std::make_unique<QuasiNewton>(lbfgs_of(loss));
    } else {
      solver =
          std::make_unique<CoordinateDescent>(std::vector<torch::Tensor>{loss.weight, loss.bias},
                                              CoordinateDescentOptions{.tol = 1e-12});
    }
    LinearObjective objective(rows, loss, solver->stepped());
    while (!solver->is_done()) solver->iterate(objective);
    EXPECT_TRUE(solver->has_converged()) << solver->outcome() << solver->gradient_norm();
    found.push_back(loss.weight);
  }
  const auto above = found[0].gt(0.0).sum(0);
  const auto below = found[0].lt(0.0).sum(0);
  EXPECT_GT(above.eq(2).logical_and(below.eq(2)).sum().item<int64_t>(), 0);
  for (const size_t other : {1U, 2U}) {
    EXPECT_LE((found[other] - found[0]).abs().max().item<double>(), 1e-8) << other;
    EXPECT_TRUE(torch::equal(found[other] == 0.0, found[0] == 0.0)) << other;
  }
}

/// An objective whose matrix of second derivatives isn't to be had.
class WithoutMatrix final : public Objective {
 public:
  explicit WithoutMatrix(Objective& objective) : objective_(objective) {}
  int64_t size() const override { return objective_.size(); }
  torch::Tensor l1() const override { return objective_.l1(); }
  double evaluate(const torch::Tensor& point, const torch::Tensor& gradient) override {
    return objective_.evaluate(point, gradient);
  }
  torch::Tensor hessian_product(const torch::Tensor& vector) override {
    return objective_.hessian_product(vector);
  }
  const Centring* centring() override { return objective_.centring(); }

 private:
  Objective& objective_;
};

TEST(ProximalNewton, ends_a_fit_that_owl_qn_would_take_far_longer_for) {
  double objectives[2] = {};
  int64_t iterations[2] = {};
  for (const size_t has_matrix : {0U, 1U}) {
    const auto it = hard();
    MemoryRows rows(it.x, it.y);
    auto solver = lbfgs_of(it.loss);
    LinearObjective objective(rows, it.loss, solver.stepped());
    WithoutMatrix without(objective);
    Objective& used = has_matrix == 1 ? static_cast<Objective&>(objective) : without;
    while (!solver.is_done()) solver.iterate(used);
    EXPECT_TRUE(has_matrix == 0 || solver.has_converged()) << solver.outcome();
    objectives[has_matrix] = solver.objective();
    iterations[has_matrix] = solver.iterations();
  }
  EXPECT_LT(4 * iterations[1], iterations[0]) << iterations[1];
  EXPECT_LE(objectives[1], objectives[0]);
}

// Far from the optimum, the model's minimum can be so far away that the objective falls only in a
// small part of the step.
TEST(ProximalNewton, comes_to_the_optimum_from_0_with_a_weak_penalty) {
  const at::NoGradGuard no_grad;
  const auto it = test::solver_cases().at(6);
  ASSERT_EQ(it.name, "digits, C 0.1, l1_ratio 1.0");
  auto loss = it.loss;
  loss.l1_strength *= 0.01;
  MemoryRows rows(it.x, it.y);
  LinearObjective objective(rows, loss, {loss.weight, loss.bias});
  auto point = torch::zeros({objective.size()}, torch::kDouble);
  auto gradient = torch::empty_like(point);
  double value = objective.evaluate(point, gradient);
  const auto violation = [&] {
    return objective.largest(least_subgradient(point, gradient, objective.l1()));
  };
  int iterations = 0;
  for (; iterations < 30 && violation() > 1e-10; ++iterations) {
    const double before = value;
    const int64_t most = 32 + point.ne(0.0).sum().item<int64_t>();
    ASSERT_TRUE(ProximalNewton(objective, {point, gradient, value}, most).improve(1e-10));
    EXPECT_LE(value, before + 1e-12);
  }
  EXPECT_LE(violation(), 1e-10) << iterations;
}

// Beyond 2^26 rows times weights of a softmax, sweeps over the rows would take minutes.
TEST(ProximalNewton, serves_coordinate_descent_over_many_rows_of_a_softmax) {
  torch::manual_seed(9);
  constexpr int64_t kRows = 1 << 18;
  constexpr int64_t kFeatures = 65;
  const auto x = torch::randn({kRows, kFeatures});
  const auto y = torch::argmax(x.mm(torch::randn({kFeatures, 4})) + torch::randn({kRows, 4}), 1);
  const LinearLoss loss{.weight = torch::zeros({4, kFeatures}, torch::kDouble),
                        .bias = torch::zeros({4}, torch::kDouble),
                        .l1_strength = 0.03};
  MemoryRows rows(x, y);
  CoordinateDescent solver({loss.weight, loss.bias}, {.tol = 1e-8});
  LinearObjective objective(rows, loss, solver.stepped());
  while (!solver.is_done()) solver.iterate(objective);
  EXPECT_TRUE(solver.has_converged()) << solver.outcome();
  EXPECT_LT(solver.iterations(), 10);
}

TEST(ProximalNewton, goes_on_from_a_saved_state_with_the_same_bits) {
  const auto run = [](int64_t stop, int64_t& iterations) {
    const auto it = hard();
    MemoryRows rows(it.x, it.y);
    auto solver = std::make_unique<QuasiNewton>(lbfgs_of(it.loss));
    auto objective = std::make_unique<LinearObjective>(rows, it.loss, solver->stepped());
    while (!solver->is_done()) {
      solver->iterate(*objective);
      if (solver->iterations() != stop) continue;
      const auto state = solver->state_dict().clone();
      solver = std::make_unique<QuasiNewton>(lbfgs_of(it.loss));
      solver->load_state_dict(state);
      objective = std::make_unique<LinearObjective>(rows, it.loss, solver->stepped());
    }
    iterations = solver->iterations();
    return it.loss.weight;
  };
  int64_t all = 0;
  const auto whole = run(0, all);
  for (const int64_t stop : {all / 2, all - 3, all - 2, all - 1}) {
    int64_t iterations = 0;
    EXPECT_TRUE(test::same_bits(run(stop, iterations), whole)) << stop;
    EXPECT_EQ(iterations, all) << stop;
  }
}

TEST(ProximalNewton, costs_nothing_to_ask_where_it_can_not_be) {
  const auto it = hard();
  MemoryRows rows(it.x, it.y);
  LinearObjective objective(rows, it.loss, {it.loss.weight, it.loss.bias});
  auto point = torch::zeros({63}, torch::kDouble);
  auto gradient = torch::empty({63}, torch::kDouble);
  double value = objective.evaluate(point, gradient);
  EXPECT_TRUE(std::isfinite(ProximalNewton(objective, {point, gradient, value}).cost()));
  EXPECT_TRUE(std::isinf(objective.hessian_cost(10'001)));  // 800 MB
  EXPECT_EQ(rows.passes(), 2);                              // the first one counts the rows
}

// Of so many variables, sweeps alone would be far from the minimum.
TEST(QuadraticDescent, solves_for_many_variables_at_once) {
  torch::manual_seed(7);
  constexpr int64_t kCount = 700;
  const auto common = torch::randn({1000, 1}, torch::kDouble);
  const auto x = common + 0.1 * torch::randn({1000, kCount}, torch::kDouble);
  const auto matrix = x.t().mm(x) / 1000.0;
  const auto c = x.t().mv(torch::randn({1000}, torch::kDouble)) / 1000.0;
  auto w = torch::zeros({kCount}, torch::kDouble);
  auto slope = c.neg();
  const auto l1 = torch::full({kCount}, 1e-4, torch::kDouble);
  EXPECT_LE(minimise_quadratic(matrix, l1, w, slope, 1e-11, 60), 1e-11);
  EXPECT_GT(w.ne(0.0).sum().item<int64_t>(), 512);
  EXPECT_LE((slope - (matrix.mv(w) - c)).abs().max().item<double>(), 1e-10);
  const auto violation =
      torch::where(w == 0.0, slope.abs().clamp_min(1e-4) - 1e-4, (slope + 1e-4 * w.sign()).abs());
  EXPECT_LE(violation.max().item<double>(), 1e-10);
}

}  // namespace
}  // namespace levin::proximal_newton_test
