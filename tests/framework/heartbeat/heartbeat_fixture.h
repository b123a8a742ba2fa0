#pragma once

#include <gtest/gtest.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <map>
#include <mutex>
#include <optional>

#include "framework/launch/launcher_fixture.h"

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/heartbeat/heartbeat.h>
#include <levin/framework/launch/failure_report.h>

namespace levin::test {

/// Sleeps as a main thread does that is in a collective, or in a long forward pass.
inline void sleep_for(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

/// How the process of a rank ended.
struct RankEnd {
  int status = -1;  // 128 + n where signal n killed it
  std::string err{};
  std::optional<FailureReport> report{};
};

/// Runs ranks, each a process of its own that has a heartbeat; none is left after a test.
class HeartbeatTest : public LauncherTest {
 protected:
  ~HeartbeatTest() override {
    for (const auto& [rank, process] : processes_) {
      ADD_FAILURE() << "rank " << rank << " still runs";
      ::kill(process, SIGKILL);
      ::waitpid(process, nullptr, 0);
    }
  }

  /// What a rank does. Its process exits with 0, or with 3 and the message on stderr if it throws.
  using Work = std::function<void(Heartbeat& heartbeat, int64_t rank)>;

  /// Starts the ranks, whose work begins when all have joined, and returns then.
  void start(int64_t world_size, const Work& work, const HeartbeatOptions& options = {},
             const std::function<void()>& on_failure = {}) {
    forget_the_last();
    std::fflush(nullptr);
    for (int64_t rank = 0; rank < world_size; ++rank) {
      const pid_t process = ::fork();
      if (process == 0) run_rank(rank, world_size, work, options, on_failure);
      processes_[rank] = process;
    }
    ASSERT_TRUE(have_joined(world_size));
  }

  void signal(int64_t rank, int number) { ASSERT_EQ(::kill(processes_.at(rank), number), 0); }

  /// Waits until the rank has ended by itself.
  RankEnd end_of(int64_t rank) {
    int status = 0;
    const pid_t process = processes_.at(rank);
    if (!eventually([&] { return ::waitpid(process, &status, WNOHANG) == process; })) return {};
    processes_.erase(rank);
    return {.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            .err = text(name("err", rank)),
            .report = read_failure_report(folder_ / name("report", rank))};
  }

  /// A meeting of processes, in the test's folder.
  HeartbeatMeeting meeting() const {
    const fs::path path = folder_ / "meeting";
    return {[path](const std::string& value) { files::write_atomically(path, value); },
            [path] {
              EXPECT_TRUE(eventually([&] { return fs::exists(path); }));
              return read_file(path);
            }};
  }

  static std::string name(const char* what, int64_t rank) {
    return std::string(what) + "-" + std::to_string(rank);
  }

 private:
  bool have_joined(int64_t world_size) const {
    return eventually([&] {
      for (int64_t rank = 0; rank < world_size; ++rank) {
        if (!has(name("joined", rank))) return false;
      }
      return true;
    });
  }
  void forget_the_last() const {
    for (const auto& file : fs::directory_iterator(folder_)) {
      if (file.is_regular_file()) fs::remove(file);
    }
  }
  [[noreturn]] void run_rank(int64_t rank, int64_t world_size, const Work& work,
                             const HeartbeatOptions& options,
                             const std::function<void()>& on_failure) const {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int file = ::open((folder_ / name("err", rank)).c_str(), O_WRONLY | O_CREAT, 0600);
    ::dup2(file, 2);
    ::setenv("LEVIN_ERROR_FILE", (folder_ / name("report", rank)).c_str(), 1);
    ::unsetenv("TORCHELASTIC_ERROR_FILE");
    int status = 0;
    try {
      Heartbeat heartbeat(rank, world_size, meeting(), options, on_failure);
      std::ofstream(folder_ / name("joined", rank)).flush();
      if (!have_joined(world_size)) ::_exit(99);
      work(heartbeat, rank);
    } catch (const DistributedError& error) {
      std::fprintf(stderr, "thrown: %s\n", error.what());
      status = 3;
    }
    std::fflush(nullptr);
    ::_exit(status);
  }

  std::map<int64_t, pid_t> processes_;
};

/// A meeting of threads.
class HeartbeatMeetingPlace {
 public:
  HeartbeatMeeting functions() {
    return {[this](const std::string& value) {
              const std::lock_guard<std::mutex> lock(mutex_);
              value_ = value;
            },
            [this] {
              EXPECT_TRUE(eventually([&] { return !value().empty(); }));
              return value();
            }};
  }
  std::string value() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return value_;
  }

 private:
  std::mutex mutex_;
  std::string value_;
};

}  // namespace levin::test
