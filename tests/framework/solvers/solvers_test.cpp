// Solvers against scikit-learn's optima, and what they promise about their state.

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/all.h>
#include <levin/framework/solvers/linear_objective.h>
#include <levin/framework/threads/shared_work.h>

#include "framework/message_of.h"
#include "framework/solvers/solver_cases.h"
#include "framework/support.h"

namespace levin::solvers_test {
namespace {

using namespace levin::test;

std::unique_ptr<Solver> make_solver(const std::string& name, const LinearLoss& loss,
                                    double tol = 1e-12, int64_t max_iter = 5000,
                                    bool hand_over = true) {
  Value::Object options{{"tol", tol}, {"max_iter", max_iter}};
  if (!hand_over) options["hand_over"] = false;
  auto optimizer =
      shipped_optimizers().make(name, options, std::vector<torch::Tensor>{loss.weight, loss.bias});
  auto* solver = dynamic_cast<Solver*>(optimizer.get());
  EXPECT_NE(solver, nullptr) << name;
  (void)optimizer.release();
  return std::unique_ptr<Solver>(solver);
}

void expect_optimum(const SolverCase& expected, const Solver& solver) {
  const std::string what = expected.name + ", " + solver.name() + ": " + solver.outcome() +
                           " after " + std::to_string(solver.iterations()) + ", gradient " +
                           std::to_string(solver.gradient_norm());
  EXPECT_LE(std::abs(solver.objective() - expected.objective), 1e-6 * expected.objective) << what;
  EXPECT_LE(solver.objective(), expected.objective * (1.0 + 1e-9)) << what;
  const auto& weight = expected.loss.weight;
  EXPECT_LE((weight - expected.coefficients).abs().max().item<double>(), 1e-4) << what;
  const auto bias = expected.loss.bias;
  const auto centre = [&](const torch::Tensor& b) { return b.numel() > 1 ? b - b.mean() : b; };
  EXPECT_LE((centre(bias) - centre(expected.intercepts)).abs().max().item<double>(), 1e-4) << what;
  if (expected.loss.l1_strength > 0.0) {
    EXPECT_TRUE(torch::equal(weight == 0.0, expected.coefficients == 0.0)) << what;
  }
}

bool steps_by_rows(const std::string& solver) {
  return solver == "saga" || solver == "sag" || solver == "dual-coordinate-descent";
}

/// Whether the solver of that name is for the case's loss and penalty.
bool takes(const std::string& solver, const SolverCase& it) {
  const bool has_l1 = it.loss.l1_strength > 0.0;
  if (has_l1) return solver == "lbfgs" || solver == "coordinate-descent" || solver == "saga";
  if (solver != "dual-coordinate-descent") return true;
  return it.outputs() == 1 && it.loss.l2_strength > 0.0;
}

/// How many of the cases a solver takes.
int cases_of(const std::string& solver) {
  if (solver == "lbfgs" || solver == "coordinate-descent" || solver == "saga") return 20;
  return solver == "dual-coordinate-descent" ? 3 : 12;
}

void minimise(Solver& solver, const SolverCase& it) {
  MemoryRows rows(it.x, it.y, 100);
  LinearObjective objective(rows, it.loss, solver.stepped());
  while (!solver.is_done()) solver.iterate(objective);
}

class Solvers : public testing::TestWithParam<std::string> {};

TEST_P(Solvers, find_the_optima_of_scikit_learn) {
  int count = 0;
  for (const auto& expected : solver_cases()) {
    if (!takes(GetParam(), expected)) continue;
    const bool is_long = steps_by_rows(GetParam()) && expected.name.find("digits") == 0;
    const auto solver = make_solver(GetParam(), expected.loss, is_long ? 1e-8 : 1e-11);
    minimise(*solver, expected);
    expect_optimum(expected, *solver);
    ++count;
  }
  EXPECT_EQ(count, cases_of(GetParam()));
}

/// Whether steps by single rows alone end within a few hundred iterations. They have to be short
/// enough for the largest row, and are too short for other features if these aren't scaled; both
/// they and the dual variables need as many more iterations as the penalty and the rows determine
/// the weights badly.
bool is_well_determined(const std::string& solver, const SolverCase& it) {
  const auto is_of = [&](const char* data) { return it.name.rfind(data, 0) == 0; };
  const bool is_scaled = it.name.find("standardized") != std::string::npos;
  if (!is_scaled && !is_of("iris")) return false;  // digits would do, but takes seconds
  if (solver == "dual-coordinate-descent") return true;
  if (it.name.find("C 10") != std::string::npos) return false;
  if (!is_of("breast_cancer")) return true;
  return it.loss.l2_strength > 0.0 && (solver == "sag" || it.loss.l1_strength > 0.0);
}

TEST_P(Solvers, find_optima_by_steps_with_single_rows_alone) {
  if (!steps_by_rows(GetParam())) return;
  int count = 0;
  for (const auto& expected : solver_cases()) {
    if (!takes(GetParam(), expected) || !is_well_determined(GetParam(), expected)) continue;
    const auto solver = make_solver(GetParam(), expected.loss, 1e-8, 5000, /*hand_over=*/false);
    minimise(*solver, expected);
    expect_optimum(expected, *solver);
    EXPECT_FALSE(dynamic_cast<LinearSolver&>(*solver).has_handed_over());
    ++count;
  }
  EXPECT_EQ(count, GetParam() == "saga" ? 9 : GetParam() == "sag" ? 5 : 2);
}

TEST_P(Solvers, hand_over_to_lbfgs_when_20_iterations_have_not_halved_the_gradient) {
  if (!steps_by_rows(GetParam())) return;
  const auto expected = solver_cases().at(13);
  ASSERT_EQ(expected.name, "breast_cancer, C 1.0, l1_ratio 0.0");
  MemoryRows rows(expected.x, expected.y);
  auto optimizer = make_solver(GetParam(), expected.loss);
  auto& solver = dynamic_cast<LinearSolver&>(*optimizer);
  LinearObjective objective(rows, expected.loss, solver.stepped());
  auto gradient = torch::empty({objective.size()}, torch::kDouble);
  objective.evaluate(torch::zeros_like(gradient), gradient);
  double norm = gradient.abs().max().item<double>();
  double halved = norm;
  for (int64_t halved_at = 0; !solver.has_handed_over();) {
    const auto at = solver.iterations();
    ASSERT_LT(at, 1000);
    if (norm <= 0.5 * halved) {
      halved = norm;
      halved_at = at;
    }
    solver.iterate(objective);
    norm = solver.gradient_norm();
    ASSERT_EQ(solver.has_handed_over(), at == halved_at + 20) << at;
  }
  const auto steps = solver.iterations();
  while (!solver.is_done()) solver.iterate(objective);
  EXPECT_TRUE(solver.has_converged()) << solver.outcome();
  EXPECT_LT(solver.iterations() - steps, 200);
}

TEST_P(Solvers, go_on_with_the_same_bits_before_and_after_they_have_handed_over) {
  if (!steps_by_rows(GetParam())) return;
  const auto expected = solver_cases().at(13);
  int64_t at = 0;  // the first iteration of lbfgs
  const auto run = [&](int64_t stop_after) {
    auto loss = expected.loss;
    loss.weight = torch::zeros_like(loss.weight);
    loss.bias = torch::zeros_like(loss.bias);
    MemoryRows rows(expected.x, expected.y);
    auto solver = make_solver(GetParam(), loss);
    auto objective = std::make_unique<LinearObjective>(rows, loss, solver->stepped());
    while (at == 0 || solver->iterations() < at + 12) {
      solver->iterate(*objective);
      const bool is_lbfgs = dynamic_cast<LinearSolver&>(*solver).has_handed_over();
      if (at == 0 && is_lbfgs) at = solver->iterations();
      if (solver->iterations() != stop_after) continue;
      const auto state = solver->state_dict().clone();
      if (is_lbfgs) {  // what belongs to single rows is dropped
        for (const auto& [name, tensor] : state.tensors) EXPECT_EQ(tensor.numel(), 31) << name;
      }
      solver = make_solver(GetParam(), loss);
      solver->load_state_dict(state);
      objective = std::make_unique<LinearObjective>(rows, loss, solver->stepped());
    }
    EXPECT_TRUE(dynamic_cast<LinearSolver&>(*solver).has_handed_over());
    return loss.weight;
  };
  const auto whole = run(0);
  for (const int64_t stop : {at - 5, at + 5}) EXPECT_TRUE(same_bits(run(stop), whole)) << stop;
}

// Adding the same number to all outputs of a softmax changes nothing, so there are many optima.
TEST_P(Solvers, find_the_same_optimum_of_a_softmax_without_penalty_wherever_they_start) {
  if (GetParam() == "dual-coordinate-descent") return;  // needs a penalty, and takes no softmax
  const auto expected = solver_cases().at(18);
  ASSERT_EQ(expected.name, "wine, no penalty, l1_ratio 0.0, standardized");
  torch::manual_seed(4);  // far away, but no worse than 0, where solvers would begin instead
  expected.loss.weight.normal_(0.0, 0.1).add_(expected.coefficients).add_(torch::randn({1, 2}));
  expected.loss.bias.normal_(0.0, 0.1).add_(expected.intercepts).add_(3.0);
  MemoryRows rows(expected.x, expected.y);
  auto solver = make_solver(GetParam(), expected.loss);
  LinearObjective objective(rows, expected.loss, solver->stepped());
  while (!solver->is_done()) solver->iterate(objective);
  expect_optimum(expected, *solver);
  EXPECT_NEAR(expected.loss.bias.sum().item<double>(), 0.0, 1e-12);
  EXPECT_TRUE(solver->has_converged()) << solver->outcome();
}

// All shares of the classes are 0 or 1 there, and all curvatures vanish.
TEST_P(Solvers, find_the_optimum_from_a_start_that_is_far_worse_than_0) {
  const auto expected = solver_cases().at(GetParam() == "dual-coordinate-descent" ? 13 : 8);
  ASSERT_EQ(expected.name, GetParam() == "dual-coordinate-descent"
                               ? "breast_cancer, C 1.0, l1_ratio 0.0"
                               : "wine, C 1.0, l1_ratio 0.0");
  torch::manual_seed(2);
  expected.loss.weight.normal_();
  expected.loss.bias.normal_();
  const auto solver = make_solver(GetParam(), expected.loss, 1e-11);
  minimise(*solver, expected);
  expect_optimum(expected, *solver);
}

TEST(SolverTest, lbfgs_goes_on_with_the_same_bits_with_an_l1_penalty) {
  const auto expected = solver_cases().at(11);
  ASSERT_EQ(expected.name, "wine, C 0.5, l1_ratio 1.0, standardized");
  const auto run = [&](int64_t stop_after, int64_t& iterations) {
    auto loss = expected.loss;
    loss.weight = torch::zeros_like(loss.weight);
    loss.bias = torch::zeros_like(loss.bias);
    MemoryRows rows(expected.x, expected.y);
    auto solver = make_solver("lbfgs", loss);
    auto objective = std::make_unique<LinearObjective>(rows, loss, solver->stepped());
    while (!solver->is_done()) {
      solver->iterate(*objective);
      if (solver->iterations() != stop_after) continue;
      const auto state = solver->state_dict().clone();
      solver = make_solver("lbfgs", loss);
      solver->load_state_dict(state);
      objective = std::make_unique<LinearObjective>(rows, loss, solver->stepped());
    }
    iterations = solver->iterations();
    return loss.weight;
  };
  int64_t all = 0;
  const auto whole = run(0, all);
  EXPECT_GT(all, 20);
  for (const int64_t stop : {5, 20, static_cast<int>(all) - 1}) {
    int64_t iterations = 0;
    EXPECT_TRUE(same_bits(run(stop, iterations), whole)) << stop;
    EXPECT_EQ(iterations, all) << stop;
  }
}

TEST(SolverTest, begins_at_the_parameters_unless_0_is_better) {
  const auto expected = solver_cases().at(7);
  MemoryRows rows(expected.x, expected.y);
  LinearObjective objective(rows, expected.loss, {expected.loss.weight, expected.loss.bias});
  auto gradient = torch::empty({objective.size()}, torch::kDouble);
  const double at_zero = objective.evaluate(torch::zeros_like(gradient), gradient);
  EXPECT_NEAR(objective.value_at_zero().value(), at_zero, 1e-12);
  // One iteration from a point near the optimum ends nearer to it than one from 0 does.
  const auto after_one = [&](double factor) {
    expected.loss.weight.copy_(expected.coefficients).mul_(factor);
    expected.loss.bias.copy_(expected.intercepts).mul_(factor);
    const auto solver = make_solver("lbfgs", expected.loss);
    LinearObjective own(rows, expected.loss, solver->stepped());
    solver->iterate(own);
    return solver->objective() - expected.objective;
  };
  const double from_zero = after_one(0.0);
  EXPECT_LT(after_one(0.99), 1e-3 * from_zero);
  EXPECT_EQ(after_one(-50.0), from_zero);
}

TEST_P(Solvers, go_on_from_a_saved_state_with_the_same_bits) {
  const bool is_dual = GetParam() == "dual-coordinate-descent";
  const auto expected = solver_cases().at(is_dual ? 12 : 5);
  ASSERT_EQ(expected.name, is_dual ? "breast_cancer, C 1.0, l1_ratio 0.0, standardized"
                                   : "digits, C 1.0, l1_ratio 0.0");
  const auto run = [&](int64_t stop_after) {
    auto loss = expected.loss;
    loss.weight = torch::zeros_like(loss.weight);
    loss.bias = torch::zeros_like(loss.bias);
    MemoryRows rows(expected.x.to(torch::kFloat), expected.y);
    auto solver = make_solver(GetParam(), loss, 1e-12, 6);
    auto objective = std::make_unique<LinearObjective>(rows, loss, solver->stepped());
    for (int64_t i = 0; i < stop_after; ++i) solver->iterate(*objective);
    if (stop_after < 6) {
      const auto state = solver->state_dict().clone();
      solver = make_solver(GetParam(), loss, 1e-12, 6);
      solver->load_state_dict(state);
      objective = std::make_unique<LinearObjective>(rows, loss, solver->stepped());
    }
    while (!solver->is_done()) solver->iterate(*objective);
    EXPECT_EQ(solver->iterations(), 6);
    return loss.weight;
  };
  const auto whole = run(6);
  EXPECT_GT(whole.abs().max().item<double>(), 0.01);
  for (const int64_t stop : {1, 3, 5}) EXPECT_TRUE(same_bits(run(stop), whole)) << stop;
}

INSTANTIATE_TEST_SUITE_P(All, Solvers,
                         testing::Values("lbfgs", "newton-cg", "trust-region", "newton-cholesky",
                                         "coordinate-descent", "dual-coordinate-descent", "sag",
                                         "saga"),
                         [](const testing::TestParamInfo<std::string>& each) {
                           std::string name = each.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

/// f, its gradient and its curvature by LibTorch.
torch::Tensor reference_value(const SolverCase& it, const torch::Tensor& point) {
  const auto numbers = it.loss.weight.numel();
  const auto weight = point.narrow(0, 0, numbers).view_as(it.loss.weight);
  const auto z = it.x.mm(weight.t()) + point.narrow(0, numbers, it.outputs());
  auto weights = torch::ones({it.x.size(0)}, torch::kDouble);
  if (it.is_balanced) weights = it.loss.class_weight.index_select(0, it.y);
  const auto losses = it.outputs() == 1
                          ? torch::binary_cross_entropy_with_logits(
                                z.squeeze(1), it.y.to(torch::kDouble), {}, {}, at::Reduction::None)
                          : torch::cross_entropy_loss(z, it.y, {}, at::Reduction::None);
  return (losses * weights).sum() / weights.sum() + it.loss.l2_strength * weight.square().sum();
}

TEST(LinearObjectiveTest, agrees_with_autograd) {
  for (auto it : solver_cases()) {
    if (it.name.find("digits") == 0 || it.name.find("standardized") == std::string::npos) continue;
    for (const bool squared : {false, true}) {
      MemoryRows rows(it.x, squared ? it.coefficients.mm(it.x.t()).t().contiguous() : it.y, 50);
      if (squared) it.loss.kind = LinearLoss::Kind::squared;
      LinearObjective objective(rows, it.loss, {it.loss.weight, it.loss.bias});
      torch::manual_seed(3);
      auto point = (0.3 * torch::randn({objective.size()}, torch::kDouble)).requires_grad_(true);
      const auto direction = torch::randn({objective.size()}, torch::kDouble);
      auto reference = reference_value(it, point);
      if (squared) {
        const auto numbers = it.loss.weight.numel();
        const auto weight = point.narrow(0, 0, numbers).view_as(it.loss.weight);
        const auto z = it.x.mm(weight.t()) + point.narrow(0, numbers, it.outputs());
        auto weights = it.is_balanced ? it.loss.class_weight.index_select(
                                            0, it.coefficients.mm(it.x.t())
                                                   .t()
                                                   .select(1, 0)
                                                   .to(torch::kLong)
                                                   .clamp(0, it.loss.class_weight.size(0) - 1))
                                      : torch::ones({it.x.size(0)}, torch::kDouble);
        if (it.is_balanced) continue;  // classes have weights, values don't
        reference = ((z - it.coefficients.mm(it.x.t()).t()).square().mean(1) * weights).sum() /
                        weights.sum() +
                    it.loss.l2_strength * weight.square().sum();
      }
      const auto expected = torch::autograd::grad({reference}, {point}, {}, true, true)[0];
      const auto product = torch::autograd::grad({expected.dot(direction)}, {point}, {}, true)[0];
      auto gradient = torch::empty({objective.size()}, torch::kDouble);
      const double value = objective.evaluate(point.detach(), gradient);
      EXPECT_NEAR(value, reference.item<double>(), 1e-12 * std::abs(value)) << it.name;
      EXPECT_TRUE(torch::allclose(gradient, expected.detach(), 1e-10, 1e-12)) << it.name;
      EXPECT_TRUE(torch::allclose(objective.hessian_product(direction), product, 1e-9, 1e-12))
          << it.name;
      const auto hessian = objective.hessian();
      EXPECT_TRUE(torch::allclose(hessian.mv(direction), product, 1e-9, 1e-12)) << it.name;
      EXPECT_TRUE(torch::allclose(objective.curvature_diagonal(), hessian.diagonal(), 1e-9, 1e-12))
          << it.name;
      const auto approximate = objective.precondition(direction);
      EXPECT_GT(approximate.dot(direction).item<double>(), 0.0) << it.name;
      EXPECT_NEAR(objective.precondition(gradient).dot(direction).item<double>(),
                  approximate.dot(gradient).item<double>(),
                  1e-8 * std::abs(approximate.dot(gradient).item<double>()))
          << it.name << ": the preconditioner must be symmetric";
    }
  }
}

TEST(LinearObjectiveTest, takes_weights_of_rows_as_repeated_rows) {
  const auto it = solver_cases().at(7);
  const auto twice = torch::arange(it.x.size(0)).remainder(3).eq(0).to(torch::kLong);
  const auto numbers = torch::repeat_interleave(twice + 1);
  MemoryRows weighted(it.x, it.y, 64, (twice + 1).to(torch::kFloat));
  MemoryRows repeated(it.x.index_select(0, numbers), it.y.index_select(0, numbers));
  LinearObjective a(weighted, it.loss, {it.loss.weight, it.loss.bias});
  LinearObjective b(repeated, it.loss, {it.loss.weight, it.loss.bias});
  const auto point = torch::full({a.size()}, 0.1, torch::kDouble);
  auto gradient_a = torch::empty_like(point);
  auto gradient_b = torch::empty_like(point);
  EXPECT_NEAR(a.evaluate(point, gradient_a), b.evaluate(point, gradient_b), 1e-13);
  EXPECT_TRUE(torch::allclose(gradient_a, gradient_b, 1e-11, 1e-14));
}

TEST(LinearObjectiveTest, knows_the_loss_at_0_whatever_rows_and_classes_count) {
  for (const auto& it : solver_cases()) {
    if (it.name.find("iris") != 0 && it.name.find("breast") != 0) continue;
    for (const bool is_ovr : {false, true}) {
      if (is_ovr && it.outputs() == 1) continue;
      auto loss = it.loss;
      if (is_ovr) loss.kind = LinearLoss::Kind::one_vs_rest;
      MemoryRows rows(it.x, it.y, 100, torch::rand({it.x.size(0)}) + 0.5);
      LinearObjective objective(rows, loss, {loss.weight, loss.bias});
      auto gradient = torch::empty({objective.size()}, torch::kDouble);
      const double value = objective.evaluate(torch::zeros_like(gradient), gradient);
      EXPECT_NEAR(objective.value_at_zero().value(), value, 1e-12) << it.name;
    }
  }
  LinearLoss squared{.kind = LinearLoss::Kind::squared, .weight = torch::zeros({1, 2})};
  MemoryRows rows(torch::rand({5, 2}), torch::rand({5, 1}));
  EXPECT_FALSE(LinearObjective(rows, squared, {squared.weight}).value_at_zero());
}

TEST(LinearObjectiveTest, reads_bytes_in_float32_and_float64) {
  torch::manual_seed(5);
  const auto bytes = torch::randint(0, 256, {40'000, 70}, torch::kByte);
  const auto y = torch::randint(0, 10, {40'000}, torch::kLong);
  LinearLoss loss{.weight = torch::zeros({10, 70}), .bias = torch::zeros({10})};
  MemoryRows rows(Rows(bytes, ByteScale{.scale = 1.0F / 255.0F}), y);
  LinearObjective objective(rows, loss, {loss.weight, loss.bias});
  const auto point = 0.1 * torch::randn({objective.size()}, torch::kDouble);
  auto fast = torch::empty_like(point);
  auto precise = torch::empty_like(point);
  const double value = objective.evaluate(point, fast);
  ASSERT_TRUE(objective.raise_precision()) << "so many rows are first read in float32";
  EXPECT_NEAR(value, objective.evaluate(point, precise), 1e-6);
  EXPECT_FALSE(torch::equal(fast, precise));
  EXPECT_TRUE(torch::allclose(fast, precise, 1e-4, 1e-7));
  EXPECT_FALSE(objective.raise_precision());
}

TEST_P(Solvers, find_the_same_optimum_from_sparse_rows) {
  for (const auto& expected : solver_cases()) {
    if (!takes(GetParam(), expected)) continue;
    if (expected.name.find("digits") == std::string::npos) continue;  // whose numbers are float32
    if (GetParam() == "saga" && expected.loss.l2_strength == 0.0) continue;  // takes a second
    MemoryRows rows(Rows(expected.x.to(torch::kFloat).to_sparse_csr()), expected.y, 300);
    auto solver = make_solver(GetParam(), expected.loss, GetParam() == "saga" ? 1e-8 : 1e-10);
    LinearObjective objective(rows, expected.loss, solver->stepped());
    while (!solver->is_done()) solver->iterate(objective);
    expect_optimum(expected, *solver);
  }
}

TEST(LinearObjectiveTest, adds_up_sparse_rows_as_dense_ones) {
  torch::manual_seed(8);
  const auto x = torch::randn({30'000, 300}) * torch::rand({30'000, 300}).lt(0.1);
  for (const int64_t outputs : {1, 5}) {
    const auto y = torch::randint(0, std::max<int64_t>(outputs, 2), {30'000}, torch::kLong);
    LinearLoss loss{.kind = outputs == 1 ? LinearLoss::Kind::logistic : LinearLoss::Kind::softmax,
                    .weight = torch::zeros({outputs, 300}),
                    .bias = torch::zeros({outputs}),
                    .l2_strength = 1e-4};
    MemoryRows dense(x.to(torch::kDouble), y);
    MemoryRows sparse(Rows(x.to_sparse_csr()), y, 20'000);
    LinearObjective a(dense, loss, {loss.weight, loss.bias});
    LinearObjective b(sparse, loss, {loss.weight, loss.bias});
    const auto point = 0.3 * torch::randn({a.size()}, torch::kDouble);
    auto expected = torch::empty_like(point);
    auto gradient = torch::empty_like(point);
    const double value = a.evaluate(point, expected);
    for (const double tolerance : {1e-5, 1e-11}) {  // first in float32, if that is worth it
      EXPECT_NEAR(b.evaluate(point, gradient), value, tolerance);
      EXPECT_TRUE(torch::allclose(gradient, expected, tolerance, tolerance)) << outputs;
      EXPECT_TRUE(torch::allclose(b.hessian_product(point), a.hessian_product(point), tolerance,
                                  tolerance));
      // The squares are float32 in either case: they only serve to precondition.
      EXPECT_TRUE(torch::allclose(b.curvature_diagonal(), a.curvature_diagonal(), 1e-5, 1e-6));
      b.raise_precision();
    }
  }
}

TEST(LinearObjectiveTest, has_the_same_bits_for_any_number_of_threads) {
  torch::manual_seed(6);
  const auto x = torch::randn({30'000, 100});
  const auto y = torch::randint(0, 10, {30'000}, torch::kLong);
  LinearLoss loss{.weight = torch::zeros({10, 100}), .bias = torch::zeros({10})};
  const auto point = 0.1 * torch::randn({1010}, torch::kDouble);
  const auto results = [&] {
    MemoryRows rows(x, y);
    LinearObjective objective(rows, loss, {loss.weight, loss.bias});
    auto gradient = torch::empty_like(point);
    objective.evaluate(point, gradient);
    return torch::cat({gradient, objective.hessian_product(point)});
  };
  const auto alone = results();
  const HelperThreads helpers(2);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(same_bits(results(), alone));
}

// Two passes over dense, sparse and byte rows: the objective and its centred variables.
TEST(CentringTest, makes_the_features_means_0_and_changes_nothing_else) {
  torch::manual_seed(12);
  const auto x = torch::randint(0, 5, {700, 6}, torch::kByte);
  const auto numbers = x.to(torch::kDouble);
  const auto y = torch::randint(0, 3, {700}, torch::kLong);
  const auto weights = torch::rand({700}, torch::kDouble);
  const auto means = (numbers * weights.unsqueeze(1)).sum(0) / weights.sum();
  LinearLoss loss{.weight = torch::zeros({3, 6}), .bias = torch::zeros({3}), .l2_strength = 0.1};
  for (const auto& rows :
       {Rows(numbers), Rows(numbers.to(torch::kFloat)),
        Rows(numbers.to(torch::kFloat).to_sparse_csr()), Rows(x, ByteScale{.scale = 1.0F})}) {
    MemoryRows source(rows, y, 90, weights);
    MemoryRows centred_rows(numbers - means, y, 90, weights);
    LinearObjective objective(source, loss, {loss.bias, loss.weight});  // the bias first
    LinearObjective other(centred_rows, loss, {loss.bias, loss.weight});
    const auto point = torch::randn({21}, torch::kDouble);
    auto gradient = torch::empty_like(point);
    auto theirs = torch::empty_like(point);
    const double value = objective.evaluate(point, gradient);
    const auto* centring = objective.centring();
    ASSERT_NE(centring, nullptr);
    const auto changed = centring->apply(point);
    EXPECT_TRUE(torch::allclose(centring->undo(changed), point, 1e-12, 1e-12));
    EXPECT_NEAR(other.evaluate(changed, theirs), value, 1e-6);
    EXPECT_TRUE(torch::allclose(centring->gradient(gradient), theirs, 1e-5, 1e-6));
  }
  MemoryRows rows(numbers, y);
  LinearObjective without(rows, {.weight = loss.weight}, {loss.weight});
  EXPECT_EQ(without.centring(), nullptr);
}

// Features whose mean isn't 0 tie the bias to all weights. Without a change of variables, OWL-QN
// took 1,353 iterations here.
TEST(CentringTest, saves_lbfgs_many_steps_with_an_l1_penalty) {
  const auto expected = solver_cases().at(6);
  ASSERT_EQ(expected.name, "digits, C 0.1, l1_ratio 1.0");
  const auto solver = make_solver("lbfgs", expected.loss);
  minimise(*solver, expected);
  EXPECT_TRUE(solver->has_converged()) << solver->outcome();
  EXPECT_LT(solver->iterations(), 300);
}

// Its approximate curvature is scaled, so that the first trial of a line search is nearly always
// taken.
TEST(SolverTest, a_step_of_lbfgs_takes_about_one_evaluation) {
  auto expected = solver_cases().at(5);
  ASSERT_EQ(expected.name, "digits, C 1.0, l1_ratio 0.0");
  expected.loss.l2_strength *= 1e-3;
  MemoryRows rows(expected.x, expected.y);
  const auto solver = make_solver("lbfgs", expected.loss, 1e-6);
  LinearObjective objective(rows, expected.loss, solver->stepped());
  while (!solver->is_done()) solver->iterate(objective);
  EXPECT_TRUE(solver->has_converged());
  const auto iterations = static_cast<double>(solver->iterations());
  EXPECT_GE(iterations, 10);
  const auto passes = static_cast<double>(rows.passes());
  EXPECT_LE(passes, 1.2 * iterations + 4.0) << passes << " passes, " << iterations << " steps";
}

TEST(SolverTest, refuses_what_it_cannot_do) {
  auto it = solver_cases().at(2);
  ASSERT_GT(it.loss.l1_strength, 0.0);
  MemoryRows rows(it.x, it.y);
  for (const char* name : {"newton-cg", "trust-region", "newton-cholesky"}) {
    auto smooth = make_solver(name, it.loss);
    LinearObjective objective(rows, it.loss, smooth->stepped());
    const auto message = message_of<ConfigError>([&] { smooth->iterate(objective); });
    EXPECT_TRUE(test::says(message, {"L1", name, "coordinate-descent", "saga", "lbfgs"}))
        << message;
  }
  auto solver = make_solver("newton-cg", it.loss);
  EXPECT_THROW(solver->step([] { return torch::Tensor(); }), ModuleError);
  EXPECT_THROW(make_solver("lbfgs", it.loss, -1.0), ConfigError);
  EXPECT_THROW(make_solver("lbfgs", it.loss, 1e-4, 0), ConfigError);
  const auto many = torch::zeros({11'000});
  EXPECT_THROW(NewtonCholesky({many}), ConfigError);
}

TEST(LinearObjectiveTest, refuses_targets_that_make_no_sense_before_the_first_step) {
  const auto x = torch::randn({20, 4});
  LinearLoss loss{.weight = torch::zeros({3, 4}), .bias = torch::zeros({3})};
  auto gradient = torch::empty({15}, torch::kDouble);
  const auto message = [&](const torch::Tensor& y) {
    MemoryRows rows(x, y);
    LinearObjective objective(rows, loss, {loss.weight, loss.bias});
    return message_of<DataError>(
        [&] { objective.evaluate(torch::zeros_like(gradient), gradient); });
  };
  EXPECT_NE(message(torch::full({20}, 1)).find("all training rows are of class 1"),
            std::string::npos);
  EXPECT_NE(message(torch::arange(20)).find("17 of the training rows"), std::string::npos);
}

TEST(SolverTest, refuses_the_state_of_another_solver_or_size) {
  const auto it = solver_cases().at(0);
  MemoryRows rows(it.x, it.y);
  auto solver = make_solver("newton-cg", it.loss);
  LinearObjective objective(rows, it.loss, solver->stepped());
  solver->iterate(objective);
  const auto state = solver->state_dict();
  EXPECT_THROW(make_solver("lbfgs", it.loss)->load_state_dict(state), CheckpointError);
  LinearLoss larger{.weight = torch::zeros({3, 9}), .bias = torch::zeros({3})};
  EXPECT_THROW(make_solver("newton-cg", larger)->load_state_dict(state), CheckpointError);
}

TEST(SolverTest, says_why_it_is_done) {
  const auto it = solver_cases().at(5);
  MemoryRows rows(it.x, it.y);
  auto solver = make_solver("lbfgs", it.loss, 1e-12, 3);
  LinearObjective objective(rows, it.loss, solver->stepped());
  while (!solver->is_done()) solver->iterate(objective);
  EXPECT_FALSE(solver->has_converged());
  EXPECT_EQ(solver->outcome(), "max_iter = 3 is reached");
  auto other = make_solver("lbfgs", it.loss, 1e-5);
  while (!other->is_done()) other->iterate(objective);
  EXPECT_EQ(other->outcome(), "converged");
  EXPECT_LE(other->gradient_norm(), 1e-5);
}

}  // namespace
}  // namespace levin::solvers_test
