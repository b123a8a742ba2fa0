#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <levin/serving/load/load_report.h>

namespace levin {

/// What a sweep has measured.
struct LoadSweep {
  /// A closed loop with all connections: the most that the server does.
  LoadStep maximum{};
  /// Open loops at equal parts of that rate, growing.
  std::vector<LoadStep> steps{};

  /// The maximum and the steps, in this order.
  std::vector<LoadStep> all() const;
};

/// Measures the most requests a second that a closed loop of `plan` reaches, and then an open loop
/// at each of `steps` equal parts of it, up to all of it. `plan.rate` isn't used. `report` gets
/// each step when it is measured. If `is_stopped` ends one of the loads, the sweep ends with it.
/// Throws what run_load throws, and DataError if nothing is answered.
LoadSweep run_sweep(const LoadTarget& target, LoadPlan plan, int64_t steps,
                    const std::function<bool()>& is_stopped,
                    const std::function<void(const LoadStep&)>& report);

}  // namespace levin
