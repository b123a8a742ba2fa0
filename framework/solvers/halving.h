#pragma once

#include <cstdint>
#include <string>

#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// How long a solver has taken to halve the norm of its gradient: a sign that it is slow.
class Halving {
 public:
  /// Returns for how many iterations the norm hasn't been halved, by its value after the latest.
  int64_t wait(double norm, int64_t iteration) {
    if (norm_ == 0.0 || norm <= 0.5 * norm_) {
      norm_ = norm;
      at_ = iteration;
    }
    return iteration - at_;
  }
  /// Begins anew.
  void reset() { *this = {}; }

  /// Adds what is known to `state`, under names with a prefix, and takes it back if it is there.
  void save(StateDict& state, const std::string& prefix) const {
    state.values[prefix + "halved_norm"] = norm_;
    state.values[prefix + "halved_at"] = at_;
  }
  void load(const StateDict& state, const std::string& prefix) {
    if (!state.values.contains(prefix + "halved_norm")) return;
    norm_ = state.values.at(prefix + "halved_norm").as_double();
    at_ = state.values.at(prefix + "halved_at").as_int();
  }

 private:
  double norm_ = 0.0;  // when it was last halved; 0: none yet
  int64_t at_ = 0;     // and the number of the iteration
};

}  // namespace levin
