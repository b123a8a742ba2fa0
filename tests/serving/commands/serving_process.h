#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "framework/eventually.h"
#include "framework/temporary_folder.h"
#include "serving/http/raw_client.h"

namespace levin::test {

/// Whether this machine has all of these programs.
inline bool has_programs(std::initializer_list<const char*> names) {
  for (const std::string name : names) {
    if (std::system(("command -v " + name + " > /dev/null 2>&1").c_str()) != 0) {  // NOLINT
      return false;
    }
  }
  return true;
}

/// A process that a test starts in a folder, and what it prints. It ends with the object.
class TestProcess {
 public:
  /// `words`: the program, which is looked for as a shell does, and its arguments. `last`: the
  /// signal that ends it; SIGTERM if it has processes of its own to end.
  TestProcess(const std::filesystem::path& folder, std::vector<std::string> words,
              int last = SIGKILL)
      : last_(last) {
    std::vector<char*> argv;
    for (auto& each : words) argv.push_back(each.data());
    argv.push_back(nullptr);
    const std::string file = (output_ / "printed").string();
    const std::string work = folder.string();
    id_ = ::fork();
    if (id_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, last_);
    const int to = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (to < 0 || ::dup2(to, 1) < 0 || ::dup2(to, 2) < 0 || ::chdir(work.c_str()) != 0) {
      ::_exit(126);
    }
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  ~TestProcess() { kill(); }
  TestProcess(const TestProcess&) = delete;
  TestProcess& operator=(const TestProcess&) = delete;

  /// What it has printed so far, on stdout and stderr.
  std::string printed() const { return read_file(output_ / "printed"); }
  /// Whether it prints a text before it ends.
  bool prints(std::string_view text) const {
    bool found = false;
    eventually([&] {
      const bool is_over = has_ended();
      found = printed().find(text) != std::string::npos;
      return found || is_over;
    });
    return found;
  }

  void signal(int number) const { ::kill(id_, number); }
  /// Stops it until SIGCONT; returns when it stands still.
  void pause() const {
    int status = 0;
    signal(SIGSTOP);
    ::waitpid(id_, &status, WUNTRACED);
  }
  void kill() {
    if (id_ <= 0) return;
    signal(last_);
    wait();
  }
  /// Asks it to end, and returns its exit status.
  int end() {
    signal(SIGTERM);
    return wait();
  }
  /// Waits until it has ended, and returns its exit status; 128 + n if signal n ended it.
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(id_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  bool has_ended() const {
    siginfo_t info = {};
    return ::waitid(P_PID, static_cast<id_t>(id_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid == id_;
  }

  const int last_;
  TemporaryFolder output_;
  pid_t id_ = -1;
};

/// A process of `levin serve`.
class ServingProcess : public TestProcess {
 public:
  ServingProcess(const std::filesystem::path& folder, std::vector<std::string> arguments)
      : TestProcess(folder, with_program(std::move(arguments))) {}

  /// The port on which it listens, once it does.
  int64_t port() const {
    const std::string before = "://127.0.0.1:";
    EXPECT_TRUE(prints("listening on ")) << printed();
    const std::string text = printed();
    const size_t at = text.find(before);
    return at == std::string::npos ? 0 : std::atoll(text.c_str() + at + before.size());
  }

 private:
  static std::vector<std::string> with_program(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {LEVIN_BINARY_DIR "/bin/levin", "serve"});
    return arguments;
  }
};

/// The status of the answer to GET.
inline int status_of(int64_t port, std::string_view path) {
  return RawClient(port).ask(get_request(path)).status;
}

/// What a shell command prints, and its exit status.
struct ShellResult {
  int status = -1;
  std::string output{};
};

inline ShellResult shell(const std::string& command) {
  ShellResult result;
  std::FILE* const pipe = ::popen(("{ " + command + "; } 2>&1").c_str(), "re");
  char buffer[4096];
  for (size_t got = 0; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
    result.output.append(buffer, got);
  }
  const int status = ::pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace levin::test
