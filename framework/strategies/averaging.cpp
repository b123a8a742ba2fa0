#include <levin/framework/strategies/averaging.h>

#include <algorithm>
#include <utility>

#include <levin/framework/core/error.h>

namespace levin {

AveragingStrategy::AveragingStrategy(const Cluster& cluster, at::Device device,
                                     DataParallelOptions options, const NamedSettings& averaging)
    : DataParallelStrategy(cluster, device, std::move(options)),
      local_steps_(
          group_ranks(), shipped_model_averagings().make(averaging.name, averaging.settings),
          {.bucket_bytes = std::max<size_t>(
               1, static_cast<size_t>(this->options().gradients.bucket_cap_mb * 1024.0 * 1024.0)),
           .averages_buffers = this->options().broadcast_buffers}) {
  group_ranks().set_train_alone(true);
}

AveragingStrategy::~AveragingStrategy() = default;

void AveragingStrategy::setup(Module& module) {
  DataParallelStrategy::setup(module);
  local_steps_.set_profiler(profiler());
  local_steps_.begin(module);
}

void AveragingStrategy::prepare_sums(const Module& module, std::vector<std::string> names,
                                     std::vector<torch::Tensor> parameters) {
  if (local_steps_.averaging().start() == 0) return;
  DataParallelStrategy::prepare_sums(module, std::move(names), std::move(parameters));
}

std::optional<double> AveragingStrategy::backward(Module& module, const torch::Tensor& loss,
                                                  double weight,
                                                  std::optional<double> window_rows) {
  if (!local_steps_.are_local()) {
    return DataParallelStrategy::backward(module, loss, weight, window_rows);
  }
  DataParallelStrategy::backward(module, loss, weight, std::nullopt);
  if (window_rows) local_steps_.count_rows(*window_rows);
  return window_rows.value_or(0.0);
}

void AveragingStrategy::sum_by_optimizer(const Module& /*module*/,
                                         const Optimizers& /*optimizers*/) {
  throw ConfigError::conflict(
      "model_averaging with a module that optimizes by hand, which decides itself when it steps",
      "leave out model_averaging");
}

int64_t AveragingStrategy::sent_bytes() const {
  return DataParallelStrategy::sent_bytes() + local_steps_.sent_bytes();
}

}  // namespace levin
