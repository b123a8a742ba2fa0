#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/logged/logged_values.h>

namespace levin {

/// What `fit` returns: the metrics of each epoch, in order, and why it ended.
struct History {
  struct Epoch {
    int64_t epoch = 0;
    int64_t global_step = 0;
    MetricMap metrics;
  };
  std::vector<Epoch> epochs;
  /// "max_epochs", "max_steps", "interrupted", or the reason given to `Run::stop`.
  std::string stop_reason;
  bool interrupted = false;

  /// One metric over the epochs, NaN where an epoch has none.
  std::vector<double> values(std::string_view metric) const;
  /// A metric of the last epoch that has it. Throws ModuleError where none has.
  double last(std::string_view metric) const;

  StateDict state_dict() const;
  void load_state_dict(const StateDict& state);
};

}  // namespace levin
