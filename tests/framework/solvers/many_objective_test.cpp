// Many regressions at once against each of them alone.

#include <array>
#include <barrier>
#include <thread>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/all.h>
#include <levin/framework/solvers/linear_objective.h>
#include <levin/framework/solvers/many_objective.h>

#include "framework/message_of.h"
#include "framework/solvers/solver_cases.h"

namespace levin::many_objective_test {
namespace {

using test::message_of;
using Kind = LinearLoss::Kind;

/// Rows of one process with a group each.
class GroupedRows : public RowSource {
 public:
  explicit GroupedRows(std::vector<Batch> batches) : batches_(std::move(batches)) {}
  void pass(c10::function_ref<void(const Batch& batch)> use) override {
    for (const auto& batch : batches_) use(batch);
  }
  void sum(torch::Tensor& /*values*/) override {}

 private:
  std::vector<Batch> batches_;
};

/// One half of the rows, of two ranks that are threads; sums are added in the order of the ranks.
class ThreadRows : public RowSource {
 public:
  struct Meeting {
    std::barrier<> barrier{2};
    std::array<torch::Tensor, 2> own{};
  };
  ThreadRows(Meeting& meeting, size_t rank, Batch batch)
      : meeting_(meeting), rank_(rank), batch_(std::move(batch)) {}
  void pass(c10::function_ref<void(const Batch& batch)> use) override { use(batch_); }
  void sum(torch::Tensor& values) override {
    meeting_.own[rank_] = values;
    meeting_.barrier.arrive_and_wait();
    const auto all = meeting_.own[0] + meeting_.own[1];
    meeting_.barrier.arrive_and_wait();
    values.copy_(all);
  }

 private:
  Meeting& meeting_;
  size_t rank_;
  Batch batch_;
};

struct Data {
  torch::Tensor x = torch::randn({90, 5}, torch::kDouble);
  torch::Tensor y;  // [90, 2]
  torch::Tensor weights = torch::rand({90}, torch::kDouble) + 0.5;
  torch::Tensor group = torch::arange(90).remainder(3);

  explicit Data(Kind kind) {
    const auto noise = torch::randn({90, 2});
    const auto z = x.mm(torch::randn({5, 2}, torch::kDouble)) + noise;
    y = kind == Kind::squared ? z : z.gt(0.0).to(torch::kDouble);
  }
  std::vector<Batch> batches(int64_t size, const torch::Tensor& input) const {
    std::vector<Batch> all;
    for (int64_t i = 0; i < 90; i += size) {
      Batch batch;
      batch.set("input", input.narrow(0, i, size));
      batch.set("target", y.narrow(0, i, size));
      batch.set("weight", weights.narrow(0, i, size));
      batch.set("group", group.narrow(0, i, size));
      all.push_back(std::move(batch));
    }
    return all;
  }
};

ManyLosses zeros_for(ManyLosses losses, bool bias = true) {
  losses.weight = torch::zeros({losses.problems(), 5}, torch::kDouble);
  if (bias) losses.bias = torch::zeros({losses.problems()}, torch::kDouble);
  return losses;
}

std::vector<torch::Tensor> parameters_of(const ManyLosses& losses) {
  if (!losses.bias.defined()) return {losses.weight};
  return {losses.weight, losses.bias};
}

LockstepNewton minimise(RowSource& rows, const ManyLosses& losses, double tol = 1e-10) {
  ManyObjective objective(rows, losses, parameters_of(losses));
  LockstepNewton solver(parameters_of(losses), {.tol = tol});
  while (!solver.is_done()) solver.iterate(objective);
  EXPECT_EQ(solver.outcome(), "converged") << solver.gradient_norm();
  return solver;
}

/// Trains problem k alone and compares weights, bias, objective and the number of iterations.
void expect_like_alone(const Data& data, const ManyLosses& losses, const LockstepNewton& solver,
                       int64_t k) {
  SCOPED_TRACE("problem " + std::to_string(k));
  const int64_t strengths = losses.strengths_count();
  auto rows = torch::arange(90);
  if (losses.groups > 0) {
    rows = data.group.eq(k / losses.problems_a_group()).nonzero().squeeze(1);
  }
  const auto y = data.y.narrow(1, k / strengths % losses.columns, 1).index_select(0, rows);
  const auto weights = data.weights.index_select(0, rows);
  const double strength = losses.strengths[static_cast<size_t>(k % strengths)];
  LinearLoss loss{.kind = losses.kind,
                  .weight = torch::zeros({1, 5}, torch::kDouble),
                  .bias = losses.bias.defined() ? torch::zeros({1}, torch::kDouble) : losses.bias};
  const double scale = strength * weights.sum().item<double>();
  loss.l2_strength = losses.are_c ? 0.5 * (1.0 - losses.l1_ratio) / scale : strength;
  if (losses.has_l1()) {
    loss.l1_strength = losses.are_c ? losses.l1_ratio / scale
                                    : losses.l1_strengths[static_cast<size_t>(k % strengths)];
  }
  std::vector<torch::Tensor> parameters{loss.weight};
  if (loss.bias.defined()) parameters.push_back(loss.bias);
  test::MemoryRows own(data.x.index_select(0, rows),
                       losses.kind == Kind::squared ? y : y.squeeze(1), 1 << 20, weights);
  LinearObjective objective(own, loss, parameters);
  NewtonCholesky newton(parameters, {.tol = 1e-10});
  CoordinateDescent descent(parameters, {.tol = 1e-10});
  Solver& alone = losses.has_l1() ? static_cast<Solver&>(descent) : newton;
  while (!alone.is_done()) alone.iterate(objective);
  ASSERT_EQ(alone.outcome(), "converged");
  const double value = solver.objectives()[k].item<double>();
  EXPECT_NEAR(value, alone.objective(), 1e-10 * alone.objective());
  EXPECT_LE((losses.weight[k] - loss.weight[0]).abs().max().item<double>(), 1e-7);
  if (loss.bias.defined()) {
    EXPECT_NEAR(losses.bias[k].item<double>(), loss.bias.item<double>(), 1e-7);
  }
  EXPECT_TRUE(torch::equal(losses.weight[k].eq(0), loss.weight[0].eq(0)));
  if (losses.has_l1()) return;
  EXPECT_EQ(solver.iterations_each()[k].item<int64_t>(), alone.iterations());
}

void expect_all_like_alone(const Data& data, const ManyLosses& losses, const torch::Tensor& input,
                           int64_t batch_size) {
  GroupedRows rows(data.batches(batch_size, input));
  const auto solver = minimise(rows, losses);
  for (int64_t k = 0; k < losses.problems(); ++k) expect_like_alone(data, losses, solver, k);
}

TEST(ManyObjective, gives_each_column_and_strength_what_it_gets_alone) {
  for (const auto kind : {Kind::logistic, Kind::squared}) {
    torch::manual_seed(1);
    const Data data(kind);
    const ManyLosses losses{.kind = kind, .columns = 2, .strengths = {0.0, 1e-4, 0.01, 0.1, 1.0}};
    expect_all_like_alone(data, zeros_for(losses), data.x, 30);
    expect_all_like_alone(data, zeros_for(losses, /*bias=*/false), data.x, 90);
  }
}

TEST(ManyObjective, shows_the_regressions_of_a_group_the_rows_of_the_group_alone) {
  for (const auto kind : {Kind::logistic, Kind::squared}) {
    torch::manual_seed(2);
    const Data data(kind);
    const ManyLosses losses{
        .kind = kind, .groups = 3, .columns = 2, .strengths = {0.1, 1.0}, .are_c = true};
    expect_all_like_alone(data, zeros_for(losses), data.x, 45);
  }
}

TEST(ManyObjective, gives_each_with_an_l1_penalty_what_it_gets_alone) {
  for (const auto kind : {Kind::logistic, Kind::squared}) {
    torch::manual_seed(9);
    const Data data(kind);
    const auto lasso = zeros_for({.kind = kind,
                                  .columns = 2,
                                  .strengths = {0.0, 0.1, 0.0, 0.0},
                                  .l1_strengths = {1e-3, 0.03, 0.1, 5.0}});
    expect_all_like_alone(data, lasso, data.x, 30);
    EXPECT_EQ(lasso.weight[3].count_nonzero().item<int64_t>(), 0);
    EXPECT_GT(lasso.weight[0].count_nonzero().item<int64_t>(), 0);
    const ManyLosses grouped{.kind = kind,
                             .groups = 3,
                             .columns = 2,
                             .strengths = {0.05, 1.0},
                             .are_c = true,
                             .l1_ratio = 0.5};
    expect_all_like_alone(data, zeros_for(grouped, /*bias=*/false), data.x, 90);
  }
}

TEST(ManyObjective, takes_sparse_rows) {
  torch::manual_seed(3);
  Data data(Kind::logistic);
  data.x = data.x.to(torch::kFloat).to(torch::kDouble);
  data.x.masked_fill_(torch::rand_like(data.x).lt(0.4), 0.0);
  const auto sparse = data.x.to(torch::kFloat).to_sparse_csr();
  Batch batch = data.batches(90, data.x).front();
  batch.set("input", Rows(sparse));
  for (const int64_t groups : {0, 3}) {
    const auto losses = zeros_for({.groups = groups, .columns = 2, .strengths = {0.01, 0.1}});
    GroupedRows rows({batch});
    const auto solver = minimise(rows, losses);
    for (int64_t k = 0; k < losses.problems(); ++k) expect_like_alone(data, losses, solver, k);
  }
}

TEST(ManyObjective, sums_over_ranks_that_share_the_rows) {
  torch::manual_seed(8);
  const Data data(Kind::logistic);
  for (const int64_t groups : {0, 3}) {
    const ManyLosses made{.groups = groups, .columns = 2, .strengths = {0.01, 0.1}};
    const auto whole = zeros_for(made);
    GroupedRows rows(data.batches(90, data.x));
    const auto one = minimise(rows, whole);
    const std::array parts{zeros_for(made), zeros_for(made)};
    std::array<torch::Tensor, 2> objectives;
    ThreadRows::Meeting meeting;
    const auto halves = data.batches(45, data.x);
    std::vector<std::thread> ranks;
    for (size_t rank = 0; rank < 2; ++rank) {
      ranks.emplace_back([&, rank] {
        ThreadRows own(meeting, rank, halves[rank]);
        objectives[rank] = minimise(own, parts[rank]).objectives();
      });
    }
    for (auto& rank : ranks) rank.join();
    EXPECT_TRUE(torch::equal(parts[0].weight, parts[1].weight));
    EXPECT_TRUE(torch::equal(parts[0].bias, parts[1].bias));
    EXPECT_LE((objectives[0] / one.objectives() - 1.0).abs().max().item<double>(), 1e-10);
    EXPECT_LE((parts[0].weight - whole.weight).abs().max().item<double>(), 1e-8);
  }
}

TEST(ManyObjective, has_the_hessian_of_its_gradient) {
  torch::manual_seed(4);
  const Data data(Kind::logistic);
  const auto losses = zeros_for({.groups = 3, .columns = 2, .strengths = {0.01, 0.1}});
  GroupedRows rows(data.batches(90, data.x));
  ManyObjective objective(rows, losses, parameters_of(losses));
  const auto point = torch::randn({objective.size()}, torch::kDouble);
  const auto direction = torch::randn_like(point);
  auto ahead = torch::empty_like(point);
  auto behind = torch::empty_like(point);
  objective.evaluate(point + 1e-5 * direction, ahead);
  objective.evaluate(point - 1e-5 * direction, behind);
  objective.evaluate(point, torch::empty_like(point));
  const auto expected = (ahead - behind) / 2e-5;
  EXPECT_LE((objective.hessian_product(direction) - expected).abs().max().item<double>(), 1e-8);
}

TEST(ManyObjective, can_be_minimised_as_a_sum_by_any_solver) {
  torch::manual_seed(5);
  const Data data(Kind::logistic);
  const auto losses = zeros_for({.columns = 2, .strengths = {0.01, 0.1}});
  const auto same = zeros_for({.columns = 2, .strengths = {0.01, 0.1}});
  GroupedRows rows(data.batches(30, data.x));
  minimise(rows, losses);
  ManyObjective objective(rows, same, parameters_of(same));
  QuasiNewton solver(parameters_of(same), {.tol = 1e-9});
  while (!solver.is_done()) solver.iterate(objective);
  EXPECT_LE((losses.weight - same.weight).abs().max().item<double>(), 1e-6);
}

TEST(ManyObjective, with_l1_penalties_can_be_minimised_as_a_sum_by_owl_qn) {
  torch::manual_seed(5);
  const Data data(Kind::logistic);
  const ManyLosses made{.columns = 2, .strengths = {0.1, 1.0}, .are_c = true, .l1_ratio = 1.0};
  const auto losses = zeros_for(made);
  const auto same = zeros_for(made);
  GroupedRows rows(data.batches(30, data.x));
  minimise(rows, losses);
  ManyObjective objective(rows, same, parameters_of(same));
  QuasiNewton solver(parameters_of(same), {.tol = 1e-8});
  while (!solver.is_done()) solver.iterate(objective);
  EXPECT_LE((losses.weight - same.weight).abs().max().item<double>(), 1e-5);
  EXPECT_TRUE(torch::equal(losses.weight.eq(0), same.weight.eq(0)));
}

TEST(LockstepNewton, goes_on_from_a_saved_state_with_the_same_bits) {
  torch::manual_seed(6);
  const Data data(Kind::logistic);
  const ManyLosses made{
      .columns = 2, .strengths = {1e-5, 1e-3, 0.1}, .l1_strengths = {0.0, 1e-3, 0.05}};
  const auto whole = zeros_for(made);
  GroupedRows rows(data.batches(30, data.x));
  const auto straight = minimise(rows, whole, 1e-6);
  const auto parts = zeros_for(made);
  StateDict state;
  for (int64_t i = 0; i < straight.iterations(); ++i) {
    ManyObjective objective(rows, parts, parameters_of(parts));
    LockstepNewton solver(parameters_of(parts), {.tol = 1e-6});
    if (i > 0) solver.load_state_dict(state);
    solver.iterate(objective);
    state = solver.state_dict().clone();
  }
  EXPECT_TRUE(torch::equal(whole.weight, parts.weight));
  EXPECT_TRUE(torch::equal(state.tensor("iterations_each"), straight.iterations_each()));
  // Strong penalties need fewer iterations than weak ones.
  EXPECT_LT(straight.iterations_each()[2].item<int64_t>(),
            straight.iterations_each()[0].item<int64_t>());
}

TEST(LockstepNewton, refuses_what_is_not_many_regressions) {
  torch::manual_seed(7);
  Data data(Kind::logistic);
  const auto refusal = [&](const ManyLosses& losses) {
    return message_of<DataError>([&] {
      GroupedRows rows(data.batches(90, data.x));
      minimise(rows, losses);
    });
  };
  data.y[4][1] = 2.0;
  EXPECT_NE(refusal(zeros_for({.columns = 2})).find("1 targets of column 1 are neither 0 nor 1"),
            std::string::npos);
  data.y.select(1, 1).fill_(1.0);
  EXPECT_NE(refusal(zeros_for({.groups = 3, .columns = 2}))
                .find("all training rows of group 0 have the target 1 in column 1"),
            std::string::npos);
  EXPECT_NE(refusal(zeros_for({.groups = 2, .columns = 2})).find("the group is 2"),
            std::string::npos)
      << refusal(zeros_for({.groups = 2, .columns = 2}));
  EXPECT_NE(refusal(zeros_for({.columns = 3})).find("the regressions are for 3 of them"),
            std::string::npos);
  LinearLoss loss{.kind = Kind::logistic, .weight = torch::zeros({1, 5}, torch::kDouble)};
  test::MemoryRows rows(data.x, data.y.select(1, 0));
  LinearObjective objective(rows, loss, {loss.weight});
  LockstepNewton solver({loss.weight});
  EXPECT_NE(message_of<ConfigError>([&] {
              solver.iterate(objective);
            }).find("use it with ManyRegressions"),
            std::string::npos);
}

}  // namespace
}  // namespace levin::many_objective_test
