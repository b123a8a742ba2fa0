#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include <levin/framework/core/terminal.h>

namespace levin {

/// Writes lines to a terminal, each in the place of the one before, or to a file, one below the
/// other. On a terminal, several lines may be updated together.
///
///     LiveLines lines(stderr, terminal_of(stderr));
///     for (int percent = 0; percent <= 100; ++percent) lines.write(fmt::format("{} %", percent));
///     lines.end();
///
/// Each update is a single write without a blank in between, so it doesn't flicker. The width is
/// asked for every time. Between updates the cursor is at the beginning of the first line: if the
/// user makes the terminal narrower, so that it wraps the lines, the next update still begins where
/// they do. What diagnostics::print writes meanwhile takes their place, and they move below it. If
/// a signal ends the process, the cursor moves below the lines first (live_region.h).
class LiveLines {
 public:
  /// Writes to `out`, which the caller keeps open for as long as this object exists. If
  /// `terminal.live`, lines are updated in place and cut to the terminal's width.
  LiveLines(std::FILE* out, const Terminal& terminal) : out_(out), terminal_(terminal) {}
  /// Ends the lines.
  ~LiveLines() { end(); }
  LiveLines(const LiveLines&) = delete;
  LiveLines& operator=(const LiveLines&) = delete;

  const Terminal& terminal() const { return terminal_; }
  bool is_live() const { return terminal_.live; }
  /// The columns that a line may have; one less than the terminal's, because some terminals wrap a
  /// line that fills them. 0 if there is no limit, in a file.
  int columns() const;
  /// Writes the text, without a newline at its end, in the place of the previous lines if live.
  void write(const std::string& text) { write(std::vector<std::string>{text}); }
  /// The same with several lines.
  void write(std::vector<std::string> lines);
  /// Leaves the lines as they are and moves the cursor below them.
  void end();
  /// Removes the lines.
  void clear();

 private:
  void draw();

  std::FILE* out_;
  Terminal terminal_;
  std::vector<std::string> lines_;  // those that are updated in place
};

}  // namespace levin
