#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <levin/framework/core/options.h>

namespace levin {

/// Batches a loop takes of `available`, after a limit. Throws ConfigError where a fraction of an
/// unknown length is asked for, or one that leaves no batch.
std::optional<int64_t> limited(std::string_view option, const CountOrFraction& limit,
                               std::optional<int64_t> available);

/// Whether a limit leaves the loop out.
bool is_off(const CountOrFraction& limit);

}  // namespace levin
