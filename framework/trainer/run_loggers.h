#pragma once

#include <memory>
#include <vector>

#include <levin/framework/loggers/logger.h>

namespace levin {

struct LoopParts;

/// The loggers of a Trainer, and the selection of them that the run in progress uses: all loggers
/// on rank 0, none on the other ranks, and none with fast_dev_run. What a logger throws passes
/// through.
class RunLoggers {
 public:
  /// Adds a logger and returns it. It lives as long as this object, and is used from the next
  /// `select`.
  Logger& add(std::unique_ptr<Logger> logger);
  /// All loggers, in the order they were added.
  const std::vector<std::unique_ptr<Logger>>& all() const { return all_; }

  /// Makes the run in progress use all loggers, or none.
  void select(bool use);
  /// The loggers that the run in progress uses. The reference stays valid; `select` changes the
  /// list.
  const std::vector<Logger*>& used() const { return used_; }

  /// Starts the loggers in use, and hands them `settings`: those of the module ("model"), of the
  /// data module ("data") and of the Trainer ("trainer"), and the seed.
  void start(Run& run, const Value& settings);
  /// Hands the module of a fit, and an input for it, to those loggers in use that keep its graph.
  /// If an input can't be had, a warning says so. The module's mode and the random generators are
  /// afterwards what they were before.
  void log_graph(const LoopParts& parts);
  /// Finishes the loggers in use after a run that has succeeded.
  void finish();

 private:
  std::vector<std::unique_ptr<Logger>> all_;
  std::vector<Logger*> used_;
};

}  // namespace levin
