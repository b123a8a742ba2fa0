#include <levin/framework/core/counted.h>

#include <fmt/format.h>

namespace levin {

std::string in_seconds(double seconds) {
  return seconds < 100.0 ? fmt::format("{:.3g} s", seconds) : fmt::format("{:.0f} s", seconds);
}

}  // namespace levin
