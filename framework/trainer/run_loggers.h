#pragma once

#include <memory>
#include <vector>

#include <levin/framework/loggers/logger.h>

namespace levin {

/// The loggers of a Trainer, and those of them that the run in progress uses: all of them on rank
/// 0, none on other ranks and none with fast_dev_run.
class RunLoggers {
 public:
  /// Adds a logger, which lives as long as this object, and returns it.
  Logger& add(std::unique_ptr<Logger> logger);
  const std::vector<std::unique_ptr<Logger>>& all() const { return all_; }

  /// Decides whether the run in progress uses all loggers or none.
  void select(bool use);
  /// The loggers that the run in progress uses.
  const std::vector<Logger*>& used() const { return used_; }

  /// Starts them, and hands them the settings of the module, the data module and the Trainer.
  void start(Run& run, const Value& settings);
  /// Finishes them after a run that has succeeded.
  void finish();

 private:
  std::vector<std::unique_ptr<Logger>> all_;
  std::vector<Logger*> used_;
};

}  // namespace levin
