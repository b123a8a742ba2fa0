#pragma once

#include <gtest/gtest.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "framework/eventually.h"
#include "framework/temporary_folder.h"

#include <levin/framework/launch/launcher.h>

namespace levin::test {

namespace fs = std::filesystem;

inline std::string last_line(const std::string& text) {
  const auto lines = lines_of(text);
  return lines.empty() ? std::string() : lines.back();
}

/// Undoes what a shell does to the processes that it starts in the background: they ignore Ctrl-C,
/// and so would all that a test starts.
inline void heed_signals() {
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT}) ::signal(signal, SIG_DFL);
}

/// Whether all children have ended or are about to; kills those that haven't and aren't.
inline bool has_no_children() {
  const auto are_gone = [] {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    return ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD;
  };
  if (eventually(are_gone)) return true;
  eventually([&] {  // a child's children become this process's when it has ended
    std::ifstream children("/proc/thread-self/children");
    for (pid_t child = 0; children >> child;) ::kill(child, SIGKILL);
    return are_gone();
  });
  return false;
}

struct Ended {
  int status = -1;  // 128 + n where signal n killed it
  std::string out{};
  std::string err{};
};

/// Runs `launch` in processes of its own, with shell scripts as ranks, and checks after each test
/// that no process, temporary file or descriptor is left.
class LauncherTest : public ::testing::Test {
 protected:
  LauncherTest() {
    heed_signals();
    std::string pattern = (fs::temp_directory_path() / "levin-launcher-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    fs::create_directory(folder_ / "temporary");
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // orphaned processes become children of this one
  }
  ~LauncherTest() override {
    EXPECT_TRUE(has_no_children()) << "a process was left behind";
    for (const auto& left : fs::directory_iterator(folder_ / "temporary")) {
      ADD_FAILURE() << "left behind: " << left.path();
    }
    fs::remove_all(folder_);
  }

  /// Options whose ranks run a script, in the test's folder.
  LaunchOptions ranks(int64_t processes, const std::string& script) const {
    LaunchOptions options;
    options.processes = processes;
    options.command = {"sh", "-c", "cd '" + folder_.string() + "'; " + script};
    return options;
  }

  /// A process that watches over the ranks; its output goes to files.
  pid_t start(const LaunchOptions& options, const std::function<void()>& prepare = {}) const {
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child != 0) return child;
    redirect("in", O_RDONLY | O_CREAT, 0);
    redirect("out", O_WRONLY | O_CREAT | O_APPEND, 1);
    redirect("err", O_WRONLY | O_CREAT | O_APPEND, 2);
    ::setenv("TMPDIR", (folder_ / "temporary").c_str(), 1);
    ::unsetenv("OMP_NUM_THREADS");
    if (prepare) prepare();
    const auto before = open_descriptors();
    int status = 98;
    try {
      status = launch(options);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "thrown: %s\n", error.what());
    }
    std::fflush(nullptr);
    if (open_descriptors() != before) status = 99;
    ::_exit(status);
  }

  Ended wait(pid_t child) const {
    int status = 0;
    if (!eventually([&] { return ::waitpid(child, &status, WNOHANG) == child; })) {
      ADD_FAILURE() << "the launcher hangs";
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
    }
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            read_file(folder_ / "out"), read_file(folder_ / "err")};
  }

  Ended run(const LaunchOptions& options, const std::function<void()>& prepare = {}) const {
    return wait(start(options, prepare));
  }

  bool has(const std::string& name) const { return fs::exists(folder_ / name); }
  std::string text(const std::string& name) const { return read_file(folder_ / name); }
  /// The number in a file that a rank writes; waits for it.
  pid_t process(const std::string& name) const {
    EXPECT_TRUE(eventually([&] { return text(name).ends_with('\n'); })) << name;
    return std::atoi(text(name).c_str());
  }

  fs::path folder_;

 private:
  void redirect(const char* name, int flags, int to) const {
    const int file = ::open((folder_ / name).c_str(), flags, 0600);
    ::dup2(file, to);
    ::close(file);
  }
  /// How many there are beside the standard ones, which `launch` opens if they were closed, and
  /// beside the one that this function uses.
  static ptrdiff_t open_descriptors() {
    return std::count_if(
        fs::directory_iterator("/proc/self/fd"), fs::directory_iterator(), [](const auto& each) {
          std::error_code ignored;
          return std::stoi(each.path().filename()) > 2 && !fs::is_directory(each.path(), ignored);
        });
  }
};

}  // namespace levin::test
