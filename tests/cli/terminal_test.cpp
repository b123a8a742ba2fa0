#include "cli/program.h"

#include <sys/ioctl.h>

#include <algorithm>

#include "framework/screen.h"

// What a user sees who runs the program in a terminal.

namespace levin::test::terminal_test {

class ProgramInTerminal : public ProgramTest {
 protected:
  ProgramInTerminal() : terminal_(160), screen_(160) {
    write("iris.yaml",
          "trainer: {max_epochs: 1000000, logger: false, enable_checkpointing: false}\n"
          "model: {class_path: LogisticRegression, init_args: {in_features: 4, num_classes: 3}}\n"
          "data: IrisDataModule\n");
  }

  /// Starts a copy of this process whose terminal is `terminal_`.
  pid_t start_in_terminal(const std::vector<std::string>& arguments) {
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child != 0) return child;
    const int terminal = ::fileno(terminal_.out());
    if (::setsid() < 0 || ::ioctl(terminal, TIOCSCTTY, 0) != 0) std::abort();
    for (const int each : {0, 1, 2}) ::dup2(terminal, each);
    if (::chdir(folder_.path().c_str()) != 0) std::abort();
    for (const char* name : {"CI", "NO_COLOR", "CLICOLOR", "LC_ALL"}) ::unsetenv(name);
    ::setenv("TERM", "xterm", 1);
    ::setenv("LC_CTYPE", "C.UTF-8", 1);
    std::vector<const char*> argv = {"levin"};
    for (const auto& each : arguments) argv.push_back(each.c_str());
    argv.push_back(nullptr);
    const int status = run_command_line(static_cast<int>(argv.size()) - 1, argv.data(),
                                        shipped_classes(), serving_commands());
    std::fflush(nullptr);
    ::_exit(status);
  }

  /// Reads what the program prints until the screen shows `part`, for at most a minute.
  bool shows(const std::string& part) {
    for (int i = 0; i < 6000; ++i) {
      screen_.send(terminal_.read());
      for (const auto& line : screen_.lines()) {
        if (line.find(part) != std::string::npos) return true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  /// Reads until the program has ended, and returns its exit status, or 128 + n if signal n ended
  /// it.
  int end_of(pid_t child) {
    int status = 0;
    while (::waitpid(child, &status, WNOHANG) == 0) {
      screen_.send(terminal_.read());
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    screen_.send(terminal_.read());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  /// Whether what the shell prints next has a line for itself, in the usual color, and whether keys
  /// that are typed are treated as they were before.
  void expect_clean(const termios& before) {
    EXPECT_EQ(screen_.column(), 0U);
    EXPECT_FALSE(screen_.colored());
    screen_.send("$ next");
    EXPECT_EQ(screen_.lines().back(), "$ next");
    const termios after = terminal_.settings();
    EXPECT_EQ(after.c_lflag, before.c_lflag);
    EXPECT_EQ(after.c_iflag, before.c_iflag);
    EXPECT_EQ(after.c_oflag, before.c_oflag);
  }

  PseudoTerminal terminal_;
  Screen screen_;
};

TEST_F(ProgramInTerminal, a_fit_draws_one_line_in_color_and_ctrl_c_leaves_the_terminal_clean) {
  const termios before = terminal_.settings();
  const pid_t child = start_in_terminal({"fit", "--config", "iris.yaml"});
  ASSERT_TRUE(shows(" loss ")) << "the curve of the losses";
  terminal_.type("\x03");
  EXPECT_EQ(end_of(child), 130);
  const auto lines = screen_.lines();
  const auto is_epoch = [](const std::string& line) { return line.find("poch ") < 3; };
  ASSERT_EQ(std::count_if(lines.begin(), lines.end(), is_epoch), 1) << screen_.text();
  EXPECT_GT(screen_.colored_cells(), 20);
  EXPECT_EQ(screen_.text().find("^C"), std::string::npos) << screen_.text();
  expect_clean(before);
}

TEST_F(ProgramInTerminal, sigterm_leaves_the_terminal_clean) {
  const termios before = terminal_.settings();
  const pid_t child = start_in_terminal({"fit", "--config", "iris.yaml"});
  ASSERT_TRUE(shows("Epoch "));
  ::kill(child, SIGTERM);
  EXPECT_EQ(end_of(child), 130);
  expect_clean(before);
}

}  // namespace levin::test::terminal_test
