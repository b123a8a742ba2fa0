#include <levin/framework/run/evaluation_scope.h>

#include <torch/nn/module.h>

#include <levin/framework/run/module.h>
#include <levin/framework/tensor/random.h>

namespace levin {

EvaluationScope::EvaluationScope(torch::nn::Module& module)
    : module_(module), was_training_(module.is_training()), random_(random_state().clone()) {
  for (const auto& layer : module.modules(/*include_self=*/false)) {
    layers_.emplace_back(layer, layer->is_training());
  }
  module.eval();
}

EvaluationScope::~EvaluationScope() {
  module_.train(was_training_);
  for (const auto& [layer, was_training] : layers_) layer->train(was_training);
  load_random_state(random_);
}

Batch example_batch(const Module& module) {
  NamedTensors example = module.example_input_array();
  for (auto& [name, tensor] : example) {
    tensor = tensor.is_floating_point() ? tensor.to(module.device(), module.dtype())
                                        : tensor.to(module.device());
  }
  return example.empty() ? Batch() : Batch(std::move(example));
}

}  // namespace levin
