// Solvers that look at single rows or single features: what the data may be, and what is refused.

#include <algorithm>
#include <cmath>
#include <utility>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/all.h>
#include <levin/framework/solvers/lazy_steps.h>
#include <levin/framework/solvers/linear_objective.h>
#include <levin/framework/tensor/random.h>

#include "framework/solvers/solver_cases.h"
#include "framework/support.h"

namespace levin::row_solvers_test {
namespace {

using namespace levin::test;

/// Random rows of which a share of the features isn't 0, targets that depend on them, row weights,
/// and a loss whose weight and bias are 0.
struct Problem {
  Problem(LinearLoss::Kind kind, int64_t count, int64_t features, double share) {
    torch::manual_seed(11);
    const auto present = torch::rand({count, features}, torch::kDouble) < share;
    x = torch::randn({count, features}, torch::kDouble) * present;
    weights = torch::rand({count}, torch::kDouble) + 0.5;
    weights.narrow(0, 0, 3).zero_();
    const int64_t outputs = kind == LinearLoss::Kind::logistic ? 1 : 3;
    const auto noise = torch::randn({count, outputs}, torch::kDouble);
    const auto z = x.narrow(1, 0, 9).mm(torch::randn({9, outputs}, torch::kDouble)) + noise + 0.7;
    y = kind == LinearLoss::Kind::squared    ? z
        : kind == LinearLoss::Kind::logistic ? z.select(1, 0).gt(0.0).to(torch::kLong)
                                             : z.argmax(1);
    loss = {.kind = kind,
            .weight = torch::zeros({outputs, features}, torch::kDouble),
            .bias = torch::zeros({outputs}, torch::kDouble)};
  }
  std::vector<torch::Tensor> parameters() const {
    if (!loss.bias.defined()) return {loss.weight};
    return {loss.bias, loss.weight};  // the order is the solver's business
  }

  torch::Tensor x, y, weights;
  LinearLoss loss{};
};

/// Solves the problem. A gradient within tol is what makes a point of a convex function its
/// minimum, and LinearObjectiveTest compares the gradient with autograd's.
void expect_converges(const std::string& name, const Problem& it, double tol) {
  MemoryRows rows(it.x, it.y, 700, it.weights);
  Value::Object options{{"tol", tol}, {"max_iter", 3000}};
  if (name.find("sag") == 0 || name.find("dual") == 0) options["hand_over"] = false;
  auto optimizer = shipped_optimizers().make(name, options, it.parameters());
  auto& solver = dynamic_cast<Solver&>(*optimizer);
  LinearObjective objective(rows, it.loss, solver.stepped());
  while (!solver.is_done()) solver.iterate(objective);
  EXPECT_TRUE(solver.has_converged())
      << name << ": " << solver.outcome() << ", gradient " << solver.gradient_norm();
  const auto zeros = it.loss.weight.eq(0.0).sum().item<int64_t>();
  const auto weights = it.loss.weight.numel();
  if (it.loss.l1_strength > 0.0) {
    EXPECT_GT(zeros, 0) << name;
    EXPECT_LT(zeros, weights) << name;
  } else {
    EXPECT_EQ(zeros, 0) << name;
  }
}

TEST(RowSolvers, converge_for_every_loss_with_and_without_a_bias) {
  using Kind = LinearLoss::Kind;
  for (const auto kind : {Kind::squared, Kind::logistic, Kind::softmax}) {
    for (const bool has_bias : {false, true}) {
      Problem it(kind, 300, 12, 1.0);
      it.x.add_(0.5);
      if (!has_bias) it.loss.bias.reset();
      it.loss.l2_strength = 0.02;
      const auto fresh = [&] {
        it.loss.weight = torch::zeros_like(it.loss.weight);
        if (has_bias) it.loss.bias = torch::zeros_like(it.loss.bias);
      };
      for (const char* name : {"coordinate-descent", "sag", "saga", "dual-coordinate-descent"}) {
        if (kind == Kind::softmax && std::string(name) == "dual-coordinate-descent") continue;
        SCOPED_TRACE(static_cast<int>(kind));
        fresh();
        expect_converges(name, it, 1e-10);
      }
      it.loss.l1_strength = kind == Kind::squared ? 0.15 : 0.05;
      for (const char* name : {"coordinate-descent", "saga"}) {
        fresh();
        expect_converges(name, it, 1e-10);
      }
    }
  }
}

// SAG averages old gradients, which must not lead it astray.
TEST(RowSolvers, sag_does_not_rise) {
  Problem it(LinearLoss::Kind::softmax, 3000, 12, 1.0);
  it.x.add_(2.0);
  it.loss.bias.reset();
  it.loss.l2_strength = 1e-4;
  MemoryRows rows(it.x, it.y, 3000);
  auto optimizer = shipped_optimizers().make("sag", {}, it.parameters());
  auto& solver = dynamic_cast<Solver&>(*optimizer);
  LinearObjective objective(rows, it.loss, solver.stepped());
  double last = std::log(3.0);
  for (int i = 0; i < 6; ++i) {
    solver.iterate(objective);
    EXPECT_LE(solver.objective(), last) << "iteration " << i + 1;
    last = solver.objective();
  }
  EXPECT_LT(last, 0.53);  // the optimum is 0.511
}

TEST(RowSolvers, converge_on_rows_that_are_kept_sparse) {
  using Kind = LinearLoss::Kind;
  for (const auto kind : {Kind::squared, Kind::logistic, Kind::softmax}) {
    Problem it(kind, 4000, 260, 0.04);
    std::string reason;
    MemoryRows rows(it.x, it.y, 700);
    LinearObjective objective(rows, it.loss, it.parameters());
    ASSERT_TRUE(objective.linear(reason, 3 * it.x.numel())->by_row().is_sparse());
    for (const double l1 : {0.0, 0.004}) {
      it.loss.l1_strength = l1;
      it.loss.l2_strength = 0.1;
      for (const char* name : {"coordinate-descent", "saga", "sag", "dual-coordinate-descent"}) {
        const bool is_smooth_only =
            std::string(name) != "coordinate-descent" && std::string(name) != "saga";
        const bool is_dual = std::string(name) == "dual-coordinate-descent";
        if ((is_smooth_only && l1 > 0.0) || (is_dual && kind == Kind::softmax)) continue;
        it.loss.weight = torch::zeros_like(it.loss.weight);
        it.loss.bias = torch::zeros_like(it.loss.bias);
        expect_converges(name, it, 1e-8);
      }
    }
  }
}

TEST(RowSolvers, find_a_lasso_without_any_feature_if_the_penalty_is_strong) {
  Problem it(LinearLoss::Kind::squared, 200, 10, 1.0);
  it.x.select(1, 4).fill_(3.0);  // tells nothing, beside the bias
  it.loss.l1_strength = 50.0;
  for (const char* name : {"coordinate-descent", "saga"}) {
    it.loss.weight = torch::ones_like(it.loss.weight);
    it.loss.bias = torch::zeros_like(it.loss.bias);
    MemoryRows rows(it.x, it.y, 64, it.weights);
    auto optimizer = shipped_optimizers().make(name, Value::Object{{"tol", 1e-9}}, it.parameters());
    auto& solver = dynamic_cast<Solver&>(*optimizer);
    LinearObjective objective(rows, it.loss, solver.stepped());
    while (!solver.is_done()) solver.iterate(objective);
    EXPECT_EQ(it.loss.weight.count_nonzero().item<int64_t>(), 0) << name;
    const auto mean = (it.y * it.weights.unsqueeze(1)).sum(0) / it.weights.sum();
    EXPECT_TRUE(torch::allclose(it.loss.bias, mean, 1e-7, 1e-7)) << name;
  }
}

TEST(RowSolvers, start_from_the_parameters_that_they_are_given) {
  for (const char* name : {"coordinate-descent", "saga", "sag", "dual-coordinate-descent"}) {
    Problem it(LinearLoss::Kind::logistic, 300, 12, 1.0);
    it.loss.l2_strength = 0.02;
    expect_converges("newton-cg", it, 1e-11);
    auto optimizer = shipped_optimizers().make(name, Value::Object{{"tol", 1e-9}}, it.parameters());
    auto& solver = dynamic_cast<Solver&>(*optimizer);
    MemoryRows rows(it.x, it.y, 64, it.weights);
    LinearObjective objective(rows, it.loss, solver.stepped());
    solver.iterate(objective);
    EXPECT_TRUE(solver.has_converged()) << name;
    Problem other(LinearLoss::Kind::logistic, 300, 12, 1.0);
    other.loss.l2_strength = 0.021;  // near, but not the same
    other.loss.weight.copy_(it.loss.weight);
    other.loss.bias.copy_(it.loss.bias);
    expect_converges(name, other, 1e-9);
  }
}

/// Rows that a solver may not copy.
class PassingRows final : public MemoryRows {
 public:
  using MemoryRows::MemoryRows;
  std::string reason_against_copies() const override { return "training rows that pass by"; }
};

/// Half the square of the distance from 1.
class Distance final : public Objective {
 public:
  int64_t size() const override { return 2; }
  double evaluate(const torch::Tensor& point, const torch::Tensor& gradient) override {
    gradient.copy_(point - 1.0);
    return 0.5 * gradient.dot(gradient).item<double>();
  }
  torch::Tensor hessian_product(const torch::Tensor& vector) override { return vector; }
};

/// The message of the ConfigError that an iteration throws; the parameters must not change.
std::string refusal(const std::string& name, Objective& objective,
                    const std::vector<torch::Tensor>& parameters) {
  const auto before = torch::cat({parameters[0].flatten(), parameters.back().flatten()}).clone();
  auto optimizer = shipped_optimizers().make(name, Value::Object{}, parameters);
  std::string message;
  try {
    dynamic_cast<Solver&>(*optimizer).iterate(objective);
  } catch (const ConfigError& error) {
    message = error.what();
  }
  EXPECT_TRUE(
      torch::equal(before, torch::cat({parameters[0].flatten(), parameters.back().flatten()})));
  return message;
}

void expect_says(const std::string& message, const std::vector<std::string>& words) {
  for (const auto& word : words) {
    EXPECT_NE(message.find(word), std::string::npos) << word << " in: " << message;
  }
}

TEST(RowSolvers, refuse_rows_that_they_cannot_copy_and_losses_that_they_do_not_know) {
  Problem it(LinearLoss::Kind::logistic, 50, 9, 1.0);
  it.loss.l2_strength = 0.1;
  for (const char* name : {"coordinate-descent", "saga", "sag", "dual-coordinate-descent"}) {
    PassingRows rows(it.x, it.y);
    LinearObjective objective(rows, it.loss, it.parameters());
    expect_says(refusal(name, objective, it.parameters()),
                {name, "training rows that pass by", "lbfgs", "newton-cg", "trust-region"});
    EXPECT_EQ(rows.passes(), 0);
    Distance distance;
    expect_says(refusal(name, distance, {torch::zeros({2})}), {name, "linear", "lbfgs"});
  }
  it.loss.l1_strength = 0.1;
  PassingRows rows(it.x, it.y);
  LinearObjective objective(rows, it.loss, it.parameters());
  const auto message = refusal("saga", objective, it.parameters());
  expect_says(message, {"lbfgs"});
  EXPECT_EQ(message.find("newton-cg"), std::string::npos) << message;
}

TEST(RowSolvers, refuse_penalties_and_losses_that_the_method_has_no_answer_to) {
  Problem it(LinearLoss::Kind::logistic, 50, 9, 1.0);
  MemoryRows rows(it.x, it.y);
  it.loss.l1_strength = 0.1;
  for (const char* name : {"sag", "dual-coordinate-descent"}) {
    LinearObjective objective(rows, it.loss, it.parameters());
    expect_says(refusal(name, objective, it.parameters()), {"L1", name, "coordinate-descent"});
  }
  it.loss.l1_strength = 0.0;
  LinearObjective without(rows, it.loss, it.parameters());
  expect_says(refusal("dual-coordinate-descent", without, it.parameters()), {"L2", "l2_strength"});
  Problem many(LinearLoss::Kind::softmax, 50, 9, 1.0);
  many.loss.l2_strength = 0.1;
  MemoryRows other(many.x, many.y);
  LinearObjective softmax(other, many.loss, many.parameters());
  expect_says(refusal("dual-coordinate-descent", softmax, many.parameters()),
              {"softmax", "logistic"});
  EXPECT_THROW(CoordinateDescent({torch::zeros({2})}, {.max_sweeps = 0}), ConfigError);
}

TEST(RowSolvers, descend_by_coordinates_or_by_lbfgs_as_the_rows_allow) {
  const auto run = [](RowSource& rows, const Problem& it) {
    it.loss.weight.zero_();
    it.loss.bias.zero_();
    auto optimizer = shipped_optimizers().make("coordinate-descent-or-lbfgs",
                                               Value::Object{{"tol", 1e-8}}, it.parameters());
    auto& solver = dynamic_cast<Solver&>(*optimizer);
    LinearObjective objective(rows, it.loss, solver.stepped());
    while (!solver.is_done()) solver.iterate(objective);
    EXPECT_TRUE(solver.has_converged()) << solver.outcome();
    return std::pair(solver.iterations(), it.loss.weight.clone());
  };
  Problem it(LinearLoss::Kind::softmax, 300, 12, 1.0);
  it.loss.l1_strength = 0.02;
  MemoryRows memory(it.x, it.y);
  const auto [few, by_coordinates] = run(memory, it);
  PassingRows passing(it.x, it.y);
  const auto [many, by_lbfgs] = run(passing, it);
  EXPECT_LT(few, 12) << "Newton steps by coordinate descent are few";
  EXPECT_GT(many, 20) << "OWL-QN takes more steps";
  EXPECT_TRUE(torch::allclose(by_coordinates, by_lbfgs, 0.0, 1e-5));
  EXPECT_TRUE(torch::equal(by_coordinates == 0.0, by_lbfgs == 0.0));

  LinearObjective objective(memory, it.loss, it.parameters());
  std::string reason;
  EXPECT_EQ(objective.linear(reason, 3 * it.x.numel() - 1), nullptr)
      << "they are too many to be copied";
  EXPECT_NE(reason.find("too many"), std::string::npos) << reason;
  EXPECT_NE(objective.linear(reason, 3 * it.x.numel()), nullptr) << reason;
}

TEST(LazyStepsTest, many_steps_at_once_are_as_many_single_steps) {
  KeyedGenerator random(17);
  constexpr int64_t kMost = 300;
  for (int round = 0; round < 2000; ++round) {
    const double l1 = round % 3 == 0 ? 0.0 : 0.5 * random.uniform();
    const double l2 = round % 2 == 0 ? 0.0 : random.uniform();
    const LazySteps steps(0.05 * random.uniform() + 1e-3, l1, l2, kMost);
    const double start = round % 5 == 0 ? 0.0 : random.uniform() - 0.5;
    const double gradient = 2.0 * random.uniform() - 1.0;
    const auto count = static_cast<int64_t>(random.below(kMost + 1));
    double expected = start;
    for (int64_t i = 0; i < count; ++i) expected = steps.one(expected, gradient);
    const double actual = steps.many(start, gradient, count);
    ASSERT_NEAR(actual, expected, 1e-12) << "round " << round << ", " << count << " steps";
    ASSERT_EQ(actual == 0.0, expected == 0.0) << "round " << round;
  }
}

TEST(EntryListsTest, a_matrix_is_transposed_whether_it_is_dense_or_sparse) {
  const EntryLists dense({1, 0, 2, 0, 3, 0}, 2, 3);
  const EntryLists sparse({1, 2, 3}, {0, 2, 1}, {0, 2, 3}, 3);
  const auto numbers = [](const EntryLists& lists) {
    std::vector<std::vector<double>> all;
    for (int64_t i = 0; i < lists.size(); ++i) {
      all.emplace_back(static_cast<size_t>(lists.length()));
      for_each_entry(lists.at(i),
                     [&](double value, int64_t j) { all.back()[static_cast<size_t>(j)] = value; });
    }
    return all;
  };
  const std::vector<std::vector<double>> expected{{1, 0}, {0, 3}, {2, 0}};
  EXPECT_EQ(numbers(dense.transposed()), expected);
  EXPECT_EQ(numbers(sparse.transposed()), expected);
  EXPECT_EQ(numbers(sparse.transposed().transposed()), numbers(dense));
  EXPECT_TRUE(sparse.transposed().is_sparse());
  EXPECT_FALSE(dense.transposed().is_sparse());
}

}  // namespace
}  // namespace levin::row_solvers_test
