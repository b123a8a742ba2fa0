#include <levin/callbacks/model_summary.h>

#include <optional>

#include <fmt/format.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/batch.h>
#include <levin/framework/run/evaluation_scope.h>
#include <levin/framework/run/module.h>
#include <levin/framework/tensor/divided_memory.h>
#include <torch/nn/module.h>

namespace levin {
namespace {

/// Lets the module predict its example, if it has one, and returns the sizes that layers had.
LayerSizes sizes_of_example(Module& module) {
  const Batch example = example_batch(module);
  if (example.entries().empty()) return {};
  const EvaluationScope evaluation(module);
  return watch_layers(module, [&] { module.predict(example); });
}

}  // namespace

Fields describe(ModelSummaryOptions& o) {
  return fields_of<ModelSummaryOptions>({
      {"max_depth", &o.max_depth, "levels of sub-modules to list; -1: all, 0: only the totals"},
  });
}

ModelSummary::ModelSummary(ModelSummaryOptions options) : options_(options) {
  if (options_.max_depth < -1) {
    throw ConfigError::invalid_value("ModelSummary.max_depth", fmt::to_string(options_.max_depth),
                                     "must be at least -1");
  }
}

void ModelSummary::on_fit_start(Run& run) {
  Module& module = run.module();
  std::optional<WholeTensors> whole;  // on every rank, if one of them uses the values
  if (!module.example_input_array().empty()) whole.emplace(module.parameters());
  const bool is_zero = run.is_global_zero();
  LayerSizes sizes;  // ranks that share a model compute them together
  if (is_zero || run.place().model_size > 1) sizes = sizes_of_example(module);
  if (!is_zero) return;
  diagnostics::print(summarize(module, options_.max_depth, sizes));
}

}  // namespace levin
