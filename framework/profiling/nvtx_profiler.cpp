#include <levin/framework/profiling/nvtx_profiler.h>

#include <levin/framework/core/error.h>

#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define LEVIN_HAS_NVTX 1
#endif

namespace levin {

#ifdef LEVIN_HAS_NVTX
bool NvtxProfiler::is_available() { return true; }

void NvtxProfiler::begin(Part part) {
  SimpleProfiler::begin(part);
  nvtxRangePushA(part_name(part).data());  // a literal, so it ends with 0
}

void NvtxProfiler::end(Part part) {
  nvtxRangePop();
  SimpleProfiler::end(part);
}
#else
bool NvtxProfiler::is_available() { return false; }
void NvtxProfiler::begin(Part part) { SimpleProfiler::begin(part); }
void NvtxProfiler::end(Part part) { SimpleProfiler::end(part); }
#endif

NvtxProfiler::NvtxProfiler() : SimpleProfiler(nullptr) {
  if (is_available()) return;
  throw ConfigError::conflict(
      "profiler = nvtx, which this build of Levin doesn't have, because the headers of NVTX 3 "
      "weren't found when it was built",
      "install a CUDA toolkit (nvtx3/nvToolsExt.h) and build again, or use the profiler trace or "
      "pytorch");
}

}  // namespace levin
