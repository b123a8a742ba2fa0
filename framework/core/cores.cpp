#include <levin/framework/core/cores.h>

#include <sched.h>
#include <unistd.h>

#include <algorithm>

namespace levin {

int64_t usable_cores() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  return std::max<int64_t>(1, ::sysconf(_SC_NPROCESSORS_ONLN));
}

}  // namespace levin
