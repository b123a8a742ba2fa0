#pragma once

#include <cstdint>
#include <fstream>
#include <string>

namespace levin::test {

/// The most memory, in bytes, that this process has had since `forget_peak`.
inline int64_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t kibibytes = 0;
    if (word == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}
inline void forget_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

}  // namespace levin::test
