#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include <levin/framework/tensor/random.h>

namespace levin {

/// Puts `values` in a random order, each order as likely as another (Fisher and Yates, from the
/// end). The same everywhere for the same generator: splits and epochs are saved by their seed.
template <class Value>
void shuffle(std::vector<Value>& values, KeyedGenerator generator) {
  for (size_t i = values.size(); i > 1; --i) {
    std::swap(values[i - 1], values[static_cast<size_t>(generator.below(i))]);
  }
}

}  // namespace levin
