#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/core/value.h>

namespace levin {

class Run;
struct StochasticWeightAveragingOptions;

/// The learning rates in the averaging phase of StochasticWeightAveraging: those of all parameter
/// groups go from what they were when the phase began to the rates of the options.
class SwaRates {
 public:
  /// Throws ConfigError if the options neither have one rate nor as many as an optimizer has
  /// parameter groups.
  void check(const StochasticWeightAveragingOptions& options, Run& run) const;
  /// Sets the rates of an epoch, of which `passed` have passed in the phase.
  void set(const StochasticWeightAveragingOptions& options, int64_t passed, Run& run);
  /// Forgets the rates that there were when the phase began. For a fit that doesn't resume.
  void clear() { before_.clear(); }

  /// Those rates, to be kept in a callback's state.
  Value::Array to_values() const { return Value::Array(before_.begin(), before_.end()); }
  void load_values(const Value::Array& values);

 private:
  std::vector<double> before_;  // of all groups when the phase began; empty before
};

}  // namespace levin
