#pragma once

#include <cstddef>
#include <optional>

namespace levin {

/// An optimizer whose options have a momentum, for callbacks that log it.
class HasMomentum {
 public:
  virtual ~HasMomentum() = default;
  /// The share of the last step's direction that the steps of this parameter group keep: `momentum`
  /// or, for Adam, the first of its `betas`. Nothing if the optimizer has none.
  virtual std::optional<double> momentum(size_t group) const = 0;
};

}  // namespace levin
