#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/core/value.h>

namespace levin {

/// What kind of machine this is. It names neither the host nor its users.
struct HostInfo {
  /// The system, "Debian GNU/Linux 12 (bookworm), Linux 6.1.0, x86_64".
  std::string system{};
  /// The processor's model, "AMD EPYC 9354"; empty if the system doesn't tell.
  std::string processor{};
  /// The cores that this process may run on.
  int64_t cores = 0;
  /// Bytes of memory; 0 if that isn't known.
  uint64_t memory = 0;
  /// The models of NVIDIA's GPUs that the driver lists, also of those that this process doesn't
  /// use; one entry for each.
  std::vector<std::string> gpus{};
};

/// Returns the facts on this machine, from /proc and /etc/os-release.
HostInfo host_info();

/// Returns the facts as an object with the members system, processor, cores, memory and gpus.
Value to_value(const HostInfo& host);

}  // namespace levin
