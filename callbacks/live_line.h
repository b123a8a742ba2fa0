#pragma once

#include <cstdio>
#include <string>

namespace levin {

/// Returns whether `out` is a terminal on which a line can be updated in place. One that calls
/// itself "dumb" (TERM) isn't.
bool is_live_terminal(std::FILE* out);

/// Writes lines to a terminal, each in the place of the one before, or to a file, one below the
/// other.
class LiveLine {
 public:
  /// Writes to `out`, which the caller keeps open. If `live`, the line is updated in place and cut
  /// to `width` columns; with 0, to the width of the terminal.
  LiveLine(std::FILE* out, bool live, int width) : out_(out), live_(live), width_(width) {}

  bool is_live() const { return live_; }
  /// The width of the line: that of the terminal, 80 if it isn't known, and 0 if it isn't limited,
  /// in a file.
  int columns() const;
  /// Writes the text, without a newline at its end, in the place of the previous one if live.
  void write(const std::string& text);
  /// Moves the cursor to a new line if it is on one that is updated in place.
  void end();

 private:
  std::FILE* out_;
  bool live_;
  int width_;
  bool is_open_ = false;  // the cursor is on a line that is updated in place
};

}  // namespace levin
