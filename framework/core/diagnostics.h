#pragma once

#include <cstdio>
#include <string_view>

/// Printing what a run says about itself: progress bars, warnings, summaries, tables.
///
///     diagnostics::print(fmt::format("epoch {}: saving {}\n", epoch, path.string()));
///
/// Nothing here throws or ends the process. A text that can't be written, because the stream is
/// closed, its disk is full or nobody reads its pipe any longer, is lost, and the work goes on. All
/// of Levin prints this way (tests/architecture checks that), with two exceptions that must never
/// wait for a stream: the heartbeat's thread (heartbeat.cpp) and the launcher, which passes on what
/// its ranks print (output_pump.h). What a command was asked for goes to stdout instead, where a
/// failure counts (cli/output.h).
namespace levin::diagnostics {

/// Prints `text` to stderr at once.
void print(std::string_view text) noexcept;
/// Prints `text` to `out` at once; a null `out` is a stream to nowhere.
void print(std::FILE* out, std::string_view text) noexcept;
/// The same for `text` and a newline. On a terminal, it first clears the line that the cursor is
/// in, so that the text takes the place of a progress bar that is drawn there.
void print_line(std::FILE* out, std::string_view text) noexcept;

}  // namespace levin::diagnostics
