#include <levin/serving/load/load_sweep.h>

#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

std::vector<LoadStep> LoadSweep::all() const {
  std::vector<LoadStep> result = {maximum};
  result.insert(result.end(), steps.begin(), steps.end());
  return result;
}

LoadSweep run_sweep(const LoadTarget& target, LoadPlan plan, int64_t steps,
                    const std::function<bool()>& is_stopped,
                    const std::function<void(const LoadStep&)>& report) {
  LoadSweep sweep;
  plan.rate = 0.0;
  sweep.maximum = {0.0, plan.connections, run_load(target, plan, is_stopped)};
  if (report) report(sweep.maximum);
  if (sweep.maximum.result.is_interrupted) return sweep;
  const double most = sweep.maximum.result.throughput;
  if (most <= 0.0) {
    throw DataError(fmt::format("{} answers no request of the load; try a single one first",
                                target.server().origin()));
  }
  for (int64_t i = 1; i <= steps; ++i) {
    plan.rate = most * static_cast<double>(i) / static_cast<double>(steps);
    sweep.steps.push_back({plan.rate, plan.connections, run_load(target, plan, is_stopped)});
    if (report) report(sweep.steps.back());
    if (sweep.steps.back().result.is_interrupted) break;
  }
  return sweep;
}

}  // namespace levin
