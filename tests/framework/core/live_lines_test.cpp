#include <levin/framework/core/live_lines.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <map>
#include <utility>

#include <sys/wait.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/live_region.h>
#include <levin/framework/core/sparkline.h>

#include "framework/screen.h"

namespace levin::live_lines_test {

using test::PseudoTerminal;
using test::Screen;
using Lines = std::vector<std::string>;

/// What `out` can show in an environment with these variables.
Terminal terminal_with(std::FILE* out, std::map<std::string, std::string> variables) {
  return terminal_of(out, [&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(Terminal, is_live_and_has_colors_unless_the_environment_says_otherwise) {
  const PseudoTerminal terminal(80);
  EXPECT_TRUE(terminal_with(terminal.out(), {{"TERM", "xterm"}}).live);
  EXPECT_TRUE(terminal_with(terminal.out(), {}).color);
  EXPECT_FALSE(terminal_with(terminal.out(), {{"TERM", "dumb"}}).live);
  EXPECT_FALSE(terminal_with(terminal.out(), {{"TERM", "dumb"}}).color);
  EXPECT_FALSE(terminal_with(terminal.out(), {{"CI", "true"}}).live);
  EXPECT_TRUE(terminal_with(terminal.out(), {{"CI", "false"}}).live);
  EXPECT_FALSE(terminal_with(terminal.out(), {{"NO_COLOR", "1"}}).color);
  EXPECT_TRUE(terminal_with(terminal.out(), {{"NO_COLOR", "1"}}).live);
  EXPECT_TRUE(terminal_with(terminal.out(), {{"NO_COLOR", ""}}).color);
  EXPECT_FALSE(terminal_with(terminal.out(), {{"CLICOLOR", "0"}}).color);
}

TEST(Terminal, a_file_is_neither_live_nor_colored_unless_colors_are_forced) {
  std::FILE* file = std::tmpfile();
  EXPECT_FALSE(terminal_with(file, {}).live);
  EXPECT_FALSE(terminal_with(file, {{"TERM", "xterm-256color"}}).color);
  EXPECT_TRUE(terminal_with(file, {{"CLICOLOR_FORCE", "1"}}).color);
  EXPECT_FALSE(terminal_with(file, {{"CLICOLOR_FORCE", "0"}}).color);
  EXPECT_FALSE(terminal_with(file, {{"CLICOLOR_FORCE", "1"}, {"NO_COLOR", "1"}}).color);
  std::fclose(file);
}

TEST(Terminal, shows_utf_8_if_the_first_variable_of_the_locale_says_so) {
  std::FILE* file = std::tmpfile();
  EXPECT_TRUE(terminal_with(file, {{"LANG", "de_DE.UTF-8"}}).unicode);
  EXPECT_TRUE(terminal_with(file, {{"LC_ALL", ""}, {"LC_CTYPE", "C.utf8"}}).unicode);
  EXPECT_FALSE(terminal_with(file, {{"LC_ALL", "C"}, {"LANG", "de_DE.UTF-8"}}).unicode);
  EXPECT_FALSE(terminal_with(file, {}).unicode);
  std::fclose(file);
}

TEST(Terminal, texts_are_measured_and_cut_by_columns) {
  EXPECT_EQ(text_columns("äöü"), 3);
  EXPECT_EQ(text_columns("精度"), 4);
  EXPECT_EQ(text_columns("e\u0301"), 1) << "an accent on the letter before";
  EXPECT_EQ(text_columns("🙂!"), 3);
  EXPECT_EQ(text_columns(painted("abc", Color::green, true)), 3);
  EXPECT_EQ(cut_to_columns("äöüäö", 3), "äöü");
  EXPECT_EQ(cut_to_columns("a精度", 2), "a") << "there is no half of a character";
  EXPECT_EQ(cut_to_columns("\x1b[32mgreen\x1b[0m", 3), "\x1b[32mgre\x1b[0m");
  EXPECT_EQ(cut_to_columns("\x1b[32mgreen\x1b[0m", 5), "\x1b[32mgreen\x1b[0m");
  EXPECT_EQ(painted("abc", Color::green, false), "abc");
}

TEST(Terminal, bars_are_filled_by_their_share) {
  EXPECT_EQ(bar_text(0.5, 12, Color::green, {}), "|#####     |");
  EXPECT_EQ(bar_text(2.0, 4, Color::green, {}), "|##|");
  EXPECT_EQ(bar_text(0.3, 7, Color::green, {.unicode = true}), "|█▌   |") << "1.5 columns";
  EXPECT_EQ(bar_text(0.5, 4, Color::green, {.color = true}), "|\x1b[32m#\x1b[0m |");
}

TEST(Sparkline, has_heights_between_the_least_and_the_largest_value) {
  Sparkline line;
  EXPECT_EQ(line.text(8, true), "");
  for (int i = 7; i >= 0; --i) line.add(i);
  line.add(std::nan(""));
  EXPECT_EQ(line.text(16, true), "█▇▆▅▄▃▂▁");
  EXPECT_EQ(line.text(16, false), "@#*+=-:.");
  EXPECT_EQ(line.text(4, false), "@*-.") << "means of two values: 6.5, 4.5, 2.5, 0.5";
  line.clear();
  line.add(3.0);
  line.add(3.0);
  EXPECT_EQ(line.text(8, false), "..") << "of one height";
}

TEST(Sparkline, keeps_the_whole_of_a_long_series) {
  Sparkline line;
  for (int i = 0; i < 100'000; ++i) line.add(i < 50'000 ? 1.0 : 0.0);
  const std::string text = line.text(10, false);
  EXPECT_EQ(text.size(), 10U);
  EXPECT_EQ(text.substr(0, 4), "@@@@");
  EXPECT_EQ(text.substr(6), "....");
}

/// Lines on a terminal of its own, and what is seen of them.
class LiveLinesOnTerminal : public ::testing::Test {
 protected:
  explicit LiveLinesOnTerminal(int columns = 20) : terminal_(columns), screen_(columns) {}
  Lines seen() {
    screen_.send(terminal_.read());
    return screen_.lines();
  }
  PseudoTerminal terminal_;
  Screen screen_;
  LiveLines lines_{terminal_.out(), {.live = true}};
};

TEST_F(LiveLinesOnTerminal, take_the_place_of_those_before) {
  diagnostics::print(terminal_.out(), "before\n");
  lines_.end();  // none has begun
  lines_.write("a long line");
  EXPECT_EQ(seen(), (Lines{"before", "a long line"}));
  lines_.write(Lines{"outer", "  inner"});
  EXPECT_EQ(seen(), (Lines{"before", "outer", "  inner"}));
  EXPECT_EQ(screen_.row(), 1U) << "the cursor is where the next update begins";
  lines_.write("b");
  EXPECT_EQ(seen(), (Lines{"before", "b"}));
  lines_.write(Lines{"c", "d"});
  lines_.end();
  lines_.end();
  diagnostics::print(terminal_.out(), "after\n");
  EXPECT_EQ(seen(), (Lines{"before", "c", "d", "after"}));
}

TEST_F(LiveLinesOnTerminal, move_below_what_is_printed_meanwhile) {
  lines_.write(Lines{"outer", "inner"});
  diagnostics::print(terminal_.out(), "warning: something\n");
  EXPECT_EQ(seen(), Lines{"warning: something"});
  lines_.write(Lines{"outer 2", "inner 2"});
  diagnostics::print_line(terminal_.out(), "saved");
  lines_.end();
  EXPECT_EQ(seen(), (Lines{"warning: something", "saved", "outer 2", "inner 2"}));
}

TEST_F(LiveLinesOnTerminal, fit_the_width_also_after_it_was_changed) {
  const std::string text = "0123456789abcdefghijklmnopqrstuvwxyz";
  lines_.write(Lines{text, text});
  EXPECT_EQ(seen(), (Lines{text.substr(0, 19), text.substr(0, 19)}));
  for (const int columns : {8, 30, 3, 12}) {
    terminal_.resize(columns);
    screen_.resize(columns);
    lines_.write(Lines{text, text});
    const std::string cut = text.substr(0, static_cast<size_t>(columns) - 1);
    EXPECT_EQ(seen(), (Lines{cut, cut}));
  }
  terminal_.resize(6);
  screen_.resize(6);
  lines_.end();
  diagnostics::print(terminal_.out(), "$ ");
  EXPECT_EQ(seen(), (Lines{"01234", "01234", "$"}));
}

TEST_F(LiveLinesOnTerminal, are_written_at_once_and_never_blanked_first) {
  lines_.write(Lines{"outer", "inner"});
  terminal_.read();
  lines_.write(Lines{"Outer", "Inner"});
  EXPECT_EQ(terminal_.read(), "\rOuter\x1b[K\r\nInner\x1b[K\x1b[J\x1b[1A\r");
}

TEST_F(LiveLinesOnTerminal, can_be_removed) {
  diagnostics::print(terminal_.out(), "before\n");
  lines_.write(Lines{"outer", "inner"});
  lines_.clear();
  diagnostics::print(terminal_.out(), "after\n");
  EXPECT_EQ(seen(), (Lines{"before", "after"}));
}

TEST_F(LiveLinesOnTerminal, a_signal_that_ends_the_process_moves_the_cursor_below_them_first) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    const pid_t child = ::fork();
    if (child == 0) {
      std::signal(number, SIG_DFL);
      lines_.write(Lines{"outer", "inner"});
      ::raise(number);
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == number);
    diagnostics::print(terminal_.out(), "$ ");  // the shell's prompt
    screen_ = Screen(20);
    EXPECT_EQ(seen(), (Lines{"outer", "inner", "$"}));
  }
}

TEST(LiveLines, are_lines_of_their_own_in_a_file) {
  std::FILE* file = std::tmpfile();
  LiveLines lines(file, {.width = 6});
  EXPECT_EQ(lines.columns(), 0);
  lines.write("a long line");
  lines.write(Lines{"b", "c"});
  lines.end();
  std::string text(static_cast<size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  ASSERT_EQ(std::fread(text.data(), 1, text.size(), file), text.size());
  EXPECT_EQ(text, "a long line\nb\nc\n");
  std::fclose(file);
}

}  // namespace levin::live_lines_test
