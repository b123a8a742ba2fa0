#include <levin/framework/strategies/strategy.h>

#include <levin/framework/launch/device_mesh.h>
#include <levin/framework/optimizers/clip.h>
#include <levin/framework/optimizers/optimizer.h>

namespace levin {

std::vector<torch::Tensor> Strategy::with_gradients(const Optimizer& optimizer) const {
  std::vector<torch::Tensor> parameters;
  for (const auto& group : optimizer.groups()) {
    parameters.insert(parameters.end(), group.parameters.begin(), group.parameters.end());
  }
  return parameters;
}

int64_t Strategy::random_rank() {
  const int64_t own = ranks().rank();
  if (mesh() == nullptr) return own;
  return mesh()->group_of(MeshAxis::tensor, own).front();
}

torch::Tensor Strategy::clip_grad_norm(const std::vector<torch::Tensor>& parameters,
                                       double max_norm) {
  return levin::clip_grad_norm(parameters, max_norm);
}

void Strategy::reduce(LoggedValues& metrics) {
  for (;;) {
    PackedMetrics packed = metrics.pack();
    combine(packed);
    if (metrics.unpack(packed)) return;
    if (LoggedValues::await_metrics(packed)) {
      metrics.finish_metrics(data_ranks());
    } else {
      metrics.agree(ranks().gather(metrics.names()));
    }
  }
}

}  // namespace levin
