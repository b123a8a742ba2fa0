#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <ATen/core/grad_mode.h>

#include <levin/framework/data/batch.h>
#include <levin/framework/tensor/state_dict.h>

namespace torch::nn {
class Module;
}

namespace levin {

class Module;

/// Puts a module and its layers in evaluation mode and records no gradients while this object
/// exists. Afterwards the mode of each layer and LibTorch's random generators are what they were
/// before, so that the module can be tried out in the middle of a run:
///
///     const EvaluationScope scope(module);
///     module.predict(example_batch(module));
class EvaluationScope {
 public:
  explicit EvaluationScope(torch::nn::Module& module);
  ~EvaluationScope();
  EvaluationScope(const EvaluationScope&) = delete;
  EvaluationScope& operator=(const EvaluationScope&) = delete;

 private:
  torch::nn::Module& module_;
  bool was_training_;
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> layers_;
  StateDict random_;
  at::NoGradGuard no_gradients_;
};

/// Returns the module's `example_input_array` as a batch on the module's device, with floats in the
/// type of its parameters; an empty batch if it has none.
Batch example_batch(const Module& module);

}  // namespace levin
