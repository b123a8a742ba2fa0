#pragma once

#include <string>

namespace levin {

/// Returns the name of this host, as `hostname` prints it; "unknown" if the system doesn't tell.
std::string host_name();

}  // namespace levin
