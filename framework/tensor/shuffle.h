#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include <levin/framework/tensor/random.h>

namespace levin {

/// Puts `values` in a random order; all orders are equally likely (the algorithm of Fisher and
/// Yates, from the end). The same generator gives the same order on every machine, which is why the
/// seeds of splits and epochs are all that has to be saved of them.
template <class Value>
void shuffle(std::vector<Value>& values, KeyedGenerator generator) {
  for (size_t i = values.size(); i > 1; --i) {
    std::swap(values[i - 1], values[static_cast<size_t>(generator.below(i))]);
  }
}

}  // namespace levin
