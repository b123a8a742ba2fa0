#pragma once

#include <string_view>

namespace levin {

/// Writes what a command was asked for, such as the metrics of `--json`, to stdout at once. Throws
/// CheckpointError if any of it can't be written, because stdout is closed, its disk is full or
/// nobody reads its pipe any longer: without its result, a command must not end with status 0. What
/// only informs goes to stderr instead (diagnostics::print).
void write_output(std::string_view text);

/// Throws CheckpointError if stdout is closed, so that a command whose result would be lost says so
/// before its work.
void require_output();

}  // namespace levin
