#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace levin::test {

/// What a terminal shows after it was sent some text: enough of one for Levin's output, with the
/// wrapping of long lines, which move with the terminal's width as in most terminals of today. A
/// code that it doesn't know fails the test, and so does one that would outlive the program, such
/// as hiding the cursor.
class Screen {
 public:
  explicit Screen(int columns) : columns_(columns) {}

  void send(std::string_view text) {
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\x1b') {
        const size_t end = text.find_first_of("ABCDJKmhl", i + 2);
        ASSERT_NE(end, std::string_view::npos) << "an unknown control code";
        control(text[end], std::string(text.substr(i + 2, end - i - 2)));
        i = end;
      } else if (text[i] == '\r') {
        column_ = 0;
      } else if (text[i] == '\n') {  // the terminal driver adds the return
        move_down();
        column_ = 0;
      } else {
        size_t bytes = 1;
        while (i + bytes < text.size() && (text[i + bytes] & 0xc0) == 0x80) ++bytes;
        put(std::string(text.substr(i, bytes)));
        i += bytes - 1;
      }
    }
  }

  /// Makes the terminal narrower or wider: it wraps its lines anew, and the cursor stays at its
  /// character.
  void resize(int columns) {
    std::vector<Row> old = std::exchange(rows_, {Row()});
    const size_t old_row = std::exchange(row_, 0);
    const size_t old_column = std::exchange(column_, 0);
    columns_ = columns;
    size_t row = 0, column = 0;
    for (size_t i = 0; i < old.size(); ++i) {
      for (size_t j = 0; j <= old[i].cells.size(); ++j) {
        if (i == old_row && j == old_column) {
          row = row_;
          column = column_;
        }
        if (j < old[i].cells.size()) put(old[i].cells[j]);
      }
      if (!old[i].wraps && i + 1 < old.size()) {
        move_down();
        column_ = 0;
      }
    }
    row_ = row;
    column_ = column;
  }

  /// The lines that are shown, without spaces at their ends.
  std::vector<std::string> lines() const {
    std::vector<std::string> result;
    for (const auto& row : rows_) {
      std::string line;
      for (const auto& cell : row.cells) line += cell;
      line.erase(line.find_last_not_of(' ') + 1);
      result.push_back(line);
    }
    while (!result.empty() && result.back().empty()) result.pop_back();
    return result;
  }
  /// The same in one text, for the messages of failed tests.
  std::string text() const {
    std::string text;
    for (const auto& line : lines()) text += line + "\n";
    return text;
  }
  size_t row() const { return row_; }
  size_t column() const { return column_; }
  /// Whether text that is printed now would have a color.
  bool colored() const { return colored_; }
  /// The number of colored cells that were written.
  int colored_cells() const { return colored_cells_; }

 private:
  struct Row {
    std::vector<std::string> cells;
    bool wraps = false;  // it goes on in the next row
  };

  void control(char code, const std::string& number) {
    const size_t count = number.empty() ? 1 : static_cast<size_t>(std::atoi(number.c_str()));
    if (code == 'A') {
      row_ -= std::min(row_, count);
    } else if (code == 'K') {
      cut_row();
    } else if (code == 'J') {
      cut_row();
      rows_.resize(row_ + 1);
    } else if (code == 'm') {
      colored_ = number != "0" && !number.empty();
    } else {
      ADD_FAILURE() << "an unexpected control code: " << number << code;
    }
  }
  void cut_row() {
    auto& row = rows_[row_];
    if (row.cells.size() > column_) row.cells.resize(column_);
    row.wraps = false;
  }
  void move_down() {
    if (++row_ == rows_.size()) rows_.emplace_back();
  }
  void put(const std::string& character) {
    if (column_ == static_cast<size_t>(columns_)) {
      rows_[row_].wraps = true;
      move_down();
      column_ = 0;
    }
    auto& cells = rows_[row_].cells;
    if (cells.size() <= column_) cells.resize(column_ + 1, " ");
    cells[column_++] = character;
    if (colored_) ++colored_cells_;
  }

  int columns_;
  std::vector<Row> rows_{Row()};
  size_t row_ = 0;
  size_t column_ = 0;
  bool colored_ = false;
  int colored_cells_ = 0;
};

/// A terminal of the operating system, whose other end this process holds.
class PseudoTerminal {
 public:
  explicit PseudoTerminal(int columns) {
    master_ = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    EXPECT_GE(master_, 0);
    EXPECT_EQ(::grantpt(master_), 0);
    EXPECT_EQ(::unlockpt(master_), 0);
    const int slave = ::open(::ptsname(master_), O_RDWR | O_NOCTTY);
    EXPECT_GE(slave, 0);
    out_ = ::fdopen(slave, "w");
    resize(columns);
    ::fcntl(master_, F_SETFL, O_NONBLOCK);
  }
  ~PseudoTerminal() {
    std::fclose(out_);
    ::close(master_);
  }
  PseudoTerminal(const PseudoTerminal&) = delete;
  PseudoTerminal& operator=(const PseudoTerminal&) = delete;

  /// The stream to print to.
  std::FILE* out() const { return out_; }
  void resize(int columns) const {
    winsize size{};
    size.ws_col = static_cast<unsigned short>(columns);
    size.ws_row = 24;
    EXPECT_EQ(::ioctl(master_, TIOCSWINSZ, &size), 0);
  }
  /// What has been printed since the last call, with the driver's "\r\n" for "\n".
  std::string read() const {
    std::string text;
    char buffer[4096];
    for (ssize_t got; (got = ::read(master_, buffer, sizeof buffer)) > 0;) {
      text.append(buffer, static_cast<size_t>(got));
    }
    return text;
  }
  /// Types characters, such as Ctrl-C ("\x03").
  void type(std::string_view text) const {
    EXPECT_EQ(::write(master_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  /// The settings of the terminal: echo, line by line or not, and so on.
  termios settings() const {
    termios result{};
    EXPECT_EQ(::tcgetattr(::fileno(out_), &result), 0);
    return result;
  }

 private:
  int master_ = -1;
  std::FILE* out_ = nullptr;
};

}  // namespace levin::test
