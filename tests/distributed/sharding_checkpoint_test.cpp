// Checkpoints of sharded training: row 50 of the requirements.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/sharded_checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

#include "distributed/ranks_as_threads.h"
#include "distributed/sharding_net.h"
#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::sharding_test {

namespace fs = std::filesystem;
using test::as_ranks;
using test::message_of;
using test::says;
using test::TemporaryFolder;

class ShardedCheckpoint : public ::testing::Test {
 protected:
  /// Trains `size` ranks for two steps and saves.
  void save(int64_t size, const fs::path& path, int64_t stage = 1, int64_t batches = 2) {
    as_ranks(size, [&](const Cluster& cluster) {
      with_strategy(
          cluster, options_of(stage), [&](Net& net, Strategy& strategy, Optimizer& optimizer) {
            train(net, strategy, optimizer, {.batches = batches});
            save_sharded_checkpoint(path, checkpoint_of(net, optimizer), strategy.ranks());
          });
    });
  }
  std::vector<fs::path> parts(const fs::path& folder) const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().filename() != "index.json") found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  TemporaryFolder folder_;
  fs::path path_ = folder_.path() / "epoch=0-step=2.ckpt";
};

// Row 50: what 3 ranks save is what one process would have, and any number of ranks goes on from
// it.
TEST_F(ShardedCheckpoint, loads_at_any_world_size) {
  Net alone;
  Optimizers made = make_adam(alone);
  auto& optimizer_alone = *made.entries()[0].optimizer;
  train_alone(alone, optimizer_alone, {.batches = 2});
  for (const int64_t stage : {1, 2}) {
    save(3, path_, stage);
    const StateDict loaded = load_checkpoint(path_);
    expect_same(loaded, checkpoint_of(alone, optimizer_alone), 1e-13);
    const StateDict outline = load_checkpoint_outline(path_);
    EXPECT_EQ(outline.values, loaded.values);
    ASSERT_EQ(outline.tensors.size(), loaded.tensors.size());
    for (const auto& [name, tensor] : loaded.tensors) {
      EXPECT_TRUE(outline.tensor(name).is_meta()) << name;
      EXPECT_EQ(outline.tensor(name).sizes(), tensor.sizes()) << name;
      EXPECT_EQ(outline.tensor(name).scalar_type(), tensor.scalar_type()) << name;
    }

    Net further;
    Optimizers further_made = make_adam(further);
    load(further, *further_made.entries()[0].optimizer, loaded);
    const Training rest{.batches = 2, .first_batch = 2};
    train_alone(further, *further_made.entries()[0].optimizer, rest);
    for (const int64_t size : {1, 2, 4}) {
      const auto again = folder_.path() / ("again-" + std::to_string(size) + ".ckpt");
      as_ranks(size, [&](const Cluster& cluster) {
        with_strategy(
            cluster, options_of(stage), [&](Net& net, Strategy& strategy, Optimizer& optimizer) {
              load(net, optimizer, load_checkpoint(path_));
              save_sharded_checkpoint(again, checkpoint_of(net, optimizer), strategy.ranks());
              train(net, strategy, optimizer, rest);
              EXPECT_LT(largest_difference(net, further), 1e-12) << size;
            });
      });
      expect_same(load_checkpoint(again), loaded, 0.0);
    }
  }
}

TEST_F(ShardedCheckpoint, is_a_folder_with_a_part_each_rank_and_replaces_an_earlier_one) {
  save(3, path_);
  const auto before = parts(path_);
  EXPECT_EQ(before.size(), 3u);
  save(2, path_);
  const auto after = parts(path_);
  EXPECT_EQ(after.size(), 2u);
  for (const auto& part : after) EXPECT_EQ(std::count(before.begin(), before.end(), part), 0);
  EXPECT_TRUE(has_checkpoint(path_));
  int64_t largest = 0;
  for (const auto& part : after) {
    EXPECT_TRUE(says(part.filename().string(), {"rank-", ".safetensors"}));
    largest = std::max(largest, static_cast<int64_t>(fs::file_size(part)));
  }
  EXPECT_LT(load_checkpoint(after[1]).tensors.size(), load_checkpoint(after[0]).tensors.size());
  EXPECT_GT(largest, 0);

  std::ofstream(path_ / "mine.txt") << "not ours";
  remove_checkpoint(path_);
  EXPECT_FALSE(has_checkpoint(path_));
  EXPECT_TRUE(fs::exists(path_ / "mine.txt"));
  EXPECT_EQ(parts(path_).size(), 1u);
  fs::remove(path_ / "mine.txt");
  remove_checkpoint(path_);
  EXPECT_FALSE(fs::exists(path_));
  remove_checkpoint(path_);
}

TEST_F(ShardedCheckpoint, takes_the_files_place_and_gives_it_back) {
  StateDict small;
  small.values["global_step"] = 1;
  save_checkpoint(path_, small);
  save(2, path_);
  EXPECT_EQ(load_checkpoint(path_).values.at("global_step").as_int(), 2);
  save_checkpoint(path_, small);
  EXPECT_TRUE(fs::is_regular_file(path_));
  EXPECT_EQ(load_checkpoint(path_).values.at("global_step").as_int(), 1);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1);
}

TEST_F(ShardedCheckpoint, refuses_torn_folders) {
  const auto error_after = [&](const std::function<void(const fs::path&)>& harm) {
    const auto copy = folder_.path() / "copy.ckpt";
    fs::remove_all(copy);
    fs::copy(path_, copy, fs::copy_options::recursive);
    harm(copy);
    return message_of<CheckpointError>([&] { load_checkpoint(copy); });
  };
  const auto cut = [](const fs::path& path) { fs::resize_file(path, fs::file_size(path) - 9); };
  save(3, path_);
  const auto other = folder_.path() / "other.ckpt";
  save(3, other);

  EXPECT_TRUE(says(error_after([](const fs::path& f) { fs::remove(f / "index.json"); }),
                   {"index.json", "cut short"}));
  EXPECT_TRUE(says(error_after([&](const fs::path& f) { cut(f / "index.json"); }), {"index.json"}));
  EXPECT_TRUE(says(error_after([](const fs::path& f) {
                     auto text = test::read_file(f / "index.json");
                     text.replace(text.find("\"world_size\": 3"), 15, "\"world_size\": 4");
                     std::ofstream(f / "index.json") << text;
                   }),
                   {"index.json", "checksum"}));
  EXPECT_TRUE(says(error_after([&](const fs::path& f) { fs::remove(parts(f)[1]); }),
                   {"rank-1.", "missing"}));
  EXPECT_TRUE(says(error_after([&](const fs::path& f) {
                     fs::copy(parts(other)[1], parts(f)[1], fs::copy_options::overwrite_existing);
                   }),
                   {"rank-1.", "another save"}));
  EXPECT_TRUE(says(error_after([&](const fs::path& f) {
                     fs::copy(parts(f)[0], parts(f)[1], fs::copy_options::overwrite_existing);
                   }),
                   {"rank-1.", "another save"}));
  EXPECT_TRUE(says(error_after([&](const fs::path& f) { cut(parts(f)[2]); }), {"rank-2."}));
}

TEST_F(ShardedCheckpoint, stays_whole_where_one_rank_cant_write) {
  save(3, path_);
  const auto before = parts(path_);
  files::inject_faults([](const files::Operation& operation) {
    const bool is_second = operation.path.filename().string().starts_with("rank-1.");
    return is_second && operation.name == "sync" ? ENOSPC : 0;
  });
  const auto thrown = run_ranks(3, [&](const Cluster& cluster) {
    with_strategy(cluster, options_of(1), [&](Net& net, Strategy& strategy, Optimizer& optimizer) {
      train(net, strategy, optimizer, {.batches = 1});
      save_sharded_checkpoint(path_, checkpoint_of(net, optimizer), strategy.ranks());
    });
  });
  files::inject_faults({});
  EXPECT_TRUE(says(thrown[0], {"rank 1", "No space left"}));
  EXPECT_TRUE(says(thrown[1], {"No space left"}));
  EXPECT_EQ(parts(path_), before);
  EXPECT_EQ(load_checkpoint(path_).values.at("global_step").as_int(), 2);
}

}  // namespace levin::sharding_test
