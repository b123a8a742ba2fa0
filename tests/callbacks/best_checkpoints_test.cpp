#include <levin/callbacks/best_checkpoints.h>
#include <levin/callbacks/checkpoint_folder.h>
#include <levin/callbacks/checkpoint_schedule.h>
#include <levin/framework/checkpoint/checkpoint.h>

#include "callbacks/fixture.h"

// The parts of ModelCheckpoint.

namespace levin::test::best_checkpoints_test {

using Ranking = BestCheckpoints::Ranking;
using Paths = std::vector<fs::path>;

BestCheckpoints three(int64_t most, Ranking ranking) {
  BestCheckpoints best(most, ranking);
  best.add("a", 2.0);
  best.add("b", 1.0);
  best.add("c", 3.0);
  return best;
}

TEST(BestCheckpoints, ranks_by_the_score_or_the_time) {
  EXPECT_EQ(three(-1, Ranking::smallest).best_path(), "b");
  EXPECT_EQ(three(-1, Ranking::smallest).best_score(), 1.0);
  EXPECT_EQ(three(-1, Ranking::largest).best_path(), "c");
  EXPECT_EQ(three(-1, Ranking::latest).best_path(), "c");
  EXPECT_EQ(three(-1, Ranking::latest).best_score(), std::nullopt);
  EXPECT_EQ(BestCheckpoints(1, Ranking::smallest).best_path(), "");
}

TEST(BestCheckpoints, admits_what_is_better_than_the_worst_if_they_are_full) {
  EXPECT_TRUE(three(4, Ranking::smallest).admits(9.0));
  EXPECT_FALSE(three(3, Ranking::smallest).admits(3.0)) << "the earlier one of two stays";
  EXPECT_TRUE(three(3, Ranking::smallest).admits(2.9));
  EXPECT_FALSE(three(3, Ranking::largest).admits(1.0));
  EXPECT_TRUE(three(3, Ranking::largest).admits(1.1));
  EXPECT_TRUE(three(3, Ranking::latest).admits(0.0));
  EXPECT_FALSE(BestCheckpoints(0, Ranking::latest).admits(1.0));
}

TEST(BestCheckpoints, drops_the_worst_until_there_is_room_for_one) {
  auto best = three(2, Ranking::smallest);
  EXPECT_EQ(best.make_room(), (Paths{"c", "a"}));
  EXPECT_EQ(best.best_path(), "b");
  EXPECT_EQ(three(3, Ranking::latest).make_room(), Paths{"a"});
  EXPECT_EQ(three(4, Ranking::smallest).make_room(), Paths{});
  EXPECT_EQ(three(-1, Ranking::smallest).make_room(), Paths{});
}

TEST(BestCheckpoints, a_path_has_one_score) {
  auto best = three(-1, Ranking::smallest);
  best.add("b", 5.0);
  ASSERT_EQ(best.all().size(), 3U);
  EXPECT_EQ(best.best_path(), "a");
}

TEST(BestCheckpoints, those_without_a_file_are_forgotten) {
  auto best = three(-1, Ranking::smallest);
  best.set_paths({"x", "", "z"});
  ASSERT_EQ(best.all().size(), 2U);
  EXPECT_EQ(best.best_path(), "x");
  EXPECT_EQ(best.best_score(), 2.0);
}

TEST(BestCheckpoints, a_loaded_state_ranks_alike) {
  BestCheckpoints loaded(-1, Ranking::smallest);
  loaded.load_values(three(-1, Ranking::smallest).to_values());
  EXPECT_EQ(loaded.all().size(), 3U);
  EXPECT_EQ(loaded.best_path(), "b");
  EXPECT_EQ(loaded.best_score(), 1.0);
  loaded.clear();
  EXPECT_EQ(loaded.best_path(), "");
}

/// The steps after which a checkpoint is due if batches have `steps` optimizer steps.
std::vector<int64_t> due_steps(CheckpointSchedule schedule, int64_t steps) {
  FakeLoop loop;
  schedule.start(loop.run);
  std::vector<int64_t> due;
  for (int i = 0; i < 6; ++i) {
    loop.run.progress().global_step += steps;
    if (schedule.is_due_after_step(loop.run, "test")) due.push_back(loop.run.global_step());
    EXPECT_FALSE(schedule.is_due_after_step(loop.run, "test")) << "the same step";
  }
  return due;
}

TEST(CheckpointSchedule, steps_are_due_when_a_multiple_is_reached_or_passed) {
  EXPECT_EQ(due_steps({3, {}, {}}, 1), (std::vector<int64_t>{3, 6}));
  EXPECT_EQ(due_steps({3, {}, {}}, 2), (std::vector<int64_t>{4, 6, 10, 12}));
  EXPECT_EQ(due_steps({{}, {}, {}}, 1), std::vector<int64_t>{});
}

TEST(CheckpointSchedule, minutes_are_due_once_they_have_passed) {
  EXPECT_EQ(due_steps({{}, 1e9, {}}, 1), std::vector<int64_t>{});
  EXPECT_EQ(due_steps({{}, 1e-300, {}}, 1).size(), 6U);
}

TEST(CheckpointSchedule, epochs_are_due_if_nothing_else_is) {
  EXPECT_TRUE(CheckpointSchedule({}, {}, {}).is_due_after_epoch(0));
  EXPECT_FALSE(CheckpointSchedule(5, {}, {}).is_due_after_epoch(0));
  EXPECT_FALSE(CheckpointSchedule({}, 1.0, {}).is_due_after_epoch(0));
  EXPECT_FALSE(CheckpointSchedule({}, {}, 0).is_due_after_epoch(0));
  const CheckpointSchedule second({}, {}, 2);
  EXPECT_FALSE(second.is_due_after_epoch(0));
  EXPECT_TRUE(second.is_due_after_epoch(1));
  EXPECT_FALSE(second.is_within_epochs());
  EXPECT_TRUE(CheckpointSchedule(5, {}, 0).is_within_epochs());
}

TEST(CheckpointFolder, a_name_that_is_taken_gets_a_version) {
  FakeLoop loop;
  const fs::path folder = loop.folder.path();
  EXPECT_EQ(free_checkpoint_path(loop.run, folder, "a", {}), folder / "a.ckpt");
  write(folder / "a.ckpt", "");
  EXPECT_EQ(free_checkpoint_path(loop.run, folder, "a", {}), folder / "a-v1.ckpt");
  loop.run.save(folder / "a-v1.ckpt");
  EXPECT_EQ(free_checkpoint_path(loop.run, folder, "a", {}), folder / "a-v2.ckpt");
  EXPECT_EQ(free_checkpoint_path(loop.run, folder, "a", {folder / "a.ckpt"}), folder / "a.ckpt");
  EXPECT_EQ(checkpoint_path(folder, "a"), folder / "a.ckpt");
}

TEST(CheckpointFolder, a_checkpoint_is_found_where_the_folder_was_moved_to) {
  TemporaryFolder root;
  const fs::path before = root.path() / "before";
  const fs::path now = root.path() / "now";
  fs::create_directories(before);
  fs::create_directories(now);
  StateDict state;
  state.values["a"] = 1;
  save_checkpoint(now / "moved.ckpt", state);
  save_checkpoint(before / "left.ckpt", state);
  EXPECT_EQ(find_checkpoint_again(before / "moved.ckpt", before, now), now / "moved.ckpt");
  EXPECT_EQ(find_checkpoint_again(before / "left.ckpt", before, now), before / "left.ckpt");
  EXPECT_EQ(find_checkpoint_again(before / "gone.ckpt", before, now), "");
  EXPECT_TRUE(is_checkpoint_of_folder(now, now / "moved.ckpt"));
  EXPECT_FALSE(is_checkpoint_of_folder(now, before / "left.ckpt"));
}

TEST(CheckpointFolder, its_path_is_absolute_and_plain) {
  EXPECT_EQ(plain_folder("/a/./b/../c/"), "/a/c");
  EXPECT_EQ(plain_folder("a"), fs::current_path() / "a");
}

}  // namespace levin::test::best_checkpoints_test
