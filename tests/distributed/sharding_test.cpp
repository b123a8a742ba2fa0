// Training with sharded gradients and parameters (ZeRO stages 1 to 3): row 50 of the requirements.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/sharded_checkpoint.h>
#include <levin/framework/strategies/sharded.h>
#include <levin/framework/tensor/divided_memory.h>

#include "distributed/ranks_as_threads.h"
#include "distributed/sharding_net.h"
#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::sharding_test {

using test::as_ranks;
using test::says;
using test::TemporaryFolder;

// Row 50: both stages train as one process does, at any number of ranks.
class Stages : public ::testing::TestWithParam<int64_t> {};

TEST_P(Stages, train_as_one_process) {
  for (const Training& training :
       {Training{}, Training{.window = 2}, Training{.clip = 0.05}, Training{.rows = 2}}) {
    Net alone;
    Optimizers made = make_adam(alone);
    train_alone(alone, *made.entries()[0].optimizer, training);
    const bool is_plain = training.window == 1 && training.clip == 0.0 && training.rows == kRows;
    for (const int64_t size :
         is_plain ? std::vector<int64_t>{1, 2, 3, 4} : std::vector<int64_t>{3}) {
      as_ranks(size, [&](const Cluster& cluster) {
        with_strategy(cluster, options_of(GetParam()),
                      [&](Net& net, Strategy& strategy, Optimizer& optimizer) {
                        train(net, strategy, optimizer, training);
                        const double difference = largest_difference(net, alone);
                        EXPECT_LT(difference, 1e-12)
                            << "rank " << strategy.ranks().rank() << " of " << size << ", window "
                            << training.window << ", clip " << training.clip;
                      });
      });
    }
  }
}

TEST_P(Stages, name_a_parameter_without_a_gradient_or_leave_it_out) {
  NetOptions unused{.has_unused = true};
  const auto thrown = run_ranks(2, [&](const Cluster& cluster) {
    with_strategy(
        cluster, options_of(GetParam()),
        [](Net& net, Strategy& strategy, Optimizer& optimizer) {
          train(net, strategy, optimizer, {.batches = 1});
        },
        unused);
  });
  for (const auto& error : thrown) {
    EXPECT_TRUE(says(error, {"unused.", "find_unused_parameters"}));
  }
  Net alone(unused);
  Optimizers made = make_adam(alone);
  train_alone(alone, *made.entries()[0].optimizer, {});
  auto options = options_of(GetParam());
  options.data_parallel.gradients.find_unused_parameters = true;
  as_ranks(3, [&](const Cluster& cluster) {
    with_strategy(
        cluster, options,
        [&](Net& net, Strategy& strategy, Optimizer& optimizer) {
          train(net, strategy, optimizer, {});
          EXPECT_LT(largest_difference(net, alone), 1e-12);
          for (const auto& [name, tensor] : optimizer.state_dict().tensors) {
            EXPECT_FALSE(name.starts_with("unused")) << name;
          }
        },
        unused);
  });
}

TEST_P(Stages, know_flags_after_the_step) {
  as_ranks(3, [&](const Cluster& cluster) {
    with_strategy(cluster, options_of(GetParam()),
                  [&](Net& net, Strategy& strategy, Optimizer& optimizer) {
                    Ranks& ranks = strategy.ranks();
                    EXPECT_FALSE(ranks.any_after_step("interrupt", ranks.rank() == 1));
                    train(net, strategy, optimizer, {.batches = 1});
                    EXPECT_TRUE(ranks.any_after_step("interrupt", false));
                    EXPECT_FALSE(ranks.any_after_step("max_time", false));
                  });
  });
}

INSTANTIATE_TEST_SUITE_P(Stage, Stages, ::testing::Values(1, 2));

// Row 50: in stage 2 gradients too take 1 / world_size.
TEST(StageTwo, keeps_its_share_of_the_gradients_only) {
  for (const int64_t size : {2, 4}) {
    as_ranks(size, [&](const Cluster& cluster) {
      with_strategy(
          cluster, options_of(2), [&](Net& net, Strategy& strategy, Optimizer& optimizer) {
            int64_t all = 0;
            for (const auto& parameter : net.parameters()) {
              all += static_cast<int64_t>(parameter.nbytes());
            }
            train(net, strategy, optimizer, {.batches = 1});
            int64_t kept = 0;
            for (const auto& parameter : net.parameters()) {
              EXPECT_FALSE(parameter.grad().defined());
            }
            std::map<const void*, int64_t> storages;
            for (const auto& one : strategy.with_gradients(optimizer)) {
              const auto& storage = one.grad().storage();
              storages[storage.unsafeGetStorageImpl()] = static_cast<int64_t>(storage.nbytes());
            }
            for (const auto& [storage, bytes] : storages) kept += bytes;
            EXPECT_LT(kept, all / size + 1024) << "of " << all;
            EXPECT_GT(kept, 0);
          });
    });
  }
}

TEST(StageTwo, sends_halves_where_asked) {
  Net alone;
  Optimizers made = make_adam(alone);
  train_alone(alone, *made.entries()[0].optimizer, {.batches = 1});
  auto options = options_of(2);
  options.data_parallel.gradients.compression = "bf16";
  as_ranks(2, [&](const Cluster& cluster) {
    with_strategy(cluster, options, [&](Net& net, Strategy& strategy, Optimizer& optimizer) {
      train(net, strategy, optimizer, {.batches = 1});
      EXPECT_GT(largest_difference(net, alone), 0.0);
      EXPECT_LT(largest_difference(net, alone), 1e-3);
    });
  });
}

TEST(StageTwo, refuses_a_gradient_that_comes_twice) {
  const auto thrown = run_ranks(2, [&](const Cluster& cluster) {
    class Twice : public Net {
     public:
      void backward(const torch::Tensor& loss) override {
        loss.backward({}, /*keep_graph=*/true);
        loss.backward();
      }
    };
    std::unique_ptr<Twice> net;
    {
      const std::lock_guard<std::mutex> lock(making);
      net = std::make_unique<Twice>();
    }
    ShardedStrategy strategy(cluster, torch::kCPU, options_of(2));
    strategy.setup(*net);
    Optimizers made = make_adam(*net);
    strategy.shard_optimizers(made);
    train(*net, strategy, *made.entries()[0].optimizer, {.batches = 1});
  });
  for (const auto& error : thrown) EXPECT_TRUE(says(error, {"twice", "call backward once"}));
}

// Row 50: in stage 3, no rank has the whole model while it is saved.
TEST(StageThree, saves_slices_of_parameters_that_no_rank_has_whole) {
  TemporaryFolder folder;
  const auto path = folder.path() / "weights.ckpt";
  const StateDict expected = [] {
    StateDict state;
    state.add("model", Net().state_dict());
    return state;
  }();
  for (const int64_t size : {1, 3}) {
    as_ranks(size, [&](const Cluster& cluster) {
      with_strategy(cluster, options_of(3), [&](Net& net, Strategy& strategy, Optimizer&) {
        EXPECT_TRUE(strategy.divides_module());
        StateDict state;
        state.add("model", net.state_dict());
        strategy.mark_own_tensors(state);
        EXPECT_LE(bytes_of(state), bytes_of(expected) / size + 1024);
        for (const auto& item : net.parameters()) {
          EXPECT_FALSE(divided_memory_of(item)->is_filled());
        }
        save_sharded_checkpoint(path, state, strategy.ranks());
        for (const auto& item : net.parameters()) {
          EXPECT_FALSE(divided_memory_of(item)->is_filled());
        }
      });
    });
    expect_same(load_checkpoint(path), expected, 0.0);
  }
}

}  // namespace levin::sharding_test
