#pragma once

#include <cstdint>
#include <optional>

#include <levin/framework/tensor/state_dict.h>

namespace levin {

class Run;

/// The best value that a metric had in a fit, when it had it, and, if they are wanted, the weights
/// of that moment. The weights are on the CPU.
class BestScore {
 public:
  /// `worst` is the infinity that is worse than every value.
  explicit BestScore(double worst) : value_(worst) {}

  /// The best value; `worst` before the first one.
  double value() const { return value_; }
  /// The same, but nothing before the first one.
  std::optional<double> found() const;
  /// The epoch, from 0, of the best value.
  int64_t epoch() const { return epoch_; }
  /// The weights of that moment; empty if they weren't kept.
  const StateDict& weights() const { return weights_; }
  /// Whether there are weights, and they aren't those of the present step.
  bool has_other_weights(const Run& run) const;

  /// Throws ConfigError if the weights are divided among ranks, so that none can keep them.
  static void require_all_weights(const Run& run);
  /// Takes a new best value, and the module's weights if they are to be kept.
  void take(double value, Run& run, bool with_weights);

  /// Puts all of this into a callback's state, and takes it from there.
  void save_to(StateDict& state) const;
  void load_from(const StateDict& state);

 private:
  double value_;
  int64_t epoch_ = -1;
  int64_t step_ = -1;
  StateDict weights_;
};

}  // namespace levin
