#pragma once

#include <cstdint>
#include <string_view>

namespace levin::tables {

/// The number from 0 to `columns` - 1 that a text is hashed to: scikit-learn's
/// FeatureHasher(n_features=columns, alternate_sign=False) gives the same.
int64_t hashed_place(std::string_view text, int64_t columns);

}  // namespace levin::tables
