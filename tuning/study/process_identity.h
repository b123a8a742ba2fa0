#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace levin {

/// What this process is called in files that several processes and hosts share:
/// "BOOT.SPACE-PROCESS-START", of letters, digits, points and hyphens. The first part tells the
/// processes of this machine (or container) from others, the last one tells the process from a
/// later one of the same number.
std::string process_identity();

/// Whether the text is the identity of a process of this machine that has ended. False for
/// processes of other machines, of which nothing is known, and for any other text.
bool is_dead_process(std::string_view identity);

/// Whether the text is the identity of a process of another machine or container. False if this one
/// can't tell its own processes from others.
bool is_process_elsewhere(std::string_view identity);

}  // namespace levin
