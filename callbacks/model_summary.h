#pragma once

#include <levin/callbacks/layer_sizes.h>
#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

#include <cstdint>
#include <string>

namespace levin {

/// Options of ModelSummary.
struct ModelSummaryOptions {
  /// The number of levels of sub-modules to list. 0 prints the totals only, -1 lists every level.
  int64_t max_depth = 1;
};

/// Describes the options for YAML files and `--help`.
Fields describe(ModelSummaryOptions& options);

/// Returns a table of the module's layers as text, each line ending with a newline.
///
/// The columns are the name, the type, the number of parameters, whether they are trained, and the
/// shapes of input and output as far as the layer's weights determine them ("*" is a size that they
/// don't). The last line has the totals, in which a parameter that several layers share counts
/// once. A layer that is registered under several names is listed under the first.
///
///       Name    Type    Parameters  Trainable  In        Out
///     0 linear  Linear       7,850  yes        [*, 784]  [*, 10]
///     7,850 parameters (7,850 trainable), 0.0314 MB
///
/// Layers that are in `sizes` have the sizes of that instead.
std::string summarize(const torch::nn::Module& module, int64_t max_depth = 1,
                      const LayerSizes& sizes = {});

/// Prints a table of the module's layers to stderr when fit starts. Only rank 0 prints. Lightning:
/// ModelSummary.
///
/// If the module has an example_input_array, it predicts that batch in evaluation mode, and the
/// table has the sizes that layers with parameters then had; random generators are afterwards what
/// they were before.
///
///     trainer.add<levin::ModelSummary>({.max_depth = 2});
class ModelSummary : public Callback {
 public:
  using Options = ModelSummaryOptions;
  /// Throws ConfigError if `max_depth` is below -1.
  explicit ModelSummary(ModelSummaryOptions options = {});

  void on_fit_start(Run& run) override;

 private:
  ModelSummaryOptions options_;
};

}  // namespace levin
