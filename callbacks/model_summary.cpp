#include <levin/callbacks/model_summary.h>

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/batch.h>
#include <levin/framework/run/module.h>
#include <levin/framework/tensor/random.h>
#include <torch/nn/module.h>

#include <memory>
#include <utility>
#include <vector>

namespace levin {
namespace {

/// Lets the module predict its example, in evaluation mode, and returns the sizes that layers had.
LayerSizes sizes_of_example(Module& module, NamedTensors example) {
  for (auto& [name, tensor] : example) {
    tensor = tensor.is_floating_point() ? tensor.to(module.device(), module.dtype())
                                        : tensor.to(module.device());
  }
  const StateDict random = random_state().clone();
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> modes;
  for (const auto& child : module.modules(/*include_self=*/false)) {
    modes.emplace_back(child, child->is_training());
  }
  const bool was_training = module.is_training();
  const auto put_back = [&] {
    module.train(was_training);
    for (const auto& [child, mode] : modes) child->train(mode);
    load_random_state(random);
  };
  const at::NoGradGuard no_grad;
  module.eval();
  try {
    LayerSizes sizes = watch_layers(module, [&] { module.predict(Batch(std::move(example))); });
    put_back();
    return sizes;
  } catch (...) {
    put_back();
    throw;
  }
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
  if (!run.is_global_zero()) return;
  NamedTensors example = run.module().example_input_array();
  const LayerSizes sizes =
      example.empty() ? LayerSizes{} : sizes_of_example(run.module(), std::move(example));
  diagnostics::print(summarize(run.module(), options_.max_depth, sizes));
}

}  // namespace levin
