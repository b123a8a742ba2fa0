#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <levin/framework/core/options.h>

namespace levin {

/// How many of `available` batches a loop takes under `limit`, the value of the option named
/// `option`; nothing if neither says. `available` is nothing if the data's length isn't known.
/// Throws ConfigError for a fraction of an unknown length, and for one of less than a batch.
std::optional<int64_t> limited(std::string_view option, const CountOrFraction& limit,
                               std::optional<int64_t> available);

/// Whether `limit` is 0, so that the loop is left out.
bool is_off(const CountOrFraction& limit);

}  // namespace levin
