#include <torch/torch.h>

#include <random>

#include "distributed/run_ranks.h"

namespace levin::test::failure_test {

class Failure : public RanksTest {
 protected:
  /// Three ranks whose rank 1 fails in its fourth step. Nothing but the failure ends them before
  /// `wait` gives up: silence and collectives may last for half an hour and longer.
  Value failing(const std::string& how) const {
    Value value;
    value["trainer"]["devices"] = 3;
    value["trainer"]["max_epochs"] = 1000000;
    value["trainer"]["heartbeat_timeout"] = 3600.0;
    value["fail"] = how;
    value["fail_rank"] = 1;
    value["fail_step"] = 4;
    value["keep_exception"] = true;
    return value;
  }

  /// The message with which the hooks of a rank were called, on_exception.
  static std::string told(const Run& ended, int64_t rank) {
    return read_file(ended.folder / ("exception-" + std::to_string(rank)));
  }

  /// Rank 0 was told what fit then threw: which rank failed, not that a connection broke.
  static void expect_told_what_was_thrown(const Run& ended) {
    EXPECT_FALSE(told(ended, 0).empty());
    EXPECT_NE(ended.err.find(told(ended, 0)), std::string::npos)
        << told(ended, 0) << "\n  isn't what was thrown:\n"
        << ended.err;
  }
};

// row 49; "a rank's exception, signal or kill -9 brings all ranks down".
TEST_F(Failure, an_exception_brings_all_ranks_down_with_the_first_ones_message) {
  const auto ended = run(settings("run", failing("throw")));
  EXPECT_EQ(ended.status, 1);
  EXPECT_EQ(last_line(ended.err), "rank 1 failed: the model broke") << ended.err;
  EXPECT_EQ(told(ended, 1), "the model broke");
  expect_told_what_was_thrown(ended);
}

TEST_F(Failure, a_killed_rank_brings_all_down) {
  const auto ended = run(settings("run", failing("kill")));
  EXPECT_EQ(ended.status, 128 + SIGKILL);
  EXPECT_EQ(last_line(ended.err), "rank 1 failed: killed by signal 9 (Killed)") << ended.err;
  expect_told_what_was_thrown(ended);
}

TEST_F(Failure, a_crash_brings_all_down) {
  const auto ended = run(settings("run", failing("segv")));
  EXPECT_EQ(ended.status, 128 + SIGSEGV);
  EXPECT_NE(last_line(ended.err).find("rank 1 failed: killed by signal 11"), std::string::npos);
}

TEST_F(Failure, a_rank_that_leaves_early_brings_all_down) {
  const auto ended = run(settings("run", failing("exit")));
  EXPECT_EQ(ended.status, 3);
  EXPECT_EQ(last_line(ended.err), "rank 1 failed: exit status 3") << ended.err;
}

// "a hung rank is found by a heartbeat".
TEST_F(Failure, a_frozen_rank_is_found_by_its_silence) {
  auto frozen = failing("stop");
  frozen["trainer"]["heartbeat_timeout"] = 3.0;
  const auto ended = run(settings("run", frozen));
  EXPECT_EQ(ended.status, 1);
  EXPECT_NE(last_line(ended.err).find("rank 1 has sent no heartbeat for 3 s"), std::string::npos)
      << ended.err;
}

TEST_F(Failure, a_rank_whose_step_never_ends_is_named) {
  auto hung = failing("hang");
  hung["trainer"]["process_group_timeout"] = 5.0;
  const auto ended = run(settings("run", hung));
  EXPECT_EQ(ended.status, 1);
  EXPECT_NE(last_line(ended.err).find("rank 1 has made no progress for 5 s"), std::string::npos)
      << ended.err;
}

// "stop flags travel beside the data": one rank's wish stops all after the same step.
TEST_F(Failure, one_ranks_interrupt_or_wish_stops_all_at_the_same_step) {
  for (const char* how : {"interrupt", "ask"}) {
    SCOPED_TRACE(how);
    auto wish = failing(how);
    wish["fail_step"] = 2;
    const auto ended = run(settings(how, wish));
    const bool interrupted = how == std::string("interrupt");
    EXPECT_EQ(ended.status, interrupted ? 130 : 0) << ended.err;
    for (const int64_t rank : {0, 1, 2}) {
      EXPECT_EQ(ended.values(rank).at("interrupted").as_bool(), interrupted);
      EXPECT_EQ(difference(ended.rank(rank).child("model"), ended.rank(0).child("model")), 0.0);
    }
    EXPECT_EQ(ended.values(1).at("stop_reason").as_string(),
              interrupted ? "interrupted" : "asked by one");
  }
}

// Any number of keys, each known to all ranks one step after a rank has raised it, and told once.
TEST_F(Failure,
       what_callbacks_ask_after_a_step_is_answered_alike_on_all_ranks_for_any_number_of_keys) {
  Value asking;
  asking["trainer"]["max_epochs"] = 1;
  asking["keys"] = 20;
  const auto ended = run_on(3, "run", asking);
  Value expected = Value::Object{};
  for (int64_t key = 0; key < 20; ++key) {
    expected["key " + std::to_string(key)] = Value::Array{2 + key % 3};
  }
  for (const int64_t rank : {0, 1, 2}) {
    EXPECT_EQ(ended.values(rank).at("told"), expected) << ended.values(rank).at("told").to_json();
  }
}

TEST_F(Failure, the_time_limit_ends_all_ranks_at_the_same_step) {
  auto limited = failing("");
  limited["step_seconds"] = 0.01;
  limited["trainer"]["max_time"] = "00:00:00:01";
  const auto ended = run(settings("run", limited));
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_EQ(ended.values(2).at("stop_reason").as_string(), "max_time");
  EXPECT_EQ(difference(ended.rank(2).child("model"), ended.rank(0).child("model")), 0.0);
}

/// Steps 0..n of an epoch-long run with a checkpoint after every second step.
Value saving(int64_t ranks) {
  Value value;
  value["trainer"]["devices"] = ranks;
  value["trainer"]["max_epochs"] = 4;
  value["global_batch_size"] = 12;
  value["checkpoint"]["every_n_train_steps"] = 2;
  value["dropout"] = 0.2;
  return value;
}

// rows 48, 49: recovery from the failure of a machine.
TEST_F(Failure, ranks_started_again_end_with_the_bits_of_an_undisturbed_run) {
  const auto calm = run_on(3, "calm", saving(3));
  ASSERT_EQ(calm.status, 0) << calm.err;
  for (const char* how : {"throw", "kill"}) {
    SCOPED_TRACE(how);
    auto disturbed = saving(3);
    disturbed["trainer"]["max_restarts"] = 2;
    disturbed["fail"] = how;
    disturbed["fail_rank"] = 2;
    disturbed["fail_step"] = 17;
    disturbed["fail_once"] = true;
    const auto ended = run(settings(how, disturbed));
    EXPECT_EQ(ended.status, 0) << ended.err;
    EXPECT_NE(ended.err.find("restarting all ranks (restart 1 of 2)"), std::string::npos)
        << ended.err;
    EXPECT_NE(ended.err.find("training goes on from"), std::string::npos) << ended.err;
    EXPECT_EQ(difference(ended.rank(0).child("model"), calm.rank(0).child("model")), 0.0);
    EXPECT_NEAR(ended.values().at("fit").at("train_loss_epoch").as_double(),
                calm.values().at("fit").at("train_loss_epoch").as_double(), 0.0);
  }
}

/// The process of each rank that has marked its steps in `file`.
std::map<int, pid_t> processes_in(const fs::path& file) {
  std::map<int, pid_t> processes;
  for (const auto& line : lines_of(read_file(file))) {
    int rank = 0, process = 0, step = 0;
    if (std::sscanf(line.c_str(), "%d %d %d", &rank, &process, &step) == 3) {
      processes[rank] = process;
    }
  }
  return processes;
}

/// The last.ckpt that a run has left in its folder; empty if there is none.
fs::path last_checkpoint_in(const fs::path& folder) {
  for (const auto& file : fs::recursive_directory_iterator(folder)) {
    if (file.path().filename() == "last.ckpt") return file.path();
  }
  return {};
}

// "kill -9 of any rank at 20 random moments of a 3-rank run": one training that is killed twenty
// times, each time resumed from what it had saved, ends as one that nobody disturbed. In every
// fifth round, Levin starts the ranks; in the others, they are processes that nobody watches over,
// as under a launcher that does nothing about failures, and start faster.
TEST_F(Failure, twenty_kills_at_random_moments_end_all_ranks_and_resume) {
  auto calm_settings = saving(3);
  calm_settings["dropout"] = 0.0;
  calm_settings["trainer"]["max_epochs"] = 150;                // more than twenty rounds take
  calm_settings["checkpoint"]["every_n_train_steps"] = 10000;  // none
  const auto calm = run_on(3, "calm", calm_settings);
  ASSERT_EQ(calm.status, 0) << calm.err;
  std::mt19937 random(std::random_device{}());
  fs::path last;
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    const auto marks = folder_ / ("steps-" + std::to_string(round));
    auto watched = calm_settings;
    watched["step_seconds"] = 0.01;
    watched["trainer"]["heartbeat_timeout"] = 3600.0;
    watched["mark_steps"] = marks.string();
    watched["checkpoint"]["every_n_train_steps"] = 2;
    watched["checkpoint"]["save_last"] = true;
    if (!last.empty()) watched["ckpt_path"] = last.string();
    const auto place = settings("round-" + std::to_string(round), watched);
    const bool is_launched = round % 5 == 0;
    const auto started = is_launched ? std::vector<pid_t>{start(place)} : fork_ranks(3, place);
    ASSERT_TRUE(eventually([&] { return processes_in(marks).size() == 3; }));
    const int victim = static_cast<int>(random() % 3);
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 350));
    ASSERT_EQ(::kill(processes_in(marks)[victim], SIGKILL), 0) << "the run was over";
    const auto name = "rank " + std::to_string(victim);
    Run killed;
    for (int rank = 0; rank < static_cast<int>(started.size()); ++rank) {
      killed = wait(started[static_cast<size_t>(rank)], place);
      const bool is_victim = is_launched || rank == victim;
      EXPECT_EQ(killed.status, is_victim ? 128 + SIGKILL : 1) << rank << killed.err;
    }
    if (is_launched) {
      EXPECT_EQ(last_line(killed.err), name + " failed: killed by signal 9 (Killed)");
    } else {
      EXPECT_NE(killed.err.find(name), std::string::npos) << killed.err;
    }
    const auto saved = last_checkpoint_in(killed.folder);
    if (!saved.empty()) last = saved;
  }
  ASSERT_FALSE(last.empty());
  auto rest = calm_settings;
  rest["ckpt_path"] = last.string();
  const auto resumed = run_on(3, "rest", rest);
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_EQ(difference(resumed.rank(0).child("model"), calm.rank(0).child("model")), 0.0);
}

TEST_F(Failure, fewer_ranks_go_on_with_the_same_global_batches) {
  auto steady = saving(3);
  steady["dropout"] = 0.0;
  const auto calm = run_on(3, "calm", steady);
  ASSERT_EQ(calm.status, 0) << calm.err;
  auto first = steady;
  first["trainer"]["max_steps"] = 13;
  first["save"] = (folder_ / "middle.ckpt").string();
  ASSERT_EQ(run_on(3, "first", first).status, 0);
  for (const int64_t ranks : {1, 2, 4}) {
    SCOPED_TRACE(ranks);
    auto rest = steady;
    rest["global_batch_size"] = 0;  // the checkpoint knows it
    rest["batch_size"] = 5;
    rest["ckpt_path"] = (folder_ / "middle.ckpt").string();
    const auto ended = run_on(ranks, "rest-" + std::to_string(ranks), rest);
    ASSERT_EQ(ended.status, 0) << ended.err;
    EXPECT_LE(difference(ended.rank(0).child("model"), calm.rank(0).child("model")), 1e-12);
    EXPECT_NEAR(ended.values().at("fit").at("train_loss_epoch").as_double(),
                calm.values().at("fit").at("train_loss_epoch").as_double(), 1e-12);
  }
}

}  // namespace levin::test::failure_test
