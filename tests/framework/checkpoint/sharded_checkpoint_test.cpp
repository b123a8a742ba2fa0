#include <levin/framework/checkpoint/sharded_checkpoint.h>

#include <sys/stat.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/slices.h>
#include <levin/framework/core/error.h>

#include "framework/meeting.h"
#include "framework/message_of.h"
#include "framework/support.h"
#include "framework/temporary_folder.h"

// Slices that don't make a whole tensor, and the folder's path and index.
// tests/distributed/sharding_test.cpp has everything else.

namespace levin::sharded_checkpoint_test {

struct Range {
  int64_t begin;
  int64_t end;
};

/// What loading says if two ranks have saved these parts of a tensor "w" of 4 entries.
std::string error_of(Range first, Range second) {
  const test::TemporaryFolder folder;
  const auto path = folder / "torn.ckpt";
  test::Meeting meeting(2);
  test::in_threads(2, [&](size_t rank) {
    const Range range = rank == 0 ? first : second;
    test::ThreadRank ranks(meeting, rank);
    StateDict state;
    state.tensors["w"] = torch::zeros({range.end - range.begin});
    state.values[kSlices]["w"] = to_value(TensorSlice{{4}, range.begin, range.end});
    save_sharded_checkpoint(path, state, ranks);
  });
  return test::message_of<CheckpointError>([&] { load_sharded_checkpoint(path); });
}

TEST(ShardedCheckpointSlices, an_entry_that_no_part_has_is_named) {
  EXPECT_TRUE(test::says(error_of({0, 2}, {3, 4}), {"'w' is incomplete: no part has its entry 2"}));
  EXPECT_TRUE(test::says(error_of({0, 2}, {2, 3}), {"'w' is incomplete: no part has its entry 3"}));
}

TEST(ShardedCheckpointSlices, an_entry_that_two_parts_have_is_named) {
  EXPECT_TRUE(test::says(error_of({0, 3}, {2, 4}), {"'w' has its entry 2 in two parts"}));
}

TEST(ShardedCheckpointSlices, a_slice_that_does_not_lie_in_its_tensor_is_named) {
  EXPECT_TRUE(test::says(error_of({0, 3}, {3, 9}), {"'w' has a slice 3 to 9 that doesn't fit"}));
}

TEST(ShardedCheckpointSlices, a_shape_that_no_memory_holds_is_an_error_that_names_the_file) {
  for (const auto& shape : {std::vector<int64_t>{int64_t{1} << 60}, {int64_t{1} << 40, 1 << 30}}) {
    const test::TemporaryFolder folder;
    const auto path = folder / "huge.ckpt";
    StateDict state;
    state.tensors["w"] = torch::zeros({4});
    state.values[kSlices]["w"] = to_value(TensorSlice{shape, 0, 4});
    save_sharded_checkpoint(path, state, single_rank());
    EXPECT_TRUE(
        test::says(test::message_of<CheckpointError>([&] { load_sharded_checkpoint(path); }),
                   {"huge.ckpt", "'w' has a shape that can't be used"}));
  }
}

StateDict one_tensor() {
  StateDict state;
  state.tensors["w"] = torch::zeros({4});
  return state;
}

TEST(ShardedCheckpointFolder, may_be_given_with_a_tilde) {
  const test::TemporaryFolder home;
  const char* before = std::getenv("HOME");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("HOME", home.string().c_str(), 1);
  save_sharded_checkpoint("~/a.ckpt", one_tensor(), single_rank());
  EXPECT_TRUE(has_checkpoint("~/a.ckpt"));
  EXPECT_TRUE(has_checkpoint(home / "a.ckpt"));
  EXPECT_EQ(load_sharded_checkpoint("~/a.ckpt").tensors.size(), 1U);
  EXPECT_EQ(load_sharded_outline("~/a.ckpt").tensors.size(), 1U);
  remove_checkpoint("~/a.ckpt");
  EXPECT_FALSE(has_checkpoint(home / "a.ckpt"));
  before == nullptr ? ::unsetenv("HOME") : ::setenv("HOME", kept.c_str(), 1);
}

TEST(ShardedCheckpointFolder, with_an_index_that_is_no_file_or_far_too_large_is_refused) {
  const test::TemporaryFolder folder;
  const auto path = folder / "a.ckpt";
  const auto refusal = [&] {
    return test::message_of<CheckpointError>([&] { load_sharded_checkpoint(path); });
  };
  save_sharded_checkpoint(path, one_tensor(), single_rank());
  std::error_code refused;
  std::filesystem::resize_file(path / "index.json", uint64_t{20} << 30, refused);
  if (!refused) {
    EXPECT_TRUE(test::says(refusal(), {"index.json", "the most that is read"}));
  }
  std::filesystem::remove(path / "index.json");
  ASSERT_EQ(::mkfifo((path / "index.json").c_str(), 0600), 0);
  EXPECT_TRUE(test::says(refusal(), {"index.json", "no regular file"}));
}

TEST(ShardedCheckpointFolder, whose_own_index_is_damaged_or_newer_is_replaced) {
  for (const bool is_whole_new : {true, false}) {
    const test::TemporaryFolder folder;
    const auto path = folder / "a.ckpt";
    save_sharded_checkpoint(path, one_tensor(), single_rank());
    std::string index = test::read_file(path / "index.json");
    index[index.find(": ") + 2] = '?';
    std::ofstream(path / "index.json") << index;
    EXPECT_THROW(load_checkpoint(path), CheckpointError);
    if (is_whole_new) {
      save_checkpoint(path, one_tensor());
    } else {
      save_sharded_checkpoint(path, one_tensor(), single_rank());
    }
    EXPECT_EQ(load_checkpoint(path).tensors.size(), 1U);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()),
                            std::filesystem::directory_iterator()),
              1);
  }
}

}  // namespace levin::sharded_checkpoint_test
