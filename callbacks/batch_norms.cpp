#include <levin/callbacks/batch_norms.h>

#include <functional>
#include <optional>
#include <vector>

#include <c10/core/GradMode.h>
#include <torch/nn/modules/batchnorm.h>

#include <levin/framework/nn/sync_batch_norm.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/run.h>

namespace levin {
namespace {

/// Calls `take(norm, momentum)` for each batch norm with running statistics, where `momentum` is a
/// function that sets its momentum and returns the old one.
template <class Take>
void each_batch_norm(const torch::nn::Module& module, Take take) {
  using Momentum = std::optional<double>;
  const auto of_torch = [&](auto* norm) {
    if (norm == nullptr || !norm->running_mean.defined()) return;
    take(*norm, [norm](Momentum momentum) {
      const Momentum before = norm->options.momentum();
      norm->options.momentum(momentum);
      return before;
    });
  };
  for (const auto& child : module.modules(/*include_self=*/false)) {
    of_torch(dynamic_cast<torch::nn::BatchNorm1dImpl*>(child.get()));
    of_torch(dynamic_cast<torch::nn::BatchNorm2dImpl*>(child.get()));
    of_torch(dynamic_cast<torch::nn::BatchNorm3dImpl*>(child.get()));
    auto* sync = dynamic_cast<SyncBatchNormImpl*>(child.get());
    if (sync == nullptr || !sync->running_mean.defined()) continue;
    take(*sync,
         [sync](Momentum momentum) { return std::exchange(sync->options.momentum, momentum); });
  }
}

}  // namespace

bool has_batch_norms(const torch::nn::Module& module) {
  bool found = false;
  each_batch_norm(module, [&](auto&, const auto&) { found = true; });
  return found;
}

bool is_batch_norm(const torch::nn::Module& layer) {
  return dynamic_cast<const torch::nn::BatchNorm1dImpl*>(&layer) != nullptr ||
         dynamic_cast<const torch::nn::BatchNorm2dImpl*>(&layer) != nullptr ||
         dynamic_cast<const torch::nn::BatchNorm3dImpl*>(&layer) != nullptr ||
         dynamic_cast<const SyncBatchNormImpl*>(&layer) != nullptr;
}

void update_batch_norms(Run& run) {
  const at::NoGradGuard no_grad;
  Module& module = run.module();
  std::vector<std::function<void()>> put_back;
  each_batch_norm(module, [&](auto& norm, const auto& set_momentum) {
    norm.running_mean.zero_();
    norm.running_var.fill_(1);
    norm.num_batches_tracked.zero_();
    const auto before = set_momentum(std::nullopt);  // the mean over all batches
    put_back.push_back([set_momentum, before] { set_momentum(before); });
  });
  const bool was_training = module.is_training();
  module.train();
  run.visit_training_batches(
      [&](const Batch& batch, Step& step) { module.training_step(batch, step); });
  module.train(was_training);
  for (const auto& each : put_back) each();
}

}  // namespace levin
