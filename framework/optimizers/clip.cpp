#include <levin/framework/optimizers/clip.h>

#include <algorithm>

#include <ATen/OpMathType.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_clamp_max.h>
#include <ATen/ops/_foreach_clamp_min.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <levin/framework/optimizers/checks.h>
#include <levin/framework/optimizers/sparse_numbers.h>

namespace levin {
namespace {

// The gradients of those parameters that have one; of a sparse gradient, its values. The vector's
// memory is kept for the next call on this thread.
class Gradients {
 public:
  explicit Gradients(const std::vector<torch::Tensor>& parameters) : list_(kept()) {
    for (const auto& parameter : parameters) {
      auto& gradient = parameter.mutable_grad();
      if (!gradient.defined()) continue;
      if (gradient.is_sparse()) {
        gradient = coalesced(gradient);
        list_.push_back(gradient._values());
      } else {
        list_.push_back(gradient);
      }
    }
  }
  Gradients(const Gradients&) = delete;
  Gradients& operator=(const Gradients&) = delete;
  ~Gradients() { list_.clear(); }

  const std::vector<torch::Tensor>& list() const { return list_; }
  bool on_one_device() const {
    return std::all_of(list_.begin(), list_.end(),
                       [&](const auto& g) { return g.device() == list_.front().device(); });
  }

 private:
  static std::vector<torch::Tensor>& kept() {
    thread_local std::vector<torch::Tensor> gradients;
    return gradients;
  }

  std::vector<torch::Tensor>& list_;
};

torch::Tensor norm_of(const Gradients& gradients, double norm_type) {
  if (gradients.list().empty()) return at::zeros({});
  auto norms = at::_foreach_norm(gradients.list(), norm_type);
  if (!gradients.on_one_device()) {
    for (auto& norm : norms) norm = norm.to(norms.front().device());
  }
  return norms.size() == 1 ? norms.front() : at::linalg_vector_norm(at::stack(norms), norm_type);
}

}  // namespace

torch::Tensor clip_grad_norm(const std::vector<torch::Tensor>& parameters, double max_norm,
                             double norm_type,
                             const std::function<torch::Tensor(const torch::Tensor& norm)>& join) {
  check_option(max_norm >= 0.0, "max_norm", max_norm, "must be at least 0");
  check_option(norm_type > 0.0, "norm_type", norm_type, "must be above 0");
  const at::NoGradGuard no_grad;
  const at::AutoDispatchBelowAutograd no_autograd_kernels;
  const Gradients gradients(parameters);
  torch::Tensor total = norm_of(gradients, norm_type);
  if (join) total = join(total);
  if (gradients.list().empty()) return total;
  const auto factor = (max_norm / (total + 1e-6)).clamp_max_(1.0);
  // On the CPU, reading the factor costs nothing; a factor of 1 leaves the gradients as they are.
  if (factor.is_cpu() && factor.item<double>() == 1.0) return total;
  if (gradients.on_one_device() && factor.device() == gradients.list().front().device()) {
    at::_foreach_mul_(gradients.list(), factor);
  } else {
    for (const auto& gradient : gradients.list()) gradient.mul_(factor.to(gradient.device()));
  }
  return total;
}

void clip_grad_value(const std::vector<torch::Tensor>& parameters, double clip_value) {
  check_option(clip_value >= 0.0, "clip_value", clip_value, "must be at least 0");
  const at::NoGradGuard no_grad;
  const at::AutoDispatchBelowAutograd no_autograd_kernels;
  const Gradients gradients(parameters);
  if (gradients.list().empty()) return;
  at::_foreach_clamp_min_(gradients.list(), -clip_value);
  at::_foreach_clamp_max_(gradients.list(), clip_value);
}

void scale_gradients(const std::vector<torch::Tensor>& parameters, const torch::Tensor& factor) {
  const at::NoGradGuard no_grad;
  const at::AutoDispatchBelowAutograd no_autograd_kernels;
  const Gradients gradients(parameters);
  const auto& list = gradients.list();
  if (list.empty()) return;
  const auto type = list.front().scalar_type();
  const bool have_one_type = std::all_of(list.begin(), list.end(), [&](const auto& gradient) {
    return gradient.scalar_type() == type;
  });
  if (have_one_type && type == at::toOpMathType(type)) {  // one kernel, or a few
    at::_foreach_mul_(list, factor.to(type));
    return;
  }
  for (const auto& gradient : list) {  // a factor in a type of two bytes would be rounded
    auto product = gradient.to(at::toOpMathType(gradient.scalar_type()));
    product.mul_(factor.to(product.scalar_type()));
    if (!product.is_same(gradient)) gradient.copy_(product);
  }
}

}  // namespace levin
