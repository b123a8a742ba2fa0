// What profilers are told that ranks send, against what the system counts: rows 42 and 44.
#include <levin/framework/profiling/communication_log.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/collectives/gloo.h>
#include <levin/framework/nn/parallel_linear.h>
#include <levin/framework/nn/sync_batch_norm.h>
#include <levin/framework/optimizers/all.h>
#include <levin/framework/pipeline/pipeline.h>
#include <levin/framework/profiling/profiler.h>
#include <levin/framework/run/module.h>
#include <levin/framework/strategies/averaging.h>
#include <levin/framework/strategies/data_parallel.h>
#include <levin/framework/strategies/deadline_strategy.h>
#include <levin/framework/strategies/local_steps.h>
#include <levin/framework/strategies/packed_ranks.h>
#include <levin/framework/strategies/sharded.h>

#include "distributed/ranks_as_threads.h"
#include "distributed/wire_bytes.h"

namespace levin::exchanged_bytes_test {

using test::bytes_on_the_wire;

constexpr int64_t kSteps = 4;

/// All that a profiler was told that its rank has sent.
int64_t told_bytes(const Profile& profile) {
  int64_t bytes = profile.communication.bytes + profile.pipelining.bytes;
  for (const auto& sum : profile.exchanges) bytes += sum.bytes;
  return bytes;
}

/// One rank: what it does in a step, and how it meets the others.
struct Rank {
  std::function<void()> step;
  std::function<void()> barrier;
};

using Make = std::function<Rank(const Cluster&, Profiler&)>;

/// Takes steps on `ranks` ranks. Checks what the profilers are told against what the system counts,
/// and returns the profiles.
std::vector<Profile> check(const std::string& way, int64_t ranks, const Make& make) {
  SCOPED_TRACE(way + " on " + std::to_string(ranks));
  std::vector<Profile> profiles(static_cast<size_t>(ranks));
  std::mutex mutex;
  int64_t told = 0;
  int64_t on_wire = 0;
  test::as_ranks(ranks, [&](const Cluster& cluster) {
    SimpleProfiler profiler(nullptr);
    profiler.begin_run(Stage::fit);
    const Rank rank = make(cluster, profiler);
    rank.step();  // the first one is larger: ranks agree on what they will send
    rank.step();
    rank.barrier();
    const int64_t wire_before = bytes_on_the_wire();
    const int64_t told_before = told_bytes(profiler.profile());
    rank.barrier();
    for (int64_t i = 0; i < kSteps; ++i) rank.step();
    rank.barrier();
    const int64_t sent = bytes_on_the_wire() - wire_before;
    rank.barrier();
    const std::lock_guard lock(mutex);
    told += told_bytes(profiler.profile()) - told_before;
    if (cluster.rank == 0) on_wire = sent;
    profiles[static_cast<size_t>(cluster.rank)] = profiler.profile();
  });
  EXPECT_GT(told, 0);
  EXPECT_GE(on_wire, told - told / 100);
  // Headers, the barriers, signs of life, and what TCP sends again.
  EXPECT_LT(on_wire, told + told / 10 + ranks * 6000);
  return profiles;
}

double waiting(const Profile& profile, ExchangeKind kind) {
  return profile.exchanges[static_cast<size_t>(kind)].waiting;
}

/// A layer of 96 kB, and a buffer.
class Line : public Module {
 public:
  explicit Line(int64_t buffer = 0)
      : linear(register_module("linear", torch::nn::Linear(3000, 8))) {
    if (buffer > 0) register_buffer("kept", torch::zeros({buffer}));
  }
  torch::Tensor loss(int64_t rank) {
    return linear(torch::full({4, 3000}, 0.01 * static_cast<double>(1 + rank))).square().mean();
  }
  torch::nn::Linear linear;
};

DataParallelOptions over_gloo(const NamedSettings& compression = "none") {
  DataParallelOptions options;
  options.process_group.backend = "gloo";  // "auto" would sum in shared memory
  options.gradients.compression = compression;
  return options;
}

/// Trains a Line by a strategy.
template <class AnyStrategy>
Rank trained(std::shared_ptr<AnyStrategy> strategy, Profiler& profiler, int64_t buffer = 0) {
  auto line = std::make_shared<Line>(buffer);
  strategy->set_profiler(&profiler);
  strategy->setup(*line);
  auto optimizers = std::make_shared<Optimizers>(SGD(line->parameters(), {.learning_rate = 0.01}));
  strategy->shard_optimizers(*optimizers);
  auto number = std::make_shared<int64_t>(0);
  const auto step = [strategy, line, optimizers, number] {
    auto& optimizer = *optimizers->entries()[0].optimizer;
    const auto rank = strategy->ranks().rank();
    const auto size = static_cast<double>(strategy->ranks().size());
    if (auto* local = strategy->local_steps()) local->begin_step((*number)++);
    if (auto* late = strategy->late_gradients()) late->begin_window(4.0 * size);
    optimizer.zero_grad();
    strategy->begin_forward();
    strategy->backward(*line, line->loss(rank), 1.0 / size, 4.0);
    optimizer.step();
    if (auto* local = strategy->local_steps()) local->end_step();
  };
  return {step, [strategy] { strategy->ranks().barrier(); }};
}

class ExchangedBytes : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_gloo()) GTEST_SKIP() << "this build has no Gloo";
  }
};

TEST_F(ExchangedBytes, of_gradients_are_those_on_the_wire_however_they_are_packed) {
  for (const char* way : {"none", "bf16", "one_bit", "qsgd", "topk", "powersgd"}) {
    const auto profiles = check(way, 3, [&](const Cluster& cluster, Profiler& profiler) {
      return trained(std::make_shared<DataParallelStrategy>(cluster, at::kCPU, over_gloo(way)),
                     profiler);
    });
    EXPECT_GT(profiles[0].communication.waiting, 0.0) << way;
  }
}

TEST_F(ExchangedBytes, of_meetings_are_those_on_the_wire) {
  for (const char* way : {"local_sgd", "diloco"}) {
    const auto profiles = check(way, 3, [&](const Cluster& cluster, Profiler& profiler) {
      const NamedSettings averaging{way, Value::Object{{"period", 2}}};
      return trained(std::make_shared<AveragingStrategy>(cluster, at::kCPU, over_gloo(), averaging),
                     profiler);
    });
    EXPECT_EQ(profiles[1].communication.steps, (2 + kSteps) / 2) << way;
    EXPECT_GT(profiles[1].communication.waiting, 0.0) << way;
  }
}

TEST_F(ExchangedBytes, of_gradients_with_a_deadline_are_those_on_the_wire) {
  const auto profiles = check("deadline", 3, [](const Cluster& cluster, Profiler& profiler) {
    const GradientDeadline deadline{.options = {.seconds = 60.0}};  // nobody is late
    return trained(std::make_shared<DeadlineStrategy>(cluster, at::kCPU, over_gloo(), deadline),
                   profiler);
  });
  EXPECT_GT(profiles[2].communication.waiting, 0.0);
}

TEST_F(ExchangedBytes, of_divided_states_and_parameters_are_those_on_the_wire) {
  for (const int64_t stage : {1, 2, 3}) {
    const auto profiles =
        check("stage " + std::to_string(stage), 3, [&](const Cluster& cluster, Profiler& profiler) {
          const ShardedOptions options{.data_parallel = over_gloo(), .stage = stage};
          return trained(std::make_shared<ShardedStrategy>(cluster, at::kCPU, options), profiler);
        });
    const auto kind = stage == 3 ? ExchangeKind::layers : ExchangeKind::parameters;
    EXPECT_GT(waiting(profiles[2], kind), 0.0) << stage;
  }
}

TEST_F(ExchangedBytes, of_buffers_and_predictions_are_those_on_the_wire) {
  const auto profiles = check("buffers", 4, [](const Cluster& cluster, Profiler& profiler) {
    auto strategy = std::make_shared<DataParallelStrategy>(cluster, at::kCPU, over_gloo());
    const Rank rank = trained(strategy, profiler, /*buffer=*/30000);
    const auto step = [strategy, rank] {
      rank.step();
      strategy->gather_rows({{"logits", torch::ones({2, 5000})}}, {0, 1});
    };
    return Rank{step, rank.barrier};
  });
  EXPECT_GT(waiting(profiles[3], ExchangeKind::buffers), 0.0);
  EXPECT_GT(waiting(profiles[3], ExchangeKind::predictions), 0.0);
}

TEST_F(ExchangedBytes, of_metrics_are_those_on_the_wire) {
  const auto profiles = check("metrics", 3, [](const Cluster& cluster, Profiler& profiler) {
    const ProcessGroupOptions gloo{.backend = "gloo"};
    auto all = std::make_shared<ProcessGroup>(cluster, at::kCPU, gloo);
    all->exchanges().report_to(&profiler);
    PackedMetrics metrics;
    metrics.sums.assign(3000, 1.0);
    return Rank{[all, metrics] { gather_metrics(*all, metrics); }, [all] { all->barrier(); }};
  });
  EXPECT_GT(waiting(profiles[1], ExchangeKind::metrics), 0.0);
}

TEST_F(ExchangedBytes, of_tensor_parallel_layers_are_those_on_the_wire) {
  const auto profiles = check("tensor parts", 3, [](const Cluster& cluster, Profiler& profiler) {
    const ProcessGroupOptions gloo{.backend = "gloo"};
    auto all = std::make_shared<ProcessGroup>(cluster, at::kCPU, gloo);
    all->exchanges().report_to(&profiler);
    auto group = std::make_shared<ProcessGroup>(*all, "tensor");  // tells the same profiler
    ColumnLinear up(ColumnLinearOptions{.in_features = 300, .out_features = 90}, group);
    RowLinear down(RowLinearOptions{.in_features = 90, .out_features = 300}, group);
    const auto step = [all, up, down]() mutable {
      const auto input = torch::ones({20, 300}).requires_grad_();
      down(torch::relu(up(input))).square().mean().backward();
    };
    return Rank{step, [all] { all->barrier(); }};
  });
  EXPECT_GT(waiting(profiles[1], ExchangeKind::tensor_parts), 0.0);
}

TEST_F(ExchangedBytes, of_joined_batch_norms_are_those_on_the_wire) {
  const auto profiles = check("batch norms", 3, [](const Cluster& cluster, Profiler& profiler) {
    const ProcessGroupOptions gloo{.backend = "gloo"};
    auto all = std::make_shared<ProcessGroup>(cluster, at::kCPU, gloo);
    all->exchanges().report_to(&profiler);
    auto net = std::make_shared<torch::nn::SequentialImpl>(SyncBatchNorm(3000));
    auto norms = std::make_shared<SyncBatchNorms>(*net, *all);
    const auto step = [all, net, norms] {
      net->forward(torch::ones({2, 3000}).requires_grad_()).square().sum().backward();
      norms->end_batch(/*took_part=*/true);
    };
    return Rank{step, [all] { all->barrier(); }};
  });
  EXPECT_GT(waiting(profiles[1], ExchangeKind::batch_norms), 0.0);
}

TEST_F(ExchangedBytes, of_pipelines_are_those_on_the_wire_in_training_and_in_evaluations) {
  struct Parts {
    std::shared_ptr<ProcessGroup> group;
    std::unique_ptr<Pipeline> pipeline;
  };
  const auto profiles = check("pipeline", 2, [](const Cluster& cluster, Profiler& profiler) {
    auto parts = std::make_shared<Parts>();
    const ProcessGroupOptions gloo{.backend = "gloo"};
    parts->group = std::make_shared<ProcessGroup>(cluster, at::kCPU, gloo);
    parts->group->exchanges().report_to(&profiler);
    torch::nn::Sequential chain(torch::nn::Linear(4, 3000), torch::nn::Linear(3000, 4));
    parts->pipeline = std::make_unique<Pipeline>(
        *parts->group, chain, PipelineOptions{.micro_batches = 2}, nullptr, &profiler);
    const auto step = [parts] {
      const Batch batch({{"input", torch::ones({8, 4})}, {"target", torch::zeros({8, 4})}});
      const auto loss = [](const torch::Tensor& outputs, const Batch& part) {
        return torch::mse_loss(outputs, part.target());
      };
      const auto count = [](const Batch& part) { return part.rows(); };
      parts->pipeline->train(batch, loss, count, /*with_outputs=*/false);
      parts->pipeline->forward(batch);
    };
    return Rank{step, [parts] { parts->group->barrier(); }};
  });
  EXPECT_GT(profiles[0].pipelining.for_gradients, 0.0);
  EXPECT_GT(profiles[1].pipelining.for_outputs, 0.0);
  EXPECT_GT(waiting(profiles[1], ExchangeKind::outputs), 0.0);
  EXPECT_NEAR(profiles[0].pipelining.scheduled_bubble, 1.0 / 3.0, 1e-12);  // (p - 1) / (m + p - 1)
}

// Messages along a tree, which ranks that aren't a power of two have, too.
TEST(ExchangeLog, counts_each_message_of_a_broadcast_once) {
  for (const int64_t ranks : {1, 2, 3, 5, 8, 13}) {
    int64_t sent = 0;
    for (int64_t rank = 0; rank < ranks; ++rank) {
      sent += ExchangeLog::broadcast_bytes(10, rank, ranks);
    }
    EXPECT_EQ(sent, 10 * (ranks - 1)) << ranks;
  }
  // Rank 0 sends to 1, 2 and 4, and rank 1, which is the first to have the bytes, to 3.
  EXPECT_EQ(ExchangeLog::broadcast_bytes(10, 0, 5), 30);
  EXPECT_EQ(ExchangeLog::broadcast_bytes(10, 1, 5), 10);
  EXPECT_EQ(ExchangeLog::broadcast_bytes(10, 2, 5), 0);
}

/// Keeps the bytes of what it is told, and by which thread.
class Notes : public Profiler {
 public:
  void begin(Part /*part*/) override {}
  void end(Part /*part*/) override {}
  void exchanged(const Exchange& exchange) override {
    EXPECT_EQ(std::this_thread::get_id(), thread_);
    bytes.push_back(exchange.bytes);
  }
  std::vector<int64_t> bytes;

 private:
  std::thread::id thread_ = std::this_thread::get_id();
};

TEST(ExchangeLog, tells_the_profiler_on_its_thread_of_what_other_threads_exchange) {
  ExchangeLog log;
  EXPECT_EQ(log.record(ExchangeKind::metrics, 1, [] { return 7; }), 7);  // nobody is told
  Notes notes;
  log.report_to(&notes);
  std::thread([&] { log.record(ExchangeKind::tensor_parts, 2, [] {}); }).join();
  EXPECT_TRUE(notes.bytes.empty());
  log.record(ExchangeKind::metrics, 3, [] {});
  EXPECT_EQ(notes.bytes, (std::vector<int64_t>{2, 3}));
  log.report_to(nullptr);
  log.record(ExchangeKind::metrics, 4, [] {});
  EXPECT_EQ(notes.bytes.size(), 2U);
}

}  // namespace levin::exchanged_bytes_test
