#include <levin/models/ready_gradients.h>

#include <algorithm>
#include <memory>
#include <utility>

#include <ATen/ops/empty_like.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/anomaly_mode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>

#include <levin/framework/tensor/buffer.h>

namespace levin {
namespace {

namespace autograd = torch::autograd;

// The loss's node in autograd's graph. The gradients are known already, so it only scales them.
class ReadyBackward : public autograd::Node {
 public:
  explicit ReadyBackward(std::vector<torch::Tensor> gradients) : gradients_(std::move(gradients)) {}
  std::string name() const override { return "ReadyBackward"; }
  autograd::variable_list apply(autograd::variable_list&& outer) override {
    autograd::variable_list result(gradients_.size());
    if (!outer[0].defined()) return result;
    for (size_t i = 0; i < result.size(); ++i) result[i] = gradients_[i].mul(outer[0]);
    return result;
  }

 private:
  std::vector<torch::Tensor> gradients_;
};

// Whether a Reducer or the user has set hooks on the gradient. Only autograd calls such hooks.
bool has_hooks(const torch::Tensor& tensor) {
  const auto* meta = autograd::impl::get_autograd_meta(tensor);
  if (meta == nullptr) return false;
  if (!meta->hooks_.empty() || meta->post_acc_grad_hooks_ != nullptr) return true;
  const auto accumulator = autograd::impl::try_get_grad_accumulator(tensor);
  return accumulator != nullptr &&
         (!accumulator->pre_hooks().empty() || !accumulator->post_hooks().empty() ||
          !accumulator->tensor_pre_hooks().empty());
}

void accumulate(const torch::Tensor& parameter, const torch::Tensor& gradient) {
  auto& sum = parameter.mutable_grad();
  if (sum.defined()) {
    sum.add_(gradient);
  } else {
    sum = gradient;
  }
}

}  // namespace

bool ReadyGradients::can_take(const torch::Tensor& parameter) {
  return (parameter.is_cpu() || parameter.is_cuda()) && parameter.scalar_type() == at::kFloat &&
         parameter.layout() == at::kStrided && parameter.is_contiguous() &&
         parameter.requires_grad() && parameter.is_leaf();
}

std::vector<torch::Tensor>& ReadyGradients::begin(std::vector<torch::Tensor> parameters) {
  loss_.reset();
  parameters_ = std::move(parameters);
  current_ = 1 - current_;
  auto& gradients = gradients_[current_];
  gradients.resize(parameters_.size());
  for (size_t i = 0; i < parameters_.size(); ++i) {
    auto& gradient = gradients[i];
    // Otherwise a parameter, a graph or a user refers to it.
    const bool is_free = is_unshared(gradient) && gradient.sizes() == parameters_[i].sizes();
    if (!is_free) gradient = at::empty_like(parameters_[i].detach());
  }
  return gradients;
}

torch::Tensor ReadyGradients::make_loss(double value) {
  return make_loss(at::scalar_tensor(value, parameters_.front().options().requires_grad(false)));
}

torch::Tensor ReadyGradients::make_loss(torch::Tensor value) {
  loss_ = std::move(value);
  const auto node = std::make_shared<ReadyBackward>(gradients_[current_]);
  for (const auto& parameter : parameters_) {
    node->add_next_edge(autograd::impl::gradient_edge(parameter));
  }
  autograd::set_history(loss_, node);
  return loss_;
}

bool ReadyGradients::backward(const torch::Tensor& loss) {
  if (!loss_.defined() || !loss.is_same(loss_)) return false;
  if (autograd::AnomalyMode::is_enabled() || has_hooks(loss_) ||
      std::any_of(parameters_.begin(), parameters_.end(), has_hooks)) {
    return false;
  }
  const at::NoGradGuard no_grad;
  const auto& gradients = gradients_[current_];
  for (size_t i = 0; i < parameters_.size(); ++i) accumulate(parameters_[i], gradients[i]);
  loss_.reset();
  return true;
}

}  // namespace levin
