#include <levin/framework/profiling/profilers.h>

#include <levin/framework/core/error.h>
#include <levin/framework/profiling/nvtx_profiler.h>
#include <levin/framework/profiling/pytorch_profiler.h>
#include <levin/framework/profiling/trace_profiler.h>

namespace levin {

std::vector<std::string> profiler_names() { return {"simple", "trace", "pytorch", "nvtx"}; }

std::unique_ptr<Profiler> make_profiler(std::string_view name) {
  if (name == "simple") return std::make_unique<SimpleProfiler>();
  if (name == "trace") return std::make_unique<TraceProfiler>();
  if (name == "pytorch") return std::make_unique<PytorchProfiler>();
  if (name == "nvtx") return std::make_unique<NvtxProfiler>();
  throw ConfigError::unknown_name("profiler", name, profiler_names());
}

}  // namespace levin
