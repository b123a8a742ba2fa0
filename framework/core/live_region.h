#pragma once

#include <cstdio>
#include <string_view>

/// The lines at the cursor of a terminal that are updated in place, such as a progress bar. There
/// are such lines on one terminal at a time. LiveLines draws them and leaves the cursor at their
/// beginning; what else is printed there (diagnostics::print) takes their place, and they are drawn
/// again below it.
namespace levin::live_region {

/// Prints `frame`, which draws `lines` lines in the place of those that were drawn before, from the
/// beginning of the first one on, and ends with the cursor there. It is written at once, so that
/// the terminal doesn't flicker. If `out` is a terminal, then SIGINT, SIGTERM and SIGHUP, where
/// they would end the process by default, first move the cursor below these lines
/// (leave_before_signal).
void draw(std::FILE* out, std::string_view frame, int lines) noexcept;

/// Notes that lines are about to be drawn; `draw` calls it.
void opened(std::FILE* out, int lines) noexcept;

/// Says that there are no such lines any longer.
void close() noexcept;

/// Returns what has to be printed to `out` in order to clear the lines that are drawn there, and
/// closes the region. Empty if there are none, or if they are on another terminal.
std::string_view take_clearing(std::FILE* out) noexcept;

/// Moves the cursor below the lines, so that the shell's prompt doesn't overwrite them. Signal
/// handlers may call it before they end the process.
void leave_before_signal() noexcept;

}  // namespace levin::live_region
