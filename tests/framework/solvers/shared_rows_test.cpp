// Solvers that look at single rows or features, over rows that ranks share.
#include <algorithm>
#include <barrier>
#include <cmath>
#include <thread>
#include <utility>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/solvers/all.h>
#include <levin/framework/solvers/linear_objective.h>
#include <levin/framework/solvers/quadratic_descent.h>

#include "framework/solvers/solver_cases.h"
#include "framework/support.h"

namespace levin::shared_rows_test {
namespace {

using Kind = LinearLoss::Kind;

/// Where ranks that are threads meet.
struct Meeting {
  explicit Meeting(size_t ranks) : own(ranks), barrier(static_cast<std::ptrdiff_t>(ranks)) {}
  std::vector<torch::Tensor> own;
  std::barrier<> barrier;
};

/// The rows of one of several ranks.
class RankRows final : public RowSource {
 public:
  RankRows(Meeting& meeting, size_t rank, std::vector<Batch> batches)
      : meeting_(meeting), rank_(rank), batches_(std::move(batches)) {}
  void pass(c10::function_ref<void(const Batch& batch)> use) override {
    for (const auto& batch : batches_) use(batch);
  }
  void sum(torch::Tensor& values) override {
    meeting_.own[rank_] = values;
    meeting_.barrier.arrive_and_wait();
    auto all = meeting_.own[0].clone();
    for (size_t r = 1; r < meeting_.own.size(); ++r) all.add_(meeting_.own[r]);
    meeting_.barrier.arrive_and_wait();
    values.copy_(all);
    sent_ += values.numel();
  }
  int64_t ranks() const override { return std::ssize(meeting_.own); }
  int64_t rank() const override { return static_cast<int64_t>(rank_); }
  int64_t sent() const { return sent_; }

 private:
  Meeting& meeting_;
  size_t rank_;
  std::vector<Batch> batches_;
  int64_t sent_ = 0;
};

/// Rows with weights of which some are 0, as `sizes` gives them to the ranks.
struct Shared {
  Shared(Kind kind, int64_t features, std::vector<int64_t> rank_rows, double share = 1.0)
      : sizes(std::move(rank_rows)) {
    torch::manual_seed(5);
    int64_t count = 0;
    for (const int64_t size : sizes) count += size;
    x = torch::randn({count, features}, torch::kDouble) + 0.3;
    x.mul_(torch::rand({count, features}, torch::kDouble).lt(share));
    weights = torch::rand({count}, torch::kDouble) + 0.5;
    weights.narrow(0, 0, 3).zero_();
    const bool has_classes = kind == Kind::softmax || kind == Kind::one_vs_rest;
    outputs = has_classes ? 3 : 1;
    const auto z = x.narrow(1, 0, 5).mm(torch::randn({5, outputs}, torch::kDouble)) +
                   torch::randn({count, outputs}, torch::kDouble);
    y = kind == Kind::squared ? z
        : has_classes         ? z.argmax(1)
                              : z.gt(0.4).select(1, 0).to(torch::kLong);
    loss.kind = kind;
    if (kind == Kind::one_vs_rest) loss.class_weight = torch::rand({3, 3}, torch::kDouble) + 0.5;
  }

  struct Fit {
    torch::Tensor weight{};
    torch::Tensor bias{};
    double objective = 0.0;
    int64_t iterations = 0;
    bool has_converged = false;
    int64_t sent = 0;
  };

  /// Trains on `ranks` ranks, each of which stops and goes on from its state after `stop`
  /// iterations.
  std::vector<Fit> fit(const std::string& solver, size_t ranks, int64_t stop = 0,
                       int64_t max_iter = 3000, double tol = 1e-9) const {
    Meeting meeting(ranks);
    std::vector<Fit> fits(ranks);
    std::vector<std::thread> threads;
    for (size_t r = 0; r < ranks; ++r) {
      threads.emplace_back([&, r] {
        auto& own = fits[r];
        own.weight = torch::zeros({outputs, x.size(1)}, torch::kDouble);
        own.bias = torch::zeros({outputs}, torch::kDouble);
        auto own_loss = loss;
        own_loss.weight = own.weight;
        own_loss.bias = own.bias;
        RankRows rows(meeting, r, batches(ranks == 1 ? -1 : static_cast<int64_t>(r)));
        const auto make = [&] {
          return shipped_optimizers().make(
              solver, Value::Object{{"tol", tol}, {"max_iter", max_iter}}, {own.weight, own.bias});
        };
        const auto make_objective = [&] {
          const std::vector parameters{own.weight, own.bias};
          auto made = std::make_unique<LinearObjective>(rows, own_loss, parameters);
          if (most_shared == 0) return made;
          const auto start = torch::zeros({made->size()}, torch::kDouble);
          made->evaluate(start, torch::empty_like(start));
          std::string reason;
          made->linear(reason, x.numel())->most_shared = most_shared;
          return made;
        };
        auto optimizer = make();
        auto objective = make_objective();
        auto* it = dynamic_cast<Solver*>(optimizer.get());
        while (!it->is_done()) {
          it->iterate(*objective);
          if (it->iterations() != stop) continue;
          const auto state = it->state_dict().clone();
          const auto own_state = it->own_state().clone();
          optimizer = make();
          it = dynamic_cast<Solver*>(optimizer.get());
          it->load_state_dict(state);
          it->load_own_state(own_state);
          objective = make_objective();
        }
        own.objective = it->objective();
        own.iterations = it->iterations();
        own.has_converged = it->has_converged();
        own.sent = rows.sent();
      });
    }
    for (auto& thread : threads) thread.join();
    return fits;
  }

  /// All rows, or those of a rank.
  std::vector<Batch> batches(int64_t rank) const {
    std::vector<Batch> all;
    int64_t first = 0;
    for (int64_t r = 0; r < std::ssize(sizes); ++r) {
      const int64_t size = sizes[static_cast<size_t>(r)];
      if (size > 0 && (rank < 0 || rank == r)) {
        Batch batch;
        const auto own = x.narrow(0, first, size);
        batch.set("input", is_sparse ? Rows(own.to(torch::kFloat).to_sparse_csr()) : Rows(own));
        batch.set("target", y.narrow(0, first, size));
        batch.set("weight", weights.narrow(0, first, size));
        all.push_back(std::move(batch));
      }
      first += size;
    }
    return all;
  }

  std::vector<int64_t> sizes;
  torch::Tensor x, y, weights;
  int64_t outputs = 1;
  bool is_sparse = false;
  int64_t most_shared = 0;  // of LinearProblem; 0: as it is
  LinearLoss loss{};
};

/// Compares a fit over all ranks with one of a single process.
void expect_like_one(const Shared& it, const std::string& solver) {
  const auto one = it.fit(solver, 1).front();
  const auto many = it.fit(solver, it.sizes.size());
  EXPECT_TRUE(one.has_converged);
  for (const auto& each : many) {
    EXPECT_TRUE(each.has_converged) << solver << " after " << each.iterations;
    EXPECT_NEAR(each.objective, one.objective, 1e-10 * one.objective);
    EXPECT_TRUE(torch::allclose(each.weight, one.weight, 0.0, 1e-5));
    EXPECT_TRUE(torch::allclose(each.bias, one.bias, 0.0, 1e-5));
    EXPECT_TRUE(torch::equal(each.weight == 0.0, one.weight == 0.0)) << solver;
    EXPECT_TRUE(test::same_bits(each.weight, many.front().weight));
    EXPECT_TRUE(test::same_bits(each.bias, many.front().bias));
  }
}

TEST(SharedRows, equal_one_process_for_every_loss_also_if_a_rank_has_no_rows) {
  for (const auto kind : {Kind::squared, Kind::logistic, Kind::softmax, Kind::one_vs_rest}) {
    Shared it(kind, 6, {37, 0, 24});
    it.loss.l2_strength = 0.2;
    for (const char* solver :
         {"coordinate-descent", "sag", "saga", "dual-coordinate-descent", "lbfgs", "newton-cg"}) {
      if (kind == Kind::softmax && std::string(solver) == "dual-coordinate-descent") continue;
      SCOPED_TRACE(std::string(solver) + " " + std::to_string(static_cast<int>(kind)));
      expect_like_one(it, solver);
    }
  }
}

TEST(SharedRows, have_the_zero_pattern_of_one_process) {
  for (const auto kind : {Kind::logistic, Kind::softmax}) {
    for (const bool is_sparse : {false, true}) {
      Shared it(kind, 20, {60, 51}, is_sparse ? 0.3 : 1.0);
      it.is_sparse = is_sparse;
      if (is_sparse) it.x.copy_(it.x.to(torch::kFloat));
      it.loss.l1_strength = 0.03;
      it.loss.l2_strength = 0.02;
      const auto zeros = it.fit("coordinate-descent", 2).front().weight.eq(0.0).sum();
      EXPECT_GT(zeros.item<int64_t>(), 3);
      EXPECT_LT(zeros.item<int64_t>(), 20 * it.outputs - 3);
      for (const char* solver : {"coordinate-descent", "saga"}) {
        SCOPED_TRACE(std::string(solver) + (is_sparse ? " sparse " : " dense ") +
                     std::to_string(static_cast<int>(kind)));
        expect_like_one(it, solver);
      }
    }
  }
}

TEST(SharedRows, dual_coordinate_descent_adds_up_the_changes_of_sparse_rows) {
  Shared it(Kind::logistic, 30, {40, 61, 7}, 0.2);
  it.is_sparse = true;
  it.x.copy_(it.x.to(torch::kFloat));
  it.loss.l2_strength = 0.05;
  expect_like_one(it, "dual-coordinate-descent");
  expect_like_one(it, "sag");
}

TEST(SharedRows, coordinate_descent_takes_the_iterations_of_one_process) {
  Shared it(Kind::softmax, 20, {60, 51});
  it.loss.l1_strength = 0.02;
  const auto one = it.fit("coordinate-descent", 1).front();
  const auto two = it.fit("coordinate-descent", 2).front();
  EXPECT_LE(std::abs(two.iterations - one.iterations), 1);
  EXPECT_LT(two.iterations, 15);
}

// More entries should move than the matrix of their second derivatives may have.
TEST(SharedRows, coordinate_descent_takes_many_features_in_parts) {
  Shared it(Kind::logistic, 150, {14, 12});
  it.most_shared = 60;
  it.loss.l1_strength = 0.001;
  it.loss.l2_strength = 10.0;
  const auto one = it.fit("coordinate-descent", 1, 0, 100, 2e-6).front();
  const auto two = it.fit("coordinate-descent", 2, 0, 100, 2e-6).front();
  EXPECT_TRUE(two.has_converged);
  EXPECT_NEAR(two.objective, one.objective, 1e-10 * one.objective);
  EXPECT_GT(one.weight.ne(0.0).sum().item<int64_t>(), 60);
  EXPECT_TRUE(torch::equal(two.weight == 0.0, one.weight == 0.0));
}

TEST(SharedRows, make_auto_descend_by_coordinates_only_if_the_matrix_is_small) {
  Shared few(Kind::softmax, 20, {60, 51});
  few.loss.l1_strength = 0.02;
  EXPECT_LT(few.fit("coordinate-descent-or-lbfgs", 2).front().iterations, 15);
  Shared many(Kind::logistic, 2100, {14, 12});
  many.loss.l1_strength = 0.05;
  const auto fit = many.fit("coordinate-descent-or-lbfgs", 2, 0, 100, 1e-3).front();
  EXPECT_TRUE(fit.has_converged);
  EXPECT_LT(fit.sent, 1'000'000) << "numbers; a matrix of 2,048 columns has twice as many";
}

// Ranks whose rows are nothing like each other: averages of what each of them would do lead away
// from the minimum, unless the ranks take fewer steps.
TEST(SharedRows, sag_and_saga_converge_if_the_ranks_have_different_rows) {
  Shared it(Kind::logistic, 6, {60, 60});
  it.x.narrow(0, 0, 60).narrow(1, 0, 3).zero_();
  it.x.narrow(0, 60, 60).narrow(1, 3, 3).zero_();
  it.x.narrow(0, 60, 60).mul_(4.0);
  it.loss.l2_strength = 0.02;
  for (const char* solver : {"sag", "saga"}) {
    SCOPED_TRACE(solver);
    expect_like_one(it, solver);
  }
}

TEST(SharedRows, resume_with_the_same_bits) {
  for (const char* solver : {"coordinate-descent", "sag", "saga", "dual-coordinate-descent"}) {
    SCOPED_TRACE(solver);
    Shared it(Kind::logistic, 8, {70, 0, 41});
    it.loss.l2_strength = 0.001;
    constexpr int64_t kIterations = 6;
    const auto whole = it.fit(solver, 3, 0, kIterations, 1e-13);
    for (const int64_t stop : {1, 4}) {
      const auto resumed = it.fit(solver, 3, stop, kIterations, 1e-13);
      for (size_t r = 0; r < 3; ++r) {
        EXPECT_TRUE(test::same_bits(resumed[r].weight, whole[r].weight)) << stop;
        EXPECT_TRUE(test::same_bits(resumed[r].bias, whole[r].bias)) << stop;
      }
    }
  }
}

TEST(QuadraticDescent, finds_the_minimum_where_the_least_subgradient_is_0) {
  torch::manual_seed(3);
  constexpr int64_t kCount = 30;
  const auto x = torch::randn({40, kCount}, torch::kDouble);
  const auto h = x.t().mm(x).add_(5.0);  // entries that depend on each other
  const auto slopes = 10.0 * torch::randn({kCount}, torch::kDouble);
  const auto start = torch::arange(kCount).remainder(3).eq(0).to(torch::kDouble) * 0.2;
  auto strengths = torch::full({kCount}, 8.0, torch::kDouble);
  strengths[0] = 0.0;
  auto point = start.clone();
  auto slope_there = slopes + 0.2 * start;
  minimise_quadratic(h + 0.2 * torch::eye(kCount, torch::kDouble), strengths, point, slope_there,
                     1e-10, 1000);
  const auto smooth = h.mv(point - start) + slopes + 0.2 * point;
  int64_t zeros = 0;
  for (int64_t j = 0; j < kCount; ++j) {
    const double slope = smooth[j].item<double>();
    const double entry = point[j].item<double>();
    const double l1 = j == 0 ? 0.0 : 8.0;
    zeros += entry == 0.0 ? 1 : 0;
    if (entry == 0.0) {
      EXPECT_LE(std::abs(slope), l1 + 1e-8) << j;
    } else {
      EXPECT_NEAR(slope + std::copysign(l1, entry), 0.0, 1e-8) << j;
    }
  }
  EXPECT_GT(zeros, 3);
  EXPECT_LT(zeros, kCount - 3);
}

}  // namespace
}  // namespace levin::shared_rows_test
