#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/profiling/profiler.h>

namespace levin {

/// The names of the profilers that the option `profiler` of the Trainer can choose.
std::vector<std::string> profiler_names();

/// Makes the profiler of that name: "simple", "trace", "pytorch" or "nvtx". Throws ConfigError for
/// another one, and for "nvtx" if this build doesn't have it.
std::unique_ptr<Profiler> make_profiler(std::string_view name);

}  // namespace levin
