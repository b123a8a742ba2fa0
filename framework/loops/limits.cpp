#include <levin/framework/loops/limits.h>

#include <algorithm>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

std::optional<int64_t> limited(std::string_view option, const CountOrFraction& limit,
                               std::optional<int64_t> available) {
  if (limit.is_count()) {
    return available ? std::min(limit.count(), *available) : limit.count();
  }
  if (limit.fraction() == 1.0) return available;
  if (limit.fraction() == 0.0) return 0;
  if (!available) {
    throw ConfigError::invalid_value(option, fmt::format("{}", limit.fraction()),
                                     "the loader's length isn't known; give a whole number");
  }
  const auto batches = static_cast<int64_t>(static_cast<double>(*available) * limit.fraction());
  if (batches == 0) {
    throw ConfigError::invalid_value(
        option, fmt::format("{}", limit.fraction()),
        fmt::format("that fraction of {} batches is less than one batch", *available));
  }
  return batches;
}

bool is_off(const CountOrFraction& limit) {
  return limit.is_count() ? limit.count() == 0 : limit.fraction() == 0.0;
}

}  // namespace levin
