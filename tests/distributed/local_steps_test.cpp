// Steps that ranks take by themselves, each rank a thread of this process, against loops by hand.
#include <levin/framework/strategies/local_steps.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/profiling/profiler.h>
#include <levin/framework/run/module.h>
#include <levin/framework/strategies/averaging.h>

#include "distributed/ranks_as_threads.h"
#include "framework/message_of.h"

namespace levin::local_steps_test {

using test::as_ranks;
using Object = Value::Object;

constexpr double kRate = 0.05;

/// Least squares, with a running mean and a count as buffers.
class Line : public Module {
 public:
  Line() : linear_(register_module("linear", torch::nn::Linear(3, 1))) {
    to(torch::kDouble);
    const torch::NoGradGuard no_grad;
    linear_->weight.copy_(torch::tensor({{0.3, -0.2, 0.1}}, torch::kDouble));
    linear_->bias.zero_();
    mean_ = register_buffer("mean", torch::zeros({3}, torch::kDouble));
    seen_ = register_buffer("seen", torch::zeros({}, torch::kLong));
  }
  torch::Tensor loss(const torch::Tensor& x) {
    const auto detached = x.detach();
    mean_.mul_(0.9).add_(detached.mean(0), 0.1);
    seen_ += 1;
    return (linear_(x) - 2.0 * x.sum(1, true)).square().mean();
  }
  torch::Tensor training_step(const Batch& batch, Step&) override { return loss(batch.input()); }
  Optimizers configure_optimizers() override { return {}; }

  std::vector<torch::Tensor> weights() const { return {linear_->weight, linear_->bias}; }
  torch::Tensor mean() const { return mean_; }
  int64_t seen() const { return seen_.item<int64_t>(); }

 private:
  torch::nn::Linear linear_;
  torch::Tensor mean_;
  torch::Tensor seen_;
};

/// The rows of a rank in a step: 1 to 3 of them.
torch::Tensor rows(int64_t rank, int64_t step) {
  const auto seed = static_cast<uint64_t>(100 * rank + step);
  return torch::randn({1 + (rank + step) % 3, 3}, at::detail::createCPUGenerator(seed),
                      torch::kDouble);
}

torch::optim::SGD optimizer_of(const Line& line, double momentum) {
  return torch::optim::SGD(line.weights(), torch::optim::SGDOptions(kRate).momentum(momentum));
}

/// A rank: its strategy, model and optimizer.
struct Rank {
  Rank(const Cluster& cluster, const NamedSettings& averaging, double momentum = 0.9)
      : strategy(cluster, at::kCPU, {}, averaging), inner(optimizer_of(line, momentum)) {
    strategy.setup(line);
  }
  LocalSteps& steps() { return *strategy.local_steps(); }
  void train(int64_t from, int64_t to) {
    for (int64_t step = from; step < to; ++step) {
      const auto x = rows(strategy.ranks().rank(), step);
      steps().own_weights();
      steps().begin_step(step);
      inner.zero_grad();
      const auto own = strategy.backward(line, line.loss(x), 1.0, static_cast<double>(x.size(0)));
      EXPECT_EQ(own, static_cast<double>(x.size(0)));
      inner.step();
      steps().end_step();
    }
  }
  std::vector<torch::Tensor> copies() const {
    std::vector<torch::Tensor> all;
    for (const auto& weight : line.weights()) all.push_back(weight.detach().clone());
    all.push_back(line.mean().clone());
    return all;
  }

  AveragingStrategy strategy;
  Line line;
  torch::optim::SGD inner;
};

double gap(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) {
  double largest = a.size() == b.size() ? 0.0 : 1e300;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    largest = std::max(largest, (a[i] - b[i]).abs().max().item<double>());
  }
  return largest;
}

/// All ranks in one loop, written by hand: plain steps of `ranks` models, and after every `period`
/// steps their mean, weighted by rows. `outer`: an SGD of PyTorch with these options steps from
/// there, by delta = last - mean.
struct ByHand {
  ByHand(int64_t ranks, double momentum, std::optional<torch::optim::SGDOptions> outer = {}) {
    for (int64_t rank = 0; rank < ranks; ++rank) {
      lines.push_back(std::make_unique<Line>());
      inner.push_back(optimizer_of(*lines.back(), momentum));
    }
    counts.assign(lines.size(), 0.0);
    for (const auto& weight : lines[0]->weights()) last.push_back(weight.detach().clone());
    if (outer) outer_sgd.emplace(last, *outer);
  }
  void train(int64_t steps, int64_t period) {
    for (int64_t step = 0; step < steps; ++step) {
      for (size_t rank = 0; rank < lines.size(); ++rank) {
        const auto x = rows(static_cast<int64_t>(rank), step);
        inner[rank].zero_grad();
        lines[rank]->loss(x).backward();
        inner[rank].step();
        counts[rank] += static_cast<double>(x.size(0));
      }
      if ((step + 1) % period == 0) meet();
    }
  }
  /// Of weights and the buffer of means.
  std::vector<torch::Tensor> mean() const {
    double all = 0.0;
    for (const double count : counts) all += count;
    std::vector<torch::Tensor> result;
    for (size_t rank = 0; rank < lines.size(); ++rank) {
      auto parts = lines[rank]->weights();
      parts.push_back(lines[rank]->mean());
      for (size_t i = 0; i < parts.size(); ++i) {
        const auto part = parts[i].detach() * (counts[rank] / all);
        if (rank == 0) {
          result.push_back(part);
        } else {
          result[i] += part;
        }
      }
    }
    return result;
  }
  void meet() {
    const torch::NoGradGuard no_grad;
    auto next = mean();
    if (outer_sgd) {
      for (size_t i = 0; i < last.size(); ++i) last[i].mutable_grad() = last[i] - next[i];
      outer_sgd->step();
      for (size_t i = 0; i < last.size(); ++i) next[i] = last[i];
    }
    for (auto& line : lines) {
      const auto weights = line->weights();
      for (size_t i = 0; i < weights.size(); ++i) weights[i].detach().copy_(next[i]);
      line->mean().copy_(next.back());
    }
    counts.assign(lines.size(), 0.0);
  }

  std::vector<std::unique_ptr<Line>> lines;
  std::vector<torch::optim::SGD> inner;
  std::vector<double> counts;
  std::vector<torch::Tensor> last;
  std::optional<torch::optim::SGD> outer_sgd;
};

TEST(LocalSteps, average_weights_by_rows_after_each_period_as_a_loop_by_hand) {
  for (const int64_t ranks : {2, 3}) {
    ByHand expected(ranks, 0.9);
    expected.train(9, 3);
    as_ranks(ranks, [&](const Cluster& cluster) {
      Rank rank(cluster, {"local_sgd", Object{{"period", 3}}});
      rank.train(0, 9);
      EXPECT_LE(gap(rank.copies(), expected.mean()), 1e-12);
      EXPECT_EQ(rank.line.seen(), 9);
    });
  }
}

TEST(LocalSteps, of_diloco_take_the_outer_steps_of_a_loop_by_hand) {
  for (const int64_t ranks : {1, 3}) {
    for (const bool nesterov : {true, false}) {
      ByHand expected(ranks, 0.9, torch::optim::SGDOptions(0.7).momentum(0.9).nesterov(nesterov));
      expected.train(8, 2);
      as_ranks(ranks, [&](const Cluster& cluster) {
        Rank rank(cluster, {"diloco", Object{{"period", 2}, {"nesterov", nesterov}}});
        rank.train(0, 8);
        EXPECT_LE(gap(rank.copies(), expected.mean()), 1e-12);
      });
    }
  }
}

// Ranks have 1 to 3 rows in each step.
TEST(LocalSteps, of_period_one_with_plain_sgd_are_steps_by_all_rows) {
  Line whole;
  auto sgd = optimizer_of(whole, 0.0);
  for (int64_t step = 0; step < 6; ++step) {
    sgd.zero_grad();
    whole.loss(torch::cat({rows(0, step), rows(1, step), rows(2, step)})).backward();
    sgd.step();
  }
  as_ranks(3, [&](const Cluster& cluster) {
    Rank rank(cluster, {"local_sgd", Object{{"period", 1}}}, 0.0);
    rank.train(0, 6);
    EXPECT_LE(gap(rank.line.weights(), whole.weights()), 1e-12);
  });
}

TEST(LocalSteps, show_the_mean_and_go_on_as_if_nobody_had_looked) {
  ByHand expected(2, 0.9);
  expected.train(5, 3);
  as_ranks(2, [&](const Cluster& cluster) {
    Rank undisturbed(cluster, {"local_sgd", Object{{"period", 3}}});
    undisturbed.train(0, 8);
    Rank rank(cluster, {"local_sgd", Object{{"period", 3}}});
    rank.train(0, 5);
    const auto own = rank.copies();
    const auto sent = rank.strategy.sent_bytes();
    rank.steps().show_mean();
    EXPECT_LE(gap(rank.copies(), expected.mean()), 1e-12);
    EXPECT_GT(gap(rank.copies(), own), 1e-6);
    EXPECT_GT(rank.strategy.sent_bytes(), sent);
    const auto shown = rank.strategy.sent_bytes();
    rank.steps().show_mean();  // it is there already
    EXPECT_EQ(rank.strategy.sent_bytes(), shown);
    rank.steps().own_weights();
    EXPECT_EQ(gap(rank.copies(), own), 0.0);
    rank.steps().show_mean();
    rank.train(5, 8);
    EXPECT_EQ(gap(rank.copies(), undisturbed.copies()), 0.0);
  });
}

TEST(LocalSteps, keep_what_was_changed_while_the_mean_was_shown) {
  as_ranks(2, [&](const Cluster& cluster) {
    Rank rank(cluster, {"diloco", Object{{"period", 4}}});
    rank.train(0, 2);
    const auto own = rank.copies();
    rank.steps().show_mean();
    rank.line.weights()[0].detach().fill_(0.5);
    rank.steps().own_weights();
    EXPECT_EQ(rank.line.weights()[0].min().item<double>(), 0.5);
    EXPECT_TRUE(torch::equal(rank.line.weights()[1], own[1]));
    if (!rank.strategy.ranks().is_zero()) return;
    const auto last = rank.steps().state_dict().child("last");
    EXPECT_TRUE(torch::equal(last.tensor("linear.weight"), rank.line.weights()[0]));  // a new begin
    EXPECT_FALSE(torch::equal(last.tensor("linear.bias"), own[1]));
  });
}

/// What a checkpoint of rank 0 has as the value of the weight after the last meeting.
torch::Tensor saved_last(Rank& rank) {
  return rank.steps().state_dict().child("last").tensor("linear.weight").clone();
}

TEST(LocalSteps, save_what_was_changed_as_what_the_ranks_go_on_from) {
  as_ranks(2, [&](const Cluster& cluster) {
    Rank rank(cluster, {"diloco", Object{{"period", 2}}});
    rank.train(0, 3);
    const bool saves = rank.strategy.ranks().is_zero();
    const auto weight = rank.line.weights()[0].detach();
    const auto met = saves ? saved_last(rank) : torch::Tensor();
    rank.steps().show_mean();
    if (saves) {
      EXPECT_TRUE(torch::equal(saved_last(rank), met));  // looking changes nothing
    }
    weight.fill_(0.5);  // while the mean is shown
    if (saves) {
      EXPECT_TRUE(torch::equal(saved_last(rank), weight));
      const auto last = rank.steps().state_dict().child("last");
      EXPECT_FALSE(torch::equal(last.tensor("linear.bias"), rank.line.weights()[1]));
    }
    rank.train(3, 4);  // the ranks meet
    if (saves) {
      EXPECT_TRUE(torch::equal(saved_last(rank), weight));
    }
    weight.fill_(0.25);  // between the meeting and the next step
    if (saves) {
      EXPECT_TRUE(torch::equal(saved_last(rank), weight));
    }
  });
}

TEST(LocalSteps, begin_after_steps_in_which_gradients_are_summed) {
  as_ranks(2, [&](const Cluster& cluster) {
    Rank rank(cluster, {"post_local_sgd", Object{{"start", 2}, {"period", 2}}});
    for (int64_t step = 0; step < 5; ++step) {
      const auto x = rows(rank.strategy.ranks().rank(), step);
      rank.steps().begin_step(step);
      EXPECT_EQ(rank.steps().are_local(), step >= 2);
      rank.inner.zero_grad();
      const auto count = static_cast<double>(x.size(0));
      const auto all = rank.strategy.backward(rank.line, rank.line.loss(x), 0.5, count);
      const auto others = static_cast<double>(rows(1 - cluster.rank, step).size(0));
      EXPECT_EQ(all, step >= 2 ? count : count + others);
      rank.inner.step();
      rank.steps().end_step();
      EXPECT_EQ(rank.steps().have_begun(), step >= 2);
      const auto sums =
          rank.strategy.ranks().gather(std::to_string(rank.line.weights()[0].sum().item<double>()));
      EXPECT_EQ(sums[0] == sums[1], step != 2 && step != 4) << step;
    }
  });
}

TEST(LocalSteps, tell_all_ranks_of_flags_at_the_same_step) {
  as_ranks(2, [&](const Cluster& cluster) {
    Rank rank(cluster, {"local_sgd", Object{{"period", 8}, {"flags_every", 3}}});
    EXPECT_TRUE(rank.strategy.ranks().train_alone());
    std::string told;
    for (int64_t step = 0; step < 12; ++step) {
      rank.train(step, step + 1);
      const bool raised = (cluster.rank == 1 && step == 1) || (cluster.rank == 0 && step == 6);
      told += rank.strategy.ranks().any_after_step("test", raised) ? 'x' : '.';
    }
    EXPECT_EQ(told, "..x....x....");  // after 3 steps, and in the meeting after 8
  });
}

/// Adds up what it is told.
class Recorder : public Profiler {
 public:
  void begin(Part) override {}
  void end(Part) override {}
  void reduced(const Reduction& step) override {
    ++exchanges;
    for (const auto& each : step.collectives) {
      bytes += each.bytes;
      EXPECT_LE(step.ready, each.begin);  // nothing of it is hidden behind backward
      EXPECT_LE(each.begin, each.end);
      EXPECT_LE(each.end, step.end);
    }
  }
  int64_t exchanges = 0;
  int64_t bytes = 0;
};

TEST(LocalSteps, are_seen_by_a_profiler_when_ranks_exchange_something) {
  as_ranks(2, [&](const Cluster& cluster) {
    Recorder recorder;
    Rank rank(cluster, {"local_sgd", Object{{"period", 4}, {"flags_every", 3}}});
    rank.strategy.set_profiler(&recorder);
    rank.strategy.setup(rank.line);
    rank.train(0, 9);
    EXPECT_EQ(recorder.exchanges, 4);  // two meetings, and the flags after 3 and 7 steps
    rank.steps().show_mean();
    EXPECT_EQ(recorder.exchanges, 5);
    EXPECT_EQ(recorder.bytes, rank.strategy.sent_bytes());
    // 14 numbers each time; 4 weights, 3 means and a count in meetings, all of 8 bytes.
    EXPECT_EQ(recorder.bytes, 5 * 14 * 8 + 3 * 8 * 8);
    rank.strategy.set_profiler(nullptr);
  });
}

TEST(LocalSteps, refuse_states_of_other_shapes_and_optimization_by_hand) {
  as_ranks(1, [&](const Cluster& cluster) {
    Rank rank(cluster, {"diloco", Object{{"period", 4}}});
    EXPECT_FALSE(rank.strategy.ranks().train_alone());  // there is nobody else
    rank.train(0, 2);
    auto state = rank.steps().state_dict().clone();
    rank.steps().load_state_dict({state});
    state.tensors["last.linear.bias"] = torch::zeros({7}, torch::kDouble);
    EXPECT_TRUE(test::says(
        test::message_of<CheckpointError>([&] { rank.steps().load_state_dict({state}); }),
        {"linear.bias", "shape"}));
    EXPECT_TRUE(test::says(test::message_of<ConfigError>(
                               [&] { rank.strategy.sum_by_optimizer(rank.line, Optimizers()); }),
                           {"model_averaging", "by hand"}));
  });
}

}  // namespace levin::local_steps_test
