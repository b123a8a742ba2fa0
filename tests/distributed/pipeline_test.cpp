// Pipelines over ranks against one process, each rank a thread of this one.

#include <levin/framework/pipeline/pipeline.h>

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/collectives/gloo.h>
#include <levin/framework/collectives/point_to_point.h>
#include <levin/framework/core/error.h>

#include "distributed/joined_ranks.h"
#include "framework/message_of.h"

namespace levin::pipeline_test {

using test::on_ranks;
using test::run_ranks;
using test::says;

constexpr int64_t kFeatures = 3;
constexpr int64_t kClasses = 4;

/// Eight layers with parameters, the same in every call.
torch::nn::Sequential chain() {
  torch::nn::Sequential layers;
  auto generator = at::detail::createCPUGenerator(7);
  for (int64_t i = 0; i < 8; ++i) {
    const int64_t in = i == 0 ? kFeatures : 5;
    const int64_t out = i == 7 ? kClasses : 5;
    torch::nn::Linear layer(in, out);
    layer->to(torch::kDouble);
    const torch::NoGradGuard no_grad;
    for (auto& one : layer->parameters())
      one.copy_(torch::randn(one.sizes(), generator, torch::kDouble));
    layers->push_back(layer);
    if (i < 7) layers->push_back(torch::nn::Tanh());
  }
  return layers;
}

Batch batch_of(int64_t rows) {
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(rows));
  return Batch({{"input", torch::randn({rows, kFeatures}, generator, torch::kDouble)},
                {"target", torch::randint(kClasses, {rows}, generator, torch::kLong)}});
}

torch::Tensor mean_loss(const torch::Tensor& outputs, const Batch& part) {
  return torch::cross_entropy_loss(outputs, part.target());
}
int64_t rows(const Batch& part) { return part.rows(); }

using Sizes = PipelineOptions;

/// Compares loss, outputs and the gradients of this rank with those of one process.
void compare(ProcessGroup& group, const Sizes& sizes) {
  auto whole = chain();
  auto net = chain();
  Pipeline pipeline(group, net, sizes);
  EXPECT_LT(net->parameters().size(), group.world_size() > 1 ? 16U : 17U);
  for (const int64_t count : {12, 7, 1, 3}) {
    const auto batch = batch_of(count);
    whole->zero_grad();
    net->zero_grad();
    const auto outputs = whole->forward(batch.input());
    const auto loss = mean_loss(outputs, batch);
    (loss * 0.5).backward();
    const auto trained = pipeline.train(batch, mean_loss, rows, /*with_outputs=*/true);
    EXPECT_NEAR(trained.loss.item<double>(), loss.item<double>(), 1e-12);
    EXPECT_TRUE(torch::allclose(trained.outputs, outputs.detach(), 1e-12, 1e-12));
    (trained.loss * 0.5).backward();
    const auto expected = whole->named_parameters();
    for (const auto& own : net->named_parameters()) {
      EXPECT_TRUE(torch::allclose(own.value().grad(), expected[own.key()].grad(), 1e-12, 1e-12))
          << sizes.schedule << " rank " << group.rank() << " " << own.key();
    }
    EXPECT_TRUE(torch::allclose(pipeline.forward(batch), outputs.detach(), 1e-12, 1e-12));
  }
}

class PipelineTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_gloo()) GTEST_SKIP() << "this build has no Gloo";
  }
};

TEST_F(PipelineTest, gives_the_gradients_of_one_process_in_every_schedule) {
  for (const int64_t ranks : {1, 2, 3, 4}) {
    on_ranks(ranks, [&](ProcessGroup& group) {
      compare(group, {.schedule = "gpipe", .micro_batches = 3});
      compare(group, {.schedule = "1f1b", .micro_batches = 5});
      compare(group, {.schedule = "interleaved1f1b", .micro_batches = 2 * ranks, .chunks = 2});
    });
  }
}

TEST_F(PipelineTest, holds_and_sends_what_the_schedule_says) {
  on_ranks(3, [](ProcessGroup& group) {
    for (const char* name : {"gpipe", "1f1b"}) {
      Pipeline pipeline(group, chain(), {.schedule = name, .micro_batches = 6});
      pipeline.train(batch_of(12), mean_loss, rows, /*with_outputs=*/false);
      const auto before = pipeline.figures();
      pipeline.train(batch_of(12), mean_loss, rows, /*with_outputs=*/false);
      const auto cost = pipeline.schedule().cost();
      const auto rank = static_cast<size_t>(group.rank());
      const auto figures = pipeline.figures();
      EXPECT_EQ(figures.most_held, cost.held[rank]) << name;
      EXPECT_EQ(figures.messages - before.messages, cost.messages[rank]) << name;
      const int64_t of_loss = rank == 2 ? 2 * 8 : 0;  // the last rank tells both others
      EXPECT_EQ(figures.bytes - before.bytes, cost.messages[rank] * 2 * 5 * 8 + of_loss) << name;
      // Outputs are freed as their gradients come; the first batch has a header besides.
      if (rank == 0) {
        EXPECT_LE(figures.most_kept, cost.held[0] + 1) << name;
      }
      EXPECT_EQ(figures.batches, 2);
      EXPECT_LE(figures.waiting, figures.seconds);
    }
  });
}

/// Keeps what a pipeline says of its batches.
class NotingProfiler final : public Profiler {
 public:
  void begin(Part /*part*/) override {}
  void end(Part /*part*/) override {}
  void pipelined(const PipelineBatch& batch) override { batches.push_back(batch); }

  std::vector<PipelineBatch> batches;
};

TEST_F(PipelineTest, tells_the_profiler_of_each_pass_in_the_order_of_the_schedule) {
  on_ranks(2, [](ProcessGroup& group) {
    NotingProfiler profiler;
    Pipeline pipeline(group, chain(), {.micro_batches = 3}, nullptr, &profiler);
    pipeline.train(batch_of(6), mean_loss, rows, /*with_outputs=*/false);
    pipeline.forward(batch_of(6));  // isn't training
    pipeline.train(batch_of(6), mean_loss, rows, /*with_outputs=*/false);
    ASSERT_EQ(profiler.batches.size(), 2U);
    const auto& batch = profiler.batches[1];
    const auto& actions = pipeline.schedule().actions(group.rank());
    ASSERT_EQ(batch.passes.size(), actions.size());
    double last = batch.begin;
    for (size_t i = 0; i < actions.size(); ++i) {
      const auto& pass = batch.passes[i];
      EXPECT_EQ(pass.is_forward, actions[i].kind == PipelineAction::Kind::forward);
      EXPECT_EQ(pass.stage, actions[i].stage);
      EXPECT_EQ(pass.micro_batch, actions[i].micro_batch);
      EXPECT_LE(last, pass.begin);
      EXPECT_LE(pass.begin, pass.end);
      last = pass.end;
    }
    EXPECT_LE(last, batch.end);
    EXPECT_EQ(batch.messages, 3);
    const int64_t of_loss = group.rank() == 1 ? 8 : 0;
    EXPECT_EQ(batch.bytes, 6 * 5 * 8 + of_loss);
    EXPECT_GT(batch.waiting, 0.0);
    EXPECT_LE(batch.for_outputs + batch.for_gradients, batch.waiting);
    // The first rank waits for gradients only, and the last one for outputs.
    EXPECT_EQ(batch.for_outputs > 0.0, group.rank() == 1);
    EXPECT_EQ(batch.for_gradients > 0.0, group.rank() == 0);
    EXPECT_NEAR(batch.scheduled_bubble, (2.0 - 1.0) / (3.0 + 2.0 - 1.0), 1e-12);
  });
}

TEST_F(PipelineTest, keeps_the_memory_of_its_own_stages_only_until_it_restores_all) {
  on_ranks(2, [](ProcessGroup& group) {
    const auto net = chain();
    const auto names = net->named_parameters().keys();
    const auto all = net->parameters();
    Pipeline pipeline(group, net, {});
    int64_t held = 0;
    for (const auto& one : all) held += static_cast<int64_t>(one.storage().nbytes());
    int64_t own = 0;
    for (const auto& one : net->parameters()) own += static_cast<int64_t>(one.nbytes());
    EXPECT_EQ(held, own);
    EXPECT_LT(net->parameters().size(), all.size());
    {
      const torch::NoGradGuard no_grad;
      for (auto& one : net->parameters()) one.fill_(static_cast<double>(group.rank() + 1));
    }
    pipeline.restore();
    EXPECT_EQ(net->named_parameters().keys(), names);
    const auto plan = pipeline.layers().range(1).first;  // the first layer of rank 1
    for (const auto& item : net->named_parameters()) {
      const bool is_second = std::stoul(item.key()) >= plan;
      EXPECT_TRUE(torch::all(item.value() == (is_second ? 2.0 : 1.0)).item<bool>()) << item.key();
    }
  });
}

TEST_F(PipelineTest, weights_micro_batches_by_what_their_losses_are_means_over) {
  const auto tokens = [](const Batch& part) { return part["tokens"].sum().item<int64_t>(); };
  const auto loss = [](const torch::Tensor& outputs, const Batch& part) {
    const auto each = torch::cross_entropy_loss(outputs, part.target(), {}, at::Reduction::None);
    return (each * part["tokens"]).sum() / part["tokens"].sum();
  };
  on_ranks(2, [&](ProcessGroup& group) {
    auto batch = batch_of(5);
    batch.set("tokens", torch::tensor({1.0, 5.0, 2.0, 9.0, 4.0}, torch::kDouble));
    const auto expected = loss(chain()->forward(batch.input()), batch);
    Pipeline pipeline(group, chain(), {.micro_batches = 3});
    const auto trained = pipeline.train(batch, loss, tokens, /*with_outputs=*/false);
    EXPECT_NEAR(trained.loss.item<double>(), expected.item<double>(), 1e-12);
  });
}

TEST_F(PipelineTest, cuts_in_front_of_layers_with_parameters_into_even_stages) {
  torch::nn::Sequential net(torch::nn::ReLU(), torch::nn::Linear(10, 10), torch::nn::ReLU(),
                            torch::nn::Linear(10, 2), torch::nn::Linear(2, 30), torch::nn::ReLU(),
                            torch::nn::Linear(30, 1));
  const StagedLayers two(net, 2);
  EXPECT_EQ(two.range(0), (std::pair<size_t, size_t>(0, 4)));  // 132 of 253 parameters
  EXPECT_EQ(two.range(1), (std::pair<size_t, size_t>(4, 7)));
  const StagedLayers four(net, 4);
  EXPECT_EQ(four.range(3), (std::pair<size_t, size_t>(6, 7)));
  const auto message = test::message_of<ConfigError>([&] { StagedLayers(net, 5); });
  EXPECT_TRUE(says(message, {"stages = 5", "at most 4", "pipeline_size"}));
}

TEST_F(PipelineTest, refuses_parameters_that_are_tied_across_stages) {
  const torch::nn::Linear first(4, 4), second(4, 4);
  const torch::nn::Sequential net(first, second, first);
  const auto message = test::message_of<ModuleError>([&] { StagedLayers(net, 3); });
  EXPECT_TRUE(says(message, {"0.weight (stage 0)", "2.weight (stage 2)", "tied", "fewer stages"}));
}

TEST_F(PipelineTest, says_what_is_wrong_with_a_loss) {
  const auto thrown = run_ranks(1, [](const Cluster& cluster) {
    ProcessGroup group(cluster, at::kCPU);
    Pipeline pipeline(group, chain(), {});
    pipeline.train(
        batch_of(4), [](const torch::Tensor& outputs, const Batch&) { return outputs; }, rows,
        false);
  });
  EXPECT_TRUE(says(thrown[0], {"the loss of a pipeline", "has 4 elements", "mean over the rows"}));
}

TEST_F(PipelineTest, messages_arrive_by_their_tags_whatever_the_order_of_the_receives) {
  on_ranks(2, [](ProcessGroup& group) {
    PointToPoint messages(group);
    const int64_t other = 1 - group.rank();
    const auto number = [](double value) { return torch::full({4}, value, torch::kDouble); };
    for (int64_t i = 0; i < 3; ++i) messages.send(number(static_cast<double>(i)), other, 10 + i);
    messages.send(number(7.0), other, 10);
    auto last = messages.receive(number(0.0), other, 12);
    auto first = messages.receive(number(0.0), other, 10);
    auto middle = messages.receive(number(0.0), other, 11);
    auto again = messages.receive(number(0.0), other, 10);
    EXPECT_TRUE(last.is_pending());
    EXPECT_TRUE(torch::equal(last.wait(), number(2.0)));
    EXPECT_FALSE(last.is_pending());
    EXPECT_TRUE(torch::equal(first.wait(), number(0.0)));
    EXPECT_TRUE(torch::equal(middle.wait(), number(1.0)));
    EXPECT_TRUE(torch::equal(again.wait(), number(7.0)));
    messages.wait_for_sends();
    EXPECT_EQ(messages.figures().messages, 4);
    EXPECT_EQ(messages.figures().bytes, 4 * 4 * 8);
    auto from_last = number(static_cast<double>(group.rank()));
    messages.broadcast(from_last, 1);
    EXPECT_TRUE(torch::equal(from_last, number(1.0)));
    const int64_t of_broadcast = group.rank() == 1 ? 4 * 8 : 0;
    EXPECT_EQ(messages.figures().bytes, 4 * 4 * 8 + of_broadcast);
  });
}

TEST_F(PipelineTest, an_abort_ends_a_rank_that_waits_for_a_message) {
  const auto thrown = run_ranks(3, [](const Cluster& cluster) {
    ProcessGroup whole(cluster, at::kCPU, {.timeout = 3600.0});
    ProcessGroup group(whole, "pipeline");
    PointToPoint messages(group);
    if (group.rank() == 2) {  // it never sends, and another rank's failure ends the run
      whole.abort();
      return;
    }
    messages.receive(torch::zeros({2}), 2, 1).wait();
  });
  EXPECT_TRUE(says(thrown[0], {"rank 0: receiving from rank 2"}));
  EXPECT_TRUE(says(thrown[1], {"rank 1: receiving from rank 2"}));
}

}  // namespace levin::pipeline_test
