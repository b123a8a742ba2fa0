// Features that ranks divide among them: the parts of vectors, the objective, and the solvers.

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/all.h>
#include <levin/framework/solvers/column_objective.h>
#include <levin/framework/solvers/linear_objective.h>

#include "framework/meeting.h"
#include "framework/message_of.h"
#include "framework/solvers/solver_cases.h"
#include "framework/support.h"

namespace levin::column_objective_test {
namespace {

using namespace levin::test;

/// Rows, their targets and a loss, of which each rank makes a weight and a bias of its own.
struct Problem {
  Rows x;
  torch::Tensor y;
  LinearLoss loss{};
  torch::Tensor weights{};     // of rows
  bool is_bias_first = false;  // among the parameters
  int64_t batch_size = 17;
};

Rows as_sparse(const torch::Tensor& dense) {
  const auto is_entry = dense != 0.0;
  auto offsets = torch::zeros({dense.size(0) + 1}, torch::kLong);
  offsets.narrow(0, 1, dense.size(0)).copy_(is_entry.sum(1).cumsum(0));
  return Rows::sparse(offsets, is_entry.nonzero().select(1, 1).to(torch::kInt).contiguous(),
                      dense.masked_select(is_entry).to(torch::kFloat), dense.size(1));
}

/// Rows of `features` numbers, most of which are 0.
Problem random_problem(LinearLoss::Kind kind, int64_t rows, int64_t features, int64_t outputs,
                       bool sparse) {
  torch::manual_seed(11);
  auto x = torch::randn({rows, features}, torch::kDouble);
  x = torch::where(torch::rand_like(x) < 0.7, torch::zeros_like(x), x).to(torch::kFloat);
  const auto z = x.to(torch::kDouble).mm(torch::randn({features, outputs}, torch::kDouble));
  Problem it{.x = sparse ? as_sparse(x) : Rows(x.to(torch::kDouble)), .y = z};
  if (kind == LinearLoss::Kind::logistic) it.y = (z.select(1, 0) > 0.2).to(torch::kLong);
  if (kind == LinearLoss::Kind::softmax || kind == LinearLoss::Kind::one_vs_rest) {
    it.y = z.argmax(1);
  }
  it.loss = {.kind = kind,
             .weight = torch::zeros({outputs, features}, torch::kDouble),
             .bias = torch::zeros({outputs}, torch::kDouble),
             .l2_strength = 0.01};
  return it;
}

/// What a rank works with; without a rank, what one process does.
struct Worker {
  explicit Worker(const Problem& problem, Ranks* ranks = nullptr)
      : rows(problem.x, problem.y, problem.batch_size, problem.weights), loss(problem.loss) {
    loss.weight = loss.weight.clone();
    parameters = {loss.weight};
    if (loss.bias.defined()) {
      loss.bias = loss.bias.clone();
      parameters.insert(problem.is_bias_first ? parameters.begin() : parameters.end(), loss.bias);
    }
    make_objective(ranks);
  }
  void make_objective(Ranks* ranks) {
    if (ranks == nullptr) {
      objective = std::make_unique<LinearObjective>(rows, loss, parameters);
    } else {
      objective = std::make_unique<ColumnObjective>(rows, loss, parameters, *ranks);
    }
  }

  MemoryRows rows;
  LinearLoss loss;
  std::vector<torch::Tensor> parameters;
  std::unique_ptr<Objective> objective;
};

/// Calls `work` as each of some ranks, each with the numbers of a process of its own.
void on_ranks(int64_t count, const std::function<void(Ranks&)>& work) {
  Meeting meeting(static_cast<size_t>(count));
  in_threads(static_cast<size_t>(count), [&](size_t r) {
    const torch::NoGradGuard no_grad;
    ThreadRank rank(meeting, r);
    work(rank);
  });
}

std::unique_ptr<Solver> solver_for(const std::string& name, const Worker& worker, double tol,
                                   int64_t max_iter = 3000) {
  auto optimizer = shipped_optimizers().make(
      name, Value::Object{{"tol", tol}, {"max_iter", max_iter}}, worker.parameters);
  return std::unique_ptr<Solver>(&dynamic_cast<Solver&>(*optimizer.release()));
}

TEST(ColumnPartsTest, make_up_the_whole_vector_also_if_columns_and_ranks_do_not_divide) {
  for (const int64_t bias_at : {-1, 0, 14}) {
    const ColumnParts::Layout layout{
        .outputs = 2, .features = 7, .weight_at = bias_at == 0 ? 2 : 0, .bias_at = bias_at};
    const auto whole = torch::arange(layout.size(), torch::kFloat);
    on_ranks(3, [&](Ranks& ranks) {
      ColumnParts parts(ranks, layout);
      const auto part = parts.part(whole);
      const bool has_bias = bias_at >= 0 && ranks.is_zero();
      EXPECT_EQ(part.numel(), (ranks.rank() == 2 ? 6 : 4) + (has_bias ? 2 : 0));
      EXPECT_TRUE(same_bits(parts.whole(part), whole));
      double sum[] = {part.sum().item<double>()};
      parts.sum(sum);
      EXPECT_EQ(sum[0], whole.sum().item<double>());
      EXPECT_EQ(parts.sent_bytes(), 2 * (part.numel() * 4 + 8));
      EXPECT_EQ(parts.largest(static_cast<double>(ranks.rank() % 2)), 1.0);
      const double nan = std::numeric_limits<double>::quiet_NaN();
      EXPECT_TRUE(std::isnan(parts.largest(ranks.rank() == 1 ? nan : 5.0)));
    });
  }
}

void expect_parts_of(const Problem& problem, int64_t count, const std::string& what) {
  const torch::NoGradGuard no_grad;
  Worker one(problem);
  torch::manual_seed(3);
  const auto point = 0.3 * torch::randn({one.objective->size()}, torch::kDouble);
  const auto vector = torch::randn_like(point);
  auto gradient = torch::empty_like(point);
  const double value = one.objective->evaluate(point, gradient);
  const auto product = one.objective->hessian_product(vector);
  const auto diagonal = one.objective->curvature_diagonal();
  on_ranks(count, [&](Ranks& ranks) {
    Worker own(problem, &ranks);
    auto& parts = *own.objective->parts();
    const auto is_part = [&](const torch::Tensor& part, const torch::Tensor& whole) {
      return torch::allclose(part, parts.part(whole), 1e-11, 1e-13);
    };
    auto own_gradient = torch::empty({own.objective->size()}, torch::kDouble);
    EXPECT_NEAR(own.objective->evaluate(parts.part(point), own_gradient), value, 1e-13) << what;
    EXPECT_TRUE(is_part(own_gradient, gradient)) << what;
    EXPECT_TRUE(is_part(own.objective->hessian_product(parts.part(vector)), product)) << what;
    EXPECT_TRUE(is_part(own.objective->curvature_diagonal(), diagonal)) << what;
    EXPECT_NEAR(own.objective->dot(own_gradient, parts.part(vector)),
                gradient.dot(vector).item<double>(), 1e-12);
    EXPECT_NEAR(own.objective->largest(own_gradient), gradient.abs().max().item<double>(), 1e-13);
    EXPECT_EQ(own.rows.passes(), 1) << "the columns are read once";
  });
}

TEST(ColumnObjectiveTest, has_the_parts_of_one_process_for_all_losses_penalties_and_rows) {
  using Kind = LinearLoss::Kind;
  for (const bool sparse : {false, true}) {
    for (const auto kind : {Kind::squared, Kind::logistic, Kind::softmax, Kind::one_vs_rest}) {
      auto it = random_problem(kind, 60, 23, kind == Kind::logistic ? 1 : 3, sparse);
      it.is_bias_first = sparse;
      expect_parts_of(it, 2, "two ranks");
      it.loss.bias = torch::Tensor();
      it.loss.l2_strength = 0.0;  // nothing but the outputs' sum is penalised then
      it.weights = torch::arange(60, torch::kFloat).remainder(4);
      if (kind != Kind::squared) {
        it.loss.class_weight =
            torch::tensor({1.0, 2.0, 3.0}).narrow(0, 0, kind == Kind::logistic ? 2 : 3);
      }
      if (kind == Kind::one_vs_rest)
        it.loss.class_weight = it.loss.class_weight.outer(it.loss.class_weight);
      expect_parts_of(it, 3, "three ranks, weights, no bias");
    }
  }
}

TEST(ColumnObjectiveTest, reads_bytes_and_chosen_rows_in_float32_until_its_precision_is_raised) {
  torch::manual_seed(5);
  const auto bytes = torch::randint(0, 256, {30'000, 71}, torch::kByte);
  Rows rows;
  std::vector<int64_t> numbers(29'000);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<int64_t>(29'999 - i);
  Rows(bytes, ByteScale{.scale = 1.0F / 255.0F}).select(numbers, rows);
  Problem it{.x = rows, .y = torch::randint(0, 10, {29'000}, torch::kLong)};
  it.batch_size = 29'000;
  it.loss = {.weight = torch::zeros({10, 71}), .bias = torch::zeros({10})};
  const auto point = 0.1 * torch::randn({10 * 72}, torch::kDouble);
  const auto run = [&](Objective& objective, const torch::Tensor& at) {
    std::vector<double> values;
    auto gradient = torch::empty_like(at);
    do {
      values.push_back(objective.evaluate(at, gradient));
    } while (objective.raise_precision());
    return values;
  };
  Worker one(it);
  const auto expected = run(*one.objective, point);
  ASSERT_EQ(expected.size(), 2U);
  on_ranks(2, [&](Ranks& ranks) {
    Worker own(it, &ranks);
    const auto values = run(*own.objective, own.objective->parts()->part(point));
    ASSERT_EQ(values.size(), 2U);
    EXPECT_NEAR(values[0], expected[0], 1e-7);
    EXPECT_NEAR(values[1], expected[1], 1e-13);
    EXPECT_EQ(own.objective->noise(), 1e-14);
  });
}

void expect_same_optimum(const Problem& problem, const std::string& name) {
  Worker one(problem);
  auto alone = solver_for(name, one, 1e-10);
  while (!alone->is_done()) alone->iterate(*one.objective);
  ASSERT_TRUE(alone->has_converged()) << name << " " << alone->outcome();
  for (const int64_t count : {2, 3}) {
    on_ranks(count, [&](Ranks& ranks) {
      Worker own(problem, &ranks);
      auto solver = solver_for(name, own, 1e-10);
      while (!solver->is_done()) solver->iterate(*own.objective);
      EXPECT_TRUE(solver->has_converged()) << name << " " << solver->outcome();
      EXPECT_NEAR(solver->objective(), alone->objective(), 1e-10 * alone->objective()) << name;
      EXPECT_LE((own.loss.weight - one.loss.weight).abs().max().item<double>(), 1e-7) << name;
      EXPECT_LE((own.loss.bias - one.loss.bias).abs().max().item<double>(), 1e-7) << name;
      EXPECT_TRUE(torch::equal(own.loss.weight == 0.0, one.loss.weight == 0.0)) << name;
      // Every rank has the whole weight, but keeps its own columns of the solver's vectors alone.
      const auto& weight = own.loss.weight;
      const auto text = std::string(static_cast<const char*>(weight.data_ptr()), weight.nbytes());
      for (const auto& other : ranks.gather(text)) EXPECT_TRUE(other == text);
      const int64_t columns =
          weight.size(1) * (ranks.rank() + 1) / count - weight.size(1) * ranks.rank() / count;
      for (const auto& [key, tensor] : solver->state_dict().tensors) {
        EXPECT_EQ(tensor.numel(), weight.size(0) * (columns + (ranks.is_zero() ? 1 : 0))) << key;
      }
    });
  }
}

TEST(ColumnObjectiveTest, solvers_over_ranks_find_the_optimum_of_one_process) {
  using Kind = LinearLoss::Kind;
  for (const char* name : {"lbfgs", "newton-cg", "trust-region"}) {
    expect_same_optimum(random_problem(Kind::softmax, 50, 61, 3, /*sparse=*/false), name);
    expect_same_optimum(random_problem(Kind::logistic, 40, 200, 1, /*sparse=*/true), name);
  }
  auto lasso = random_problem(Kind::logistic, 40, 100, 1, /*sparse=*/true);
  lasso.loss.l1_strength = 0.02;
  expect_same_optimum(lasso, "lbfgs");  // elastic net, by OWL-QN
  lasso.loss.l2_strength = 0.0;
  expect_same_optimum(lasso, "coordinate-descent-or-lbfgs");
}

TEST(ColumnObjectiveTest, states_are_whole_and_go_on_with_the_same_bits_or_on_other_ranks) {
  const auto problem = random_problem(LinearLoss::Kind::softmax, 50, 31, 3, /*sparse=*/true);
  Worker one(problem);
  auto alone = solver_for("newton-cg", one, 1e-10);
  while (!alone->is_done()) alone->iterate(*one.objective);
  const double optimum = alone->objective();
  for (const char* name : {"lbfgs", "trust-region"}) {
    SCOPED_TRACE(name);
    constexpr int64_t kAll = 7;
    torch::Tensor whole;
    StateDict state;
    on_ranks(3, [&](Ranks& ranks) {
      Worker own(problem, &ranks);
      auto solver = solver_for(name, own, 1e-12, kAll);
      for (int64_t i = 0; i < 4; ++i) solver->iterate(*own.objective);
      const auto saved = solver->whole_state(*own.objective).clone();
      EXPECT_EQ(saved.tensor("point").numel(), 3 * 32);
      if (ranks.is_zero()) state = saved;
      while (!solver->is_done()) solver->iterate(*own.objective);
      if (ranks.is_zero()) whole = own.loss.weight;
    });
    on_ranks(3, [&](Ranks& ranks) {
      Worker own(problem, &ranks);
      auto solver = solver_for(name, own, 1e-12, kAll);
      solver->load_state_dict(state);
      EXPECT_TRUE(same_bits(solver->whole_state(*own.objective).tensor("point"),
                            state.tensor("point")));  // before the first iteration, too
      while (!solver->is_done()) solver->iterate(*own.objective);
      EXPECT_EQ(solver->iterations(), kAll);
      if (ranks.is_zero()) {
        EXPECT_TRUE(same_bits(own.loss.weight, whole));
      }
    });
    const auto go_on = [&](Ranks* ranks) {
      Worker own(problem, ranks);
      auto solver = solver_for(name, own, 1e-9);
      solver->load_state_dict(state);
      while (!solver->is_done()) solver->iterate(*own.objective);
      EXPECT_TRUE(solver->has_converged()) << solver->outcome();
      EXPECT_GT(solver->iterations(), 4);
      EXPECT_NEAR(solver->objective(), optimum, 1e-10 * optimum);
    };
    on_ranks(2, [&](Ranks& ranks) { go_on(&ranks); });
    go_on(nullptr);  // in one process, which divides nothing
  }
}

TEST(ColumnObjectiveTest, what_cannot_be_divided_is_refused_before_anything_changes) {
  const auto problem = random_problem(LinearLoss::Kind::logistic, 30, 2, 1, /*sparse=*/false);
  on_ranks(3, [&](Ranks& ranks) {
    const auto message = message_of<ConfigError>([&] { Worker own(problem, &ranks); });
    EXPECT_TRUE(says(message, {"shard = features", "2 features", "3 ranks", "rows"}));
  });
  on_ranks(2, [&](Ranks& ranks) {
    for (const char* name :
         {"newton-cholesky", "coordinate-descent", "saga", "sag", "dual-coordinate-descent"}) {
      Worker own(problem, &ranks);
      auto solver = solver_for(name, own, 1e-6);
      const auto message = message_of<ConfigError>([&] { solver->iterate(*own.objective); });
      EXPECT_TRUE(says(message, {"shard = features", name, "lbfgs", "newton-cg"}));
      EXPECT_EQ(own.loss.weight.abs().sum().item<double>(), 0.0);
      EXPECT_EQ(own.rows.passes(), 0) << name;
    }
    auto wide = problem;
    wide.loss.weight = torch::zeros({1, 5}, torch::kDouble);
    Worker own(wide, &ranks);
    auto solver = solver_for("lbfgs", own, 1e-6);
    const auto message = message_of<DataError>([&] { solver->iterate(*own.objective); });
    EXPECT_TRUE(says(message, {"2", "input", "5", "in_features"}));
    auto targets = problem;
    targets.y = targets.y + 1;
    Worker with_targets(targets, &ranks);
    solver = solver_for("lbfgs", with_targets, 1e-6);
    message_of<DataError>([&] { solver->iterate(*with_targets.objective); });
  });
  const auto message = message_of<ConfigError>(
      [] { QuasiNewton solver({torch::zeros({2})}, {.shard = "columns"}); });
  EXPECT_TRUE(says(message, {"shard", "columns", "rows", "features"}));
}

}  // namespace
}  // namespace levin::column_objective_test
