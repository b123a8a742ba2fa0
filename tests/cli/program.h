#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <levin/framework/core/value.h>

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

  Outcome wait(pid_t child) const {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    Outcome outcome;
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    outcome.out = read_file(output_folder() / "out");
    outcome.err = read_file(output_folder() / "err");
    return outcome;
  }

  Outcome run(const std::vector<std::string>& arguments) const { return wait(start(arguments)); }

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
};

}  // namespace levin::test
