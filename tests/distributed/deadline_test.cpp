// Steps that are taken without late ranks, each rank a thread of this process. A rank is late
// because it waits at a gate until the others have gone on.
#include <array>
#include <chrono>
#include <cmath>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/run/module.h>
#include <levin/framework/strategies/deadline_strategy.h>

#include "distributed/gate.h"
#include "distributed/ranks_as_threads.h"
#include "framework/message_of.h"

namespace levin::deadline_test {

using test::as_ranks;
using test::Gate;
using test::message_of;

/// Least squares in float64.
class Line : public Module {
 public:
  Line() : linear_(register_module("linear", torch::nn::Linear(3, 1))) {
    to(torch::kDouble);
    const torch::NoGradGuard no_grad;
    linear_->weight.copy_(torch::tensor({{0.3, -0.2, 0.1}}, torch::kDouble));
    linear_->bias.zero_();
    seen_ = register_buffer("seen", torch::zeros({}, torch::kLong));
  }
  torch::Tensor loss(const torch::Tensor& x) {
    seen_ += 1;
    return (linear_(x) - 2.0 * x.sum(1, true)).square().mean();
  }
  torch::Tensor training_step(const Batch& batch, Step&) override { return loss(batch.input()); }
  Optimizers configure_optimizers() override { return {}; }
  std::vector<torch::Tensor> weights() const { return {linear_->weight, linear_->bias}; }
  torch::Tensor flat() const {
    return torch::cat({linear_->weight.view(-1), linear_->bias}).detach();
  }
  int64_t seen() const { return seen_.item<int64_t>(); }

 private:
  torch::nn::Linear linear_;
  torch::Tensor seen_;
};

/// One row on rank 0 and 100 rows on rank 1, so that a number of rows says whose they are.
constexpr std::array<int64_t, 2> kRows{1, 100};
constexpr double kAllRows = 101.0;

torch::Tensor rows(size_t rank, int64_t step) {
  const auto seed = static_cast<uint64_t>(1000 * rank) + static_cast<uint64_t>(step);
  return torch::randn({kRows[rank], 3}, at::detail::createCPUGenerator(seed), torch::kDouble);
}

torch::optim::SGD sgd(const Line& line) {
  return torch::optim::SGD(line.weights(), torch::optim::SGDOptions(0.05).momentum(0.5));
}

/// What a rank has seen of its steps.
struct Seen {
  std::vector<bool> computed;              // whether it had gradients in a step
  std::vector<std::vector<int64_t>> late;  // the late ranks of each step
  std::vector<double> rows;                // in each sum
  std::vector<torch::Tensor> weights;      // after each step
  StateDict state;                         // after the step in which it was late first
};

/// Trains as one of two ranks, in the loop of a user. `wait` runs in training_step.
Seen train(DeadlineStrategy& strategy, Line& line, int64_t steps,
           const std::function<void(int64_t step)>& wait,
           const std::function<void(int64_t step)>& done) {
  Seen seen;
  auto optimizer = sgd(line);
  auto& late = *strategy.late_gradients();
  const auto rank = static_cast<size_t>(strategy.ranks().rank());
  for (int64_t step = 0; step < steps; ++step) {
    late.begin_window(kAllRows);
    optimizer.zero_grad();
    const auto own = static_cast<double>(kRows[rank]);
    torch::Tensor loss;
    if (!late.is_behind()) {
      wait(step);
      loss = line.loss(rows(rank, step));
    }
    const auto summed = strategy.backward(line, loss, loss.defined() ? own / kAllRows : 0.0,
                                          loss.defined() ? own : 0.0);
    seen.computed.push_back(loss.defined());
    seen.rows.push_back(summed.value());
    seen.late.emplace_back();
    for (const auto count : late.take_late_steps()) seen.late.back().push_back(count);
    if (seen.late.back()[rank] == 1 && seen.state.empty()) seen.state = strategy.own_state();
    if (*summed > 0.0) {
      const torch::NoGradGuard no_grad;
      for (auto& weight : line.weights()) weight.mutable_grad().mul_(kAllRows / *summed);
      optimizer.step();
    }
    seen.weights.push_back(line.flat().clone());
    done(step);
  }
  return seen;
}

/// The same steps in one process, from what the ranks have seen: by hand.
void expect_steps_by_hand(const std::array<Seen, 2>& seen, bool folds) {
  Line line;
  auto optimizer = sgd(line);
  std::array<double, 2> pending_rows{};
  std::array<torch::Tensor, 2> pending;  // sums over rows of gradients that are late
  for (auto& each : pending) each = torch::zeros({4}, torch::kDouble);
  const auto gradient = [&](size_t rank, int64_t step) {
    optimizer.zero_grad();
    line.loss(rows(rank, step)).backward();
    return torch::cat({line.weights()[0].grad().view(-1), line.weights()[1].grad()}) *
           static_cast<double>(kRows[rank]);
  };
  for (size_t step = 0; step < seen[0].rows.size(); ++step) {
    auto sum = torch::zeros({4}, torch::kDouble);
    double count = 0.0;
    std::array<torch::Tensor, 2> late{};
    for (const size_t rank : {0U, 1U}) {
      if (!seen[rank].computed[step]) continue;
      const auto own = gradient(rank, static_cast<int64_t>(step));
      if (seen[0].late[step][rank] == 0) {
        sum += own;
        count += static_cast<double>(kRows[rank]);
      } else {
        late[rank] = own;
      }
    }
    const double folded = seen[0].rows[step] - count;
    if (!folds) {
      EXPECT_EQ(folded, 0.0) << "step " << step;
    }
    const std::array<double, 2> parts{std::fmod(folded, 100.0), folded - std::fmod(folded, 100.0)};
    for (const size_t rank : {0U, 1U}) {
      if (parts[rank] > 0.0) {
        EXPECT_EQ(parts[rank], pending_rows[rank]) << "step " << step << ", rank " << rank;
        sum += pending[rank];
        pending[rank].zero_();
        pending_rows[rank] = 0.0;
      }
      if (late[rank].defined() && folds) {
        pending[rank] += late[rank];
        pending_rows[rank] += static_cast<double>(kRows[rank]);
      }
    }
    if (seen[0].rows[step] > 0.0) {
      optimizer.zero_grad();
      const torch::NoGradGuard no_grad;
      const auto mean = sum / seen[0].rows[step];
      line.weights()[0].mutable_grad() = mean.narrow(0, 0, 3).view({1, 3}).clone();
      line.weights()[1].mutable_grad() = mean.narrow(0, 3, 1).clone();
      optimizer.step();
    }
    for (const auto& each : seen) {
      EXPECT_LE((each.weights[step] - line.flat()).abs().max().item<double>(), 1e-12)
          << "step " << step;
    }
    EXPECT_TRUE(torch::equal(seen[1].weights[step], seen[0].weights[step])) << "step " << step;
    EXPECT_EQ(seen[1].late[step], seen[0].late[step]);
    EXPECT_EQ(seen[1].rows[step], seen[0].rows[step]);
  }
}

GradientDeadline deadline(double seconds, bool folds, int64_t warmup_steps = 1,
                          int64_t max_steps_behind = 20) {
  return {.options = {.seconds = seconds,
                      .warmup_steps = warmup_steps,
                      .max_steps_behind = max_steps_behind},
          .folds = folds};
}

/// Rank 1 is late in steps 2 to 4: it computes step 2 until rank 0 has taken step 4.
std::array<Seen, 2> train_with_a_late_rank(bool folds) {
  std::array<Seen, 2> seen;
  Gate gate;
  as_ranks(2, [&](const Cluster& cluster) {
    DeadlineStrategy strategy(cluster, at::kCPU, {}, deadline(0.02, folds));
    Line line;
    strategy.setup(line);
    const auto rank = static_cast<size_t>(cluster.rank);
    seen[rank] = train(
        strategy, line, 12,
        [&](int64_t step) {
          if (rank == 1 && step == 2) gate.wait_for(5);
        },
        [&](int64_t step) {
          if (rank == 0) gate.raise_to(step + 1);
        });
    const int64_t seen_by_rank = line.seen();
    strategy.late_gradients()->meet();
    if (rank == 0) {
      EXPECT_EQ(line.seen(), seen_by_rank);
    }
    gate.raise_to(rank == 0 ? 1000 + line.seen() : 0);
    gate.wait_for(1000);
    EXPECT_EQ(line.seen(), gate.number() - 1000) << "rank 0's buffers, after a meeting";
    strategy.ranks().barrier();
    strategy.teardown(line);
  });
  for (const int64_t step : {2, 3, 4}) {
    EXPECT_EQ(seen[0].late[static_cast<size_t>(step)][1], 1) << "step " << step;
    EXPECT_EQ(seen[1].computed[static_cast<size_t>(step)], step == 2);
  }
  EXPECT_EQ(seen[0].late[0], std::vector<int64_t>({0, 0})) << "the first step waits for all";
  return seen;
}

// Row 43 of the requirements.
TEST(LateGradients, are_dropped_and_the_mean_is_one_over_the_rows_that_came) {
  const auto seen = train_with_a_late_rank(/*folds=*/false);
  expect_steps_by_hand(seen, /*folds=*/false);
  EXPECT_TRUE(seen[1].state.empty());
}

TEST(LateGradients, are_folded_into_the_next_ones_with_their_rows) {
  const auto seen = train_with_a_late_rank(/*folds=*/true);
  expect_steps_by_hand(seen, /*folds=*/true);
  double rows_in_all = 0.0;
  for (const double each : seen[0].rows) rows_in_all += each;
  EXPECT_GE(rows_in_all, 100.0 * 2);  // of rank 1 in step 0 and, later, in step 2
  const auto& state = seen[1].state;
  ASSERT_TRUE(state.values.contains("late_rows"));
  EXPECT_EQ(state.values.at("late_rows").as_double(), 100.0);

  // Another run goes on with what waits, and counts its rows.
  as_ranks(2, [&](const Cluster& cluster) {
    DeadlineStrategy strategy(cluster, at::kCPU, {}, deadline(3600.0, /*folds=*/true));
    Line line;
    strategy.setup(line);
    strategy.load_own_states({StateDict{}, state});
    EXPECT_EQ(strategy.own_state().empty(), cluster.rank == 0);
    const auto after = train(
        strategy, line, 2, [](int64_t) {}, [](int64_t) {});
    EXPECT_EQ(after.rows, std::vector<double>({201.0, 101.0}));
    EXPECT_TRUE(strategy.own_state().empty());
    strategy.ranks().barrier();
    strategy.teardown(line);
    StateDict wrong;
    wrong.tensors["late_gradients"] = torch::zeros({3}, torch::kDouble);
    wrong.values["late_rows"] = 1.0;
    wrong.values["full_rows"] = 1.0;
    EXPECT_NE(message_of<CheckpointError>([&] { strategy.load_own_states({wrong, wrong}); }), "");
  });
}

TEST(LateGradients, of_a_rank_that_is_late_for_good_name_it_once_and_hold_nobody_up) {
  constexpr int64_t kSteps = 56;
  Gate gate;
  std::array<std::vector<std::string>, 2> warnings;
  std::array<Seen, 2> seen;
  as_ranks(2, [&](const Cluster& cluster) {
    DeadlineStrategy strategy(cluster, at::kCPU, {}, deadline(0.006, /*folds=*/true));
    Line line;
    strategy.setup(line);
    const auto rank = static_cast<size_t>(cluster.rank);
    seen[rank] = train(
        strategy, line, kSteps,
        [&](int64_t step) {
          if (rank == 1 && step > 0) gate.wait_for(step + 1);  // until rank 0 has taken the step
        },
        [&](int64_t step) {
          if (rank == 0) gate.raise_to(step + 1);
          for (auto& text : strategy.late_gradients()->take_warnings()) {
            warnings[rank].push_back(std::move(text));
          }
        });
    strategy.ranks().barrier();
    strategy.teardown(line);
  });
  expect_steps_by_hand(seen, /*folds=*/true);
  for (size_t step = 1; step < kSteps; ++step) EXPECT_EQ(seen[0].late[step][1], 1);
  ASSERT_EQ(warnings[0].size(), 1U);
  EXPECT_EQ(warnings[1], warnings[0]);
  EXPECT_TRUE(test::says(warnings[0][0], {"rank 1 on host ", "49 of the last 50 steps", "0.006 s"}))
      << warnings[0][0];
}

TEST(LateGradients, let_others_go_on_for_as_many_steps_as_max_steps_behind_says) {
  Gate gate;
  int64_t taken_without = 0;
  as_ranks(2, [&](const Cluster& cluster) {
    DeadlineStrategy strategy(cluster, at::kCPU, {}, deadline(0.006, false, 1, 2));
    Line line;
    strategy.setup(line);
    train(
        strategy, line, 8,
        [&](int64_t step) {
          if (cluster.rank == 0) gate.raise_to(10 * step);
          if (cluster.rank == 1 && step == 1) {
            gate.wait_for(30);  // rank 0 computes step 3, which has to wait
            std::this_thread::sleep_for(std::chrono::milliseconds(100));  // would take 0.02 s
            taken_without = gate.number();
          }
        },
        [](int64_t) {});
    strategy.ranks().barrier();
    strategy.teardown(line);
  });
  EXPECT_EQ(taken_without, 30);
}

TEST(LateGradients, are_refused_on_gpus_by_hand_and_with_layers_that_wait) {
  EXPECT_TRUE(test::says(message_of<ConfigError>([] {
                           Cluster alone;
                           alone.master_address = "127.0.0.1";
                           DeadlineStrategy strategy(alone, at::kCUDA, {}, deadline(1.0, false));
                         }),
                         {"gradient_deadline", "GPU"}));
  as_ranks(2, [&](const Cluster& cluster) {
    DeadlineStrategy strategy(cluster, at::kCPU, {}, deadline(1.0, false));
    Line line;
    EXPECT_TRUE(
        test::says(message_of<ConfigError>([&] { strategy.sum_by_optimizer(line, Optimizers{}); }),
                   {"gradient_deadline", "by hand"}));
    class Looked : public Line {
     public:
      Looked() {
        register_module("table",
                        torch::nn::Embedding(torch::nn::EmbeddingOptions(4, 2).sparse(true)));
      }
    } looked;
    EXPECT_TRUE(test::says(message_of<ConfigError>([&] { strategy.setup(looked); }),
                           {"gradient_deadline", "sparse"}));
  });
}

}  // namespace levin::deadline_test
