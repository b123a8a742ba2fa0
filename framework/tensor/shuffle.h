#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include <levin/framework/tensor/random.h>

namespace levin {

/// Puts `values` in a random order, in place and in time proportional to their number. All orders
/// are equally likely (the algorithm of Fisher and Yates, from the end).
///
///     std::vector<int64_t> rows = ...;
///     shuffle(rows, KeyedGenerator(seed, epoch));  // another order in each epoch
///
/// A generator in the same state gives the same order on every machine, unlike std::shuffle. To
/// make a split or the order of an epoch again, it is therefore enough to save the seed.
/// `generator` is passed by value; the caller's generator doesn't advance.
template <class Value>
void shuffle(std::vector<Value>& values, KeyedGenerator generator) {
  for (size_t i = values.size(); i > 1; --i) {
    std::swap(values[i - 1], values[static_cast<size_t>(generator.below(i))]);
  }
}

}  // namespace levin
