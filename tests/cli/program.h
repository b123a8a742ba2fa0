#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <levin/cli/command_line.h>
#include <levin/framework/core/value.h>
#include <levin/serving/commands/serving_commands.h>
#include <levin/tuning/commands/tuning_commands.h>

#include "framework/sanitizer.h"
#include "framework/temporary_folder.h"

namespace levin::test {

namespace fs = std::filesystem;

/// How a run of the program ended.
struct Outcome {
  int status = -1;  // the exit status, 128 + n where signal n killed it
  std::string out;
  std::string err;

  std::string last_line() const {
    std::istringstream lines(out);
    std::string last;
    for (std::string line; std::getline(lines, line);) last = line;
    return last;
  }
  Value json() const { return Value::from_json(last_line()); }
};

/// A folder of its own in which the built `levin` is run.
class ProgramTest : public ::testing::Test {
 protected:
  ProgramTest() {
    if (std::getenv("LEVIN_COPY_OF_A_TEST") != nullptr) {
      std::fputs("a copy of a test can't start ranks\n", stderr);
      std::abort();
    }
  }
  ~ProgramTest() override {
    std::error_code ignored;
    fs::remove_all(output_folder(), ignored);
  }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }

  /// Starts the program in the folder; its output goes to files beside it.
  pid_t start(std::vector<std::string> arguments) const {
    fs::create_directories(output_folder());
    arguments.insert(arguments.begin(), LEVIN_BINARY_DIR "/bin/levin");
    std::vector<char*> argv;
    for (auto& each : arguments) argv.push_back(each.data());
    argv.push_back(nullptr);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder_.path().c_str());
    const int flags = O_WRONLY | O_CREAT | O_TRUNC;
    posix_spawn_file_actions_addopen(&actions, 1, (output_folder() / "out").c_str(), flags, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, (output_folder() / "err").c_str(), flags, 0600);
    pid_t child = -1;
    const int error = posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    EXPECT_EQ(error, 0) << argv[0];
    return child;
  }

  /// The same with a copy of this process instead of the program.
  pid_t start_copy(std::vector<std::string> arguments) const {
    fs::create_directories(output_folder());
    arguments.insert(arguments.begin(), LEVIN_BINARY_DIR "/bin/levin");
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child != 0) return child;
    // If the run starts ranks all the same, they must not run this test.
    ::setenv("LEVIN_COPY_OF_A_TEST", "1", 1);
    redirect("out", 1);
    redirect("err", 2);
    if (::chdir(folder_.path().c_str()) != 0) std::abort();
    std::vector<const char*> argv;
    for (const auto& each : arguments) argv.push_back(each.c_str());
    argv.push_back(nullptr);
    Commands commands = serving_commands();
    for (auto& each : tuning_commands()) commands.push_back(std::move(each));
    const int status = run_command_line(static_cast<int>(arguments.size()), argv.data(),
                                        shipped_classes(), commands);
    std::fflush(nullptr);
    ::_exit(status);  // LibTorch's destructors would take as long as it takes to load
  }

  Outcome wait(pid_t child) const {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    Outcome outcome;
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    outcome.out = read_file(output_folder() / "out");
    outcome.err = read_file(output_folder() / "err");
    return outcome;
  }

  /// Runs the program with these arguments, as a copy of this process: a program that starts needs
  /// half a second to load LibTorch, which this one has loaded. Several ranks would be started as
  /// this test's program, so the program itself starts them. So does it with the address sanitizer,
  /// which looks for leaks when a program ends.
  Outcome run(const std::vector<std::string>& arguments) const {
    const bool has_ranks = std::any_of(
        arguments.begin(), arguments.end(),
        [](const std::string& each) { return each.find("devices") != std::string::npos; });
    return wait(has_ranks || kAddressSanitizer ? start(arguments) : start_copy(arguments));
  }

  /// Runs and expects status and a part of the one error line.
  void expect_error(const std::vector<std::string>& arguments, int status,
                    const std::string& part) const {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, status) << outcome.err;
    const size_t line = outcome.err.find("error: ");
    ASSERT_NE(line, std::string::npos) << outcome.err;
    EXPECT_TRUE(line == 0 || outcome.err[line - 1] == '\n') << outcome.err;
    EXPECT_NE(outcome.err.find(part, line), std::string::npos)
        << outcome.err << "  lacks: " << part;
    EXPECT_EQ(outcome.err.find("frame #"), std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }

  /// Every file and folder below the folder.
  std::vector<std::string> contents() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
      names.push_back(fs::relative(entry.path(), folder_.path()).string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  fs::path output_folder() const { return folder_.string() + "-output"; }

  TemporaryFolder folder_;

 private:
  void redirect(const char* name, int to) const {
    const int file = ::open((output_folder() / name).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || ::dup2(file, to) != to) std::abort();
    ::close(file);
  }
};

}  // namespace levin::test
