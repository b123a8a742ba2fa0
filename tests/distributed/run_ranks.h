#pragma once

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <vector>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/value.h>
#include <levin/framework/launch/rank_environment.h>
#include <levin/framework/launch/reserved_port.h>

#include "distributed/rank_work.h"
#include "framework/launch/launcher_fixture.h"
#include "framework/temporary_folder.h"

namespace levin::test {

/// Runs `work_as_rank` as one process or several, in a folder of the test's own, and checks that no
/// process is left behind. Processes are either copies of this one or start as the program
/// rank_program, by themselves or by a launcher.
class RanksTest : public ::testing::Test {
 protected:
  RanksTest() {
    heed_signals();
    // A process whose parent has ended becomes a child of this one.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  }
  ~RanksTest() override { EXPECT_TRUE(has_no_children()) << "a process was left behind"; }

  /// The program, which lies beside this one.
  static std::string program() {
    return (fs::read_symlink("/proc/self/exe").parent_path() / "rank_program").string();
  }

  struct Run {
    fs::path folder;
    int status = -1;  // 128 + n where signal n ended it
    std::string out{};
    std::string err{};

    StateDict rank(int64_t number) const {
      return load_checkpoint(folder / ("rank-" + std::to_string(number) + ".ckpt"));
    }
    Value values(int64_t number = 0) const { return rank(number).values; }
  };

  /// Settings with a folder of their own as "out".
  Value settings(const std::string& name, Value more = Value::Object{}) const {
    Value all = std::move(more);
    fs::create_directories(folder_ / name);
    all["out"] = (folder_ / name).string();
    return all;
  }

  using Environment = std::map<std::string, std::string>;

  /// Starts `launcher` (nothing: the program by itself) on the program with these settings.
  pid_t start(const Value& settings, const std::vector<std::string>& launcher = {},
              const Environment& environment = {}, const std::string& log = {}) const {
    std::vector<std::string> words = launcher;
    words.push_back(program());
    words.push_back(settings.to_json());
    const fs::path folder = settings.at("out").as_string();
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child != 0) return child;
    ::setpgid(0, 0);
    redirect(folder / ("out" + log), 1);
    redirect(folder / ("err" + log), 2);
    for (const char* name :
         {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "LEVIN_LAUNCHED",
          "LEVIN_RUN_ID", "LEVIN_RUN_SECRET", "LEVIN_RESTART_COUNT"}) {
      ::unsetenv(name);
    }
    ::setenv("OMP_NUM_THREADS", "1", 1);
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }

  /// Waits for it at most `seconds`; then kills it, and the test fails.
  Run wait(pid_t child, const Value& settings, double seconds = 120,
           const std::string& log = {}) const {
    Run run;
    run.folder = settings.at("out").as_string();
    int status = 0;
    const bool ended =
        eventually([&] { return ::waitpid(child, &status, WNOHANG) == child; }, seconds);
    if (!ended) {
      ADD_FAILURE() << "no end after " << seconds << " s";
      ::kill(-child, SIGKILL);
      ::waitpid(child, &status, 0);
    }
    run.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    run.out = read_file(run.folder / ("out" + log));
    run.err = read_file(run.folder / ("err" + log));
    return run;
  }

  Run run(const Value& settings, const std::vector<std::string>& launcher = {},
          const Environment& environment = {}) const {
    return wait(start(settings, launcher, environment), settings);
  }

  /// The same with `ranks` processes of this host, which the Trainer starts.
  Run launch_on(int64_t ranks, const std::string& name, Value more = Value::Object{}) const {
    more["trainer"]["devices"] = ranks;
    const Run result = run(settings(name, std::move(more)));
    EXPECT_EQ(result.status, 0) << result.err;
    return result;
  }

  /// What a rank does, with the settings; returns its status. An exception is printed, and is 1.
  using Work = int (*)(const Value& settings);

  /// The same with processes that are copies of this one. A program that starts needs half a second
  /// to load LibTorch, which this one has loaded.
  Run run_on(int64_t ranks, const std::string& name, Value more = Value::Object{},
             Work work = work_as_rank) const {
    more["trainer"]["devices"] = ranks;
    const Value all = settings(name, std::move(more));
    const Run result = wait_all(fork_ranks(ranks, all, work), all);
    EXPECT_EQ(result.status, 0) << result.err;
    return result;
  }

  /// Starts copies of this process as the ranks of one host, with the variables that Levin's
  /// launcher sets. This process must not have used a GPU.
  std::vector<pid_t> fork_ranks(int64_t ranks, const Value& settings,
                                Work work = work_as_rank) const {
    std::vector<pid_t> started;
    const ReservedPort port;
    RankPlace place{.master_port = port.number(), .run_id = random_name()};
    std::fflush(nullptr);
    for (int64_t rank = 0; rank < ranks; ++rank) {
      place.rank = place.local_rank = rank;
      started.push_back(::fork());
      if (started.back() != 0) continue;
      ::setpgid(0, 0);
      const fs::path folder = settings.at("out").as_string();
      redirect(folder / "out", 1);
      redirect(folder / "err", 2);
      if (ranks > 1) {
        for (const auto& entry : rank_environment({.processes = ranks}, place)) {
          const auto sign = entry.find('=');
          ::setenv(entry.substr(0, sign).c_str(), entry.c_str() + sign + 1, 1);
        }
        ::unsetenv("LEVIN_ERROR_FILE");
      }
      int status = 1;
      try {
        status = work(settings);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
      }
      std::fflush(nullptr);
      ::_exit(status);
    }
    return started;
  }

  /// Waits for all of them. The status is that of the first of them that failed, if any did.
  Run wait_all(const std::vector<pid_t>& started, const Value& settings) const {
    Run all;
    all.status = 0;
    for (const pid_t each : started) {
      Run run = wait(each, settings);
      if (all.status != 0) run.status = all.status;
      all = std::move(run);
    }
    return all;
  }

  TemporaryFolder folder_;

 private:
  static void redirect(const fs::path& path, int to) {
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ::dup2(file, to);
  }
};

/// The largest difference between two states' tensors.
inline double difference(const StateDict& a, const StateDict& b) {
  double largest = a.tensors.size() == b.tensors.size() ? 0.0 : 1e300;
  for (const auto& [name, tensor] : a.tensors) {
    const auto& other = b.tensor(name);
    if (tensor.sizes() != other.sizes()) return 1e300;
    if (tensor.numel() == 0) continue;
    const auto gap = (tensor.to(at::kDouble) - other.to(at::kDouble)).abs().max();
    largest = std::max(largest, gap.item<double>());
  }
  return largest;
}

}  // namespace levin::test
