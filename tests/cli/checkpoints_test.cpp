#include <levin/cli/find_checkpoint.h>

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <torch/types.h>

#include <levin/cli/predictions.h>
#include <levin/datamodules/readers/npy.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>

#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::checkpoints_test {

namespace fs = std::filesystem;

class FindCheckpoint : public ::testing::Test {
 protected:
  /// A checkpoint written `minutes` after the others' start.
  fs::path save(const std::string& name, int minutes, const std::string& best = {}) const {
    StateDict callbacks;
    if (!best.empty()) callbacks.add("ModelCheckpoint:val_loss", record(best, 0.5));
    return save(name, minutes, std::move(callbacks));
  }
  /// What a ModelCheckpoint records; the score is null if it has no monitor.
  static StateDict record(const std::string& best, Value score) {
    StateDict state;
    state.values["best_model_path"] = best;
    state.values["best_model_score"] = std::move(score);
    return state;
  }
  fs::path save(const std::string& name, int minutes, StateDict callbacks) const {
    StateDict state;
    state.add("callbacks", std::move(callbacks));
    state.tensors["model.weight"] = torch::zeros({4});
    const fs::path path = folder_.path() / "levin_logs" / name;
    fs::create_directories(path.parent_path());
    save_checkpoint(path, state);
    fs::last_write_time(path, fs::file_time_type() + std::chrono::minutes(minutes));
    return path;
  }
  fs::path find(const std::string& what) const { return find_checkpoint(what, folder_.path()); }

  test::TemporaryFolder folder_;
};

TEST_F(FindCheckpoint, a_path_is_taken_as_it_is) {
  EXPECT_EQ(find("some/file.ckpt"), "some/file.ckpt");
  EXPECT_EQ(find(""), "");
}

TEST_F(FindCheckpoint, last_is_the_newest_file_of_the_newest_run_that_has_any) {
  save("version_2/checkpoints/a.ckpt", 9);
  save("version_10/checkpoints/a.ckpt", 3);
  const auto newest = save("version_10/checkpoints/b.ckpt", 4);
  save("version_10/checkpoints/c.ckpt", 1);
  fs::create_directories(folder_.path() / "levin_logs/version_11");
  EXPECT_EQ(find("last"), newest);
  const auto last = save("version_10/checkpoints/last.ckpt", 4);
  EXPECT_EQ(find("last"), last);
}

// trials 11
TEST_F(FindCheckpoint, hidden_files_are_no_checkpoints) {
  const auto last = save("version_0/checkpoints/last.ckpt", 1);
  save("version_0/checkpoints/._last.ckpt", 2);
  EXPECT_EQ(find("last"), last);
}

TEST_F(FindCheckpoint, best_is_what_the_run_recorded_even_after_a_move) {
  const auto best = save("version_0/checkpoints/good.ckpt", 1);
  save("version_0/checkpoints/last.ckpt", 2, best.string());
  EXPECT_EQ(find("best"), best);
  save("version_0/checkpoints/last.ckpt", 2, "/elsewhere/checkpoints/good.ckpt");
  EXPECT_EQ(find("best"), best);
}

TEST_F(FindCheckpoint, best_outside_of_the_runs_folder_is_refused_by_name) {
  const auto foreign = save("version_1/checkpoints/foreign.ckpt", 1);
  save("version_2/checkpoints/last.ckpt", 2, foreign.string());
  EXPECT_TRUE(test::says(test::message_of<CheckpointError>([&] { find("best"); }),
                         {"version_2", "'last.ckpt' says that it is '" + foreign.string() + "'",
                          "give that path instead of 'best' if you trust it"}));
}

TEST_F(FindCheckpoint, a_ranked_best_outside_is_refused_although_an_unranked_one_is_inside) {
  const auto foreign = save("version_1/checkpoints/foreign.ckpt", 1).string();
  const auto unranked = save("version_2/checkpoints/a.ckpt", 1).string();
  const auto ranked = save("version_2/checkpoints/b.ckpt", 1).string();
  for (const bool is_first : {false, true}) {
    StateDict callbacks;
    callbacks.add(is_first ? "ModelCheckpoint:1" : "ModelCheckpoint:3", record(foreign, 0.5));
    callbacks.add("ModelCheckpoint:2", record(unranked, {}));
    save("version_2/checkpoints/last.ckpt", 2, callbacks);
    EXPECT_TRUE(test::says(test::message_of<CheckpointError>([&] { find("best"); }),
                           {"says that it is '" + foreign + "'"}));
    callbacks.add("ModelCheckpoint:4", record(ranked, 0.25));
    save("version_2/checkpoints/last.ckpt", 2, std::move(callbacks));
    EXPECT_EQ(find("best"), ranked);
  }
  StateDict callbacks;
  callbacks.add("ModelCheckpoint:1", record(foreign, {}));
  callbacks.add("ModelCheckpoint:2", record(unranked, {}));
  save("version_2/checkpoints/last.ckpt", 2, std::move(callbacks));
  EXPECT_EQ(find("best"), unranked);
}

TEST_F(FindCheckpoint, best_is_found_without_reading_the_weights) {
  const auto best = save("version_0/checkpoints/good.ckpt", 1);
  const auto last = save("version_0/checkpoints/last.ckpt", 2, best.string());
  const auto time = fs::last_write_time(last);
  std::fstream(last, std::ios::binary | std::ios::in | std::ios::out)
      .seekp(-1, std::ios::end)
      .put(1);
  fs::last_write_time(last, time);
  EXPECT_THROW(load_checkpoint(last), CheckpointError);
  EXPECT_EQ(find("best"), best);
}

TEST_F(FindCheckpoint, none_is_a_checkpoint_error) {
  EXPECT_THROW(find("last"), CheckpointError);
  save("version_0/checkpoints/a.ckpt", 1);
  EXPECT_THROW(find("best"), CheckpointError);
}

TEST(Predictions, arrays_read_back_as_they_were) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "p.npz";
  write_predictions(path, {{"class", torch::tensor({2, 0, 1}, torch::kLong)},
                           {"probability", torch::tensor({{0.25F, 0.75F}}).t()},
                           {"half", torch::ones({2}, torch::kBFloat16)}});
  const auto classes = readers::read_npz(path, "class");
  EXPECT_EQ(classes.shape, std::vector<int64_t>{3});
  EXPECT_EQ(classes.values<int64_t>()[0], 2);
  const auto probability = readers::read_npz(path, "probability");
  EXPECT_EQ(probability.shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(probability.values<float>()[1], 0.75F);
  EXPECT_EQ(readers::read_npz(path, "half").dtype, readers::DType::float32);
}

TEST(Predictions, one_array_may_be_a_npy) {
  const test::TemporaryFolder folder;
  const NamedTensors one = {{"class", torch::tensor({true, false})}};
  write_predictions(folder.path() / "p.npy", one);
  EXPECT_EQ(readers::read_npy(folder.path() / "p.npy").dtype, readers::DType::bool_);
  const NamedTensors two = {one[0], {"b", torch::ones({2})}};
  EXPECT_THROW(write_predictions(folder.path() / "q.npy", two), ConfigError);
  EXPECT_FALSE(fs::exists(folder.path() / "q.npy"));
}

TEST(Predictions, a_path_that_can_not_be_written_is_refused_before_work) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(check_output(folder.path() / "p.txt"), ConfigError);
  std::ofstream(folder.path() / "file") << "x";
  EXPECT_THROW(check_output(folder.path() / "file/p.npz"), CheckpointError);
}

}  // namespace levin::checkpoints_test
