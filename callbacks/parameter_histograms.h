#pragma once

#include <cstdint>

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

namespace levin {

/// Options of ParameterHistograms.
struct ParameterHistogramsOptions {
  /// Log after so many optimizer steps, at least 1.
  int64_t every_n_steps = 500;
  /// What is logged: the weights before the step, and the gradients that it takes.
  bool weights = true;
  bool gradients = true;
};

/// Describes the options for YAML files and `--help`.
Fields describe(ParameterHistogramsOptions& options);

/// Hands the weights and gradients of each parameter to the loggers that can show how their values
/// are distributed, such as TensorBoardLogger, as "weights/<name>" and "gradients/<name>". Ignite:
/// WeightsHistHandler, GradsHistHandler.
///
///     trainer.add_logger<levin::TensorBoardLogger>();
///     trainer.add<levin::ParameterHistograms>({.every_n_steps = 1000});
///
/// Gradients are those of all ranks together, before clipping. Each time takes a copy of all
/// parameters to the host; without loggers nothing is done.
class ParameterHistograms : public Callback {
 public:
  using Options = ParameterHistogramsOptions;
  /// Throws ConfigError if every_n_steps is below 1.
  explicit ParameterHistograms(ParameterHistogramsOptions options = {});

  void on_before_optimizer_step(Optimizer& optimizer, Step& step) override;

 private:
  ParameterHistogramsOptions options_;
};

}  // namespace levin
