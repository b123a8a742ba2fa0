#pragma once

#include <cstdint>
#include <string_view>

namespace levin::tables {

/// The hash of a text, the same on every machine: MurmurHash3 for 32 bits (x86_32, Austin Appleby,
/// public domain), which scikit-learn's FeatureHasher and Vowpal Wabbit use too.
uint32_t murmur3_32(std::string_view text, uint32_t seed = 0);

/// The number from 0 to `columns` - 1 that a text is hashed to: scikit-learn's
/// FeatureHasher(n_features=columns, alternate_sign=False) gives the same.
int64_t hashed_place(std::string_view text, int64_t columns);

}  // namespace levin::tables
