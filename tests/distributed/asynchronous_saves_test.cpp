// Checkpoints that are written while several ranks train on.
#include <levin/framework/core/files.h>

#include <map>
#include <sstream>

#include "distributed/run_ranks.h"
#include "framework/eventually.h"
#include "framework/support.h"

namespace levin::test::asynchronous_saves_test {

using AsynchronousSaves = RanksTest;

/// Seven steps an epoch, and a checkpoint after every fourth.
Value every_fourth_step(const char* strategy, bool asynchronous) {
  Value value;
  value["global_batch_size"] = 16;
  value["trainer"]["max_epochs"] = 2;
  value["trainer"]["strategy"] = strategy;
  value["checkpoint"]["every_n_train_steps"] = 4;
  value["checkpoint"]["save_top_k"] = -1;
  value["checkpoint"]["save_last"] = true;
  value["checkpoint"]["asynchronous"] = asynchronous;
  return value;
}

/// Trains with a clock that stands still, because checkpoints have the time that was trained.
int train(const Value& settings) {
  files::inject_clock([] { return 100.0; });
  return work_as_rank(settings);
}

/// Whether a rank has begun a step, by the file of {"mark_steps": file}.
bool has_begun(const std::string& file, const std::string& rank, int64_t step) {
  std::istringstream lines(fs::exists(file) ? read_file(file) : std::string());
  std::string of_rank, process;
  int64_t at = 0;
  while (lines >> of_rank >> process >> at) {
    if (of_rank == rank && at >= step) return true;
  }
  return false;
}

/// The same, but the first checkpoint's file isn't opened before both ranks are two steps further.
/// The file "went_on" tells that it wasn't because of the time.
int train_on_while_writing(const Value& settings) {
  const std::string marks = settings.at("mark_steps").as_string();
  files::inject_faults([&](const files::Operation& operation) {
    const std::string path = operation.path.string();
    if (operation.name != "open" || path.find("step=4.ckpt") == std::string::npos) return 0;
    if (eventually([&] { return has_begun(marks, "0", 6) && has_begun(marks, "1", 6); })) {
      std::ofstream(settings.at("out").as_string() + "/went_on").close();
    }
    return 0;
  });
  return train(settings);
}

fs::path checkpoints_of(const fs::path& folder) {
  return folder / "levin_logs" / "version_0" / "checkpoints";
}

/// The states in the checkpoints, which are folders if ranks have shares of them.
std::map<std::string, StateDict> states_of_checkpoints(const fs::path& folder) {
  std::map<std::string, StateDict> states;
  for (const auto& entry : fs::directory_iterator(checkpoints_of(folder))) {
    states[entry.path().filename().string()] = load_checkpoint(entry.path()).clone();
  }
  return states;
}

void expect_same_bits(const StateDict& state, const StateDict& expected) {
  EXPECT_EQ(state.values.to_json(), expected.values.to_json());
  ASSERT_EQ(state.tensors.size(), expected.tensors.size());
  for (const auto& [name, tensor] : expected.tensors) {
    EXPECT_TRUE(same_bits(state.tensor(name), tensor)) << name;
  }
}

TEST_F(AsynchronousSaves, have_the_bits_of_others_and_are_gone_on_from_by_every_strategy) {
  for (const std::string strategy : {"ddp", "zero_stage_1", "zero_stage_2", "zero_stage_3"}) {
    SCOPED_TRACE(strategy);
    std::vector<std::map<std::string, StateDict>> states;
    StateDict undisturbed;
    for (const bool asynchronous : {false, true}) {
      const auto settings = every_fourth_step(strategy.c_str(), asynchronous);
      const auto run = run_on(2, strategy, settings, train);
      states.push_back(states_of_checkpoints(run.folder));
      undisturbed = run.rank(1).child("model");
      EXPECT_EQ(difference(run.rank(0).child("model"), undisturbed), 0.0);
      if (!asynchronous) fs::remove_all(run.folder);
    }
    ASSERT_EQ(states[0].size(), 4U);  // after steps 4, 8 and 12, and the last one
    ASSERT_EQ(states[1].size(), 4U);
    for (const auto& [name, state] : states[0]) {
      SCOPED_TRACE(name);
      ASSERT_TRUE(states[1].contains(name));
      expect_same_bits(states[1].at(name), state);
    }

    auto resumed = every_fourth_step(strategy.c_str(), /*asynchronous=*/true);
    resumed["ckpt_path"] = (checkpoints_of(folder_ / strategy) / "epoch=1-step=8.ckpt").string();
    const auto run = run_on(2, strategy + "-resumed", resumed, train);
    EXPECT_EQ(difference(run.rank(1).child("model"), undisturbed), 0.0);
  }
}

TEST_F(AsynchronousSaves, are_written_while_all_ranks_train_on) {
  auto settings = every_fourth_step("ddp", /*asynchronous=*/true);
  settings["mark_steps"] = (folder_ / "marks").string();
  const auto run = run_on(2, "run", settings, train_on_while_writing);
  EXPECT_TRUE(fs::exists(run.folder / "went_on"));
  const auto state = load_checkpoint(checkpoints_of(run.folder) / "epoch=0-step=4.ckpt");
  EXPECT_EQ(state.values.at("global_step").as_int(), 4);
}

}  // namespace levin::test::asynchronous_saves_test
