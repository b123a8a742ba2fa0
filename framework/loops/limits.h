#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <levin/framework/core/options.h>

namespace levin {

/// Returns how many batches a loop takes under `limit`, the value of the option named `option`.
///
/// `available` is the number of batches that there are; nothing if the data's length isn't known. A
/// count is capped at `available`, and a fraction of it is rounded down. Returns nothing if the
/// limit is 1.0 and the length isn't known, that is, if the loop reads to the end of the data.
/// Throws ConfigError for a fraction between 0 and 1 if the length isn't known or the result is
/// less than one batch.
///
///     limited("limit_val_batches", 10, 8);       // 8
///     limited("limit_val_batches", 0.25, 8);     // 2
///     limited("limit_val_batches", 10, {});      // 10
std::optional<int64_t> limited(std::string_view option, const CountOrFraction& limit,
                               std::optional<int64_t> available);

/// Whether `limit` is 0 or 0.0, so that the loop is left out.
bool is_off(const CountOrFraction& limit);

}  // namespace levin
