#pragma once

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

#include <cstdint>
#include <string>

namespace torch::nn {
class Module;
}

namespace levin {

struct ModelSummaryOptions {
  /// Levels of sub-modules to list; -1: all, 0: only the totals. Lightning: max_depth.
  int64_t max_depth = 1;
};

Fields describe(ModelSummaryOptions& options);

/// A table of a module's layers: name, type, parameters, input and output shape where the weights
/// tell them ("*" stands for the sizes they don't), then the totals. Tied parameters count once.
///
///       Name    Type    Parameters  Trainable  In        Out
///     0 linear  Linear       7,850  yes        [*, 784]  [*, 10]
///     7,850 parameters (7,850 trainable), 0.0314 MB
std::string summarize(const torch::nn::Module& module, int64_t max_depth = 1);

/// Writes `summarize` of the module to stderr when fit starts. Lightning: ModelSummary.
class ModelSummary : public Callback {
 public:
  using Options = ModelSummaryOptions;
  /// Throws ConfigError for a depth below -1.
  explicit ModelSummary(ModelSummaryOptions options = {});

  std::string state_key() const override { return "ModelSummary"; }
  void on_fit_start(Run& run) override;

 private:
  ModelSummaryOptions options_;
};

}  // namespace levin
