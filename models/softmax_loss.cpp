#include <levin/models/softmax_loss.h>

#include <algorithm>
#include <memory>

#include <ATen/ops/empty_like.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/anomaly_mode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>

#include <levin/framework/kernels/cpu/kernels.h>
#include <levin/framework/tensor/buffer.h>
#include <levin/framework/threads/shared_work.h>

namespace levin {
namespace {

namespace autograd = torch::autograd;

// Above these limits a library's matrix product is faster, because it divides the weights into
// blocks, too.
constexpr int64_t kMostClasses = 64;
constexpr int64_t kMostWeights = 256 * 1024;
// A pass is cut into parts for several threads. Smaller ones, in floating-point operations, take
// longer to hand over than to compute, and each part has gradients of its own.
constexpr int64_t kLeastPart = 8'000'000;
constexpr int64_t kMostParts = 8;

// The loss's node in autograd's graph. The gradients are known already, so it only scales them.
class SoftmaxLossBackward : public autograd::Node {
 public:
  SoftmaxLossBackward(torch::Tensor weight, torch::Tensor bias)
      : weight_(std::move(weight)), bias_(std::move(bias)) {}
  std::string name() const override { return "SoftmaxLossBackward"; }
  autograd::variable_list apply(autograd::variable_list&& gradients) override {
    const auto scaled = [&](const torch::Tensor& own) {
      return own.defined() && gradients[0].defined() ? own.mul(gradients[0]) : torch::Tensor();
    };
    if (num_outputs() == 1) return {scaled(weight_)};
    return {scaled(weight_), scaled(bias_)};
  }

 private:
  torch::Tensor weight_;
  torch::Tensor bias_;
};

bool is_plain_parameter(const torch::Tensor& parameter) {
  return parameter.is_cpu() && parameter.scalar_type() == at::kFloat &&
         parameter.layout() == at::kStrided && parameter.is_contiguous() &&
         parameter.requires_grad() && parameter.is_leaf();
}

// Whether a Reducer or the user has set hooks on the gradient. Only autograd calls such hooks.
bool has_hooks(const torch::Tensor& parameter) {
  const auto* meta = autograd::impl::get_autograd_meta(parameter);
  if (meta == nullptr) return false;
  if (!meta->hooks_.empty() || meta->post_acc_grad_hooks_ != nullptr) return true;
  const auto accumulator = autograd::impl::try_get_grad_accumulator(parameter);
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

// Whether the gradient can be overwritten: no parameter, no graph and no user refers to it.
bool is_free(const torch::Tensor& gradient, const torch::Tensor& parameter) {
  return is_unshared(gradient) && gradient.sizes() == parameter.sizes();
}

}  // namespace

bool SoftmaxLoss::can_learn(const torch::Tensor& weight, const torch::Tensor& bias) {
  return is_plain_parameter(weight) && (!bias.defined() || is_plain_parameter(bias)) &&
         weight.size(0) <= kMostClasses && weight.numel() <= kMostWeights;
}

std::optional<kernels::RowView> SoftmaxLoss::view(const Rows& rows, const torch::Tensor& weight,
                                                  const torch::Tensor& bias) {
  if (!at::GradMode::is_enabled() || !can_learn(weight, bias)) return std::nullopt;
  auto view = rows.view();
  if (!view || view->count == 0 || view->row_size != weight.size(1) || rows.row_shape().empty()) {
    return std::nullopt;
  }
  return view;
}

SoftmaxLoss::Gradients& SoftmaxLoss::free_gradients(const torch::Tensor& weight,
                                                    const torch::Tensor& bias) {
  next_ = 1 - next_;
  auto& free = gradients_[next_];
  if (!is_free(free.weight, weight)) free.weight = at::empty_like(weight.detach());
  if (!bias.defined()) {
    free.bias.reset();
  } else if (!is_free(free.bias, bias)) {
    free.bias = at::empty_like(bias.detach());
  }
  return free;
}

torch::Tensor SoftmaxLoss::operator()(const kernels::RowView& rows, const torch::Tensor& labels,
                                      const torch::Tensor& weight, const torch::Tensor& bias) {
  last_ = {};
  loss_.reset();
  auto& gradients = free_gradients(weight, bias);
  const double mean = run(rows, labels, weight, bias, gradients);

  loss_ = at::scalar_tensor(mean, weight.options().requires_grad(false));
  const auto node = std::make_shared<SoftmaxLossBackward>(gradients.weight, gradients.bias);
  node->add_next_edge(autograd::impl::gradient_edge(weight));
  if (bias.defined()) node->add_next_edge(autograd::impl::gradient_edge(bias));
  autograd::set_history(loss_, node);
  last_ = gradients;
  weight_ = weight;
  bias_ = bias;
  return loss_;
}

double SoftmaxLoss::run(const kernels::RowView& rows, const torch::Tensor& labels,
                        const torch::Tensor& weight, const torch::Tensor& bias,
                        Gradients& gradients) {
  const int64_t count = rows.count;
  const auto contiguous_labels = labels.contiguous();
  kernels::SoftmaxRegression pass;
  pass.rows = rows;
  pass.labels = contiguous_labels.const_data_ptr<int64_t>();
  pass.weight = weight.const_data_ptr<float>();
  pass.bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr;
  pass.classes = weight.size(0);
  pass.multiplier = static_cast<float>(1.0 / static_cast<double>(count));

  const int64_t room = kernels::scratch_size(pass.classes, rows.row_size);
  const int64_t flops = 4 * count * weight.numel();
  const int64_t parts = std::clamp<int64_t>(flops / kLeastPart, 1, std::min(kMostParts, count));
  const int64_t parameters = weight.numel() + pass.classes;
  scratch_.resize(static_cast<size_t>(parts * room + (parts - 1) * parameters));
  auto* sums = scratch_.data() + parts * room;  // the gradients of all parts but the first
  std::vector<double> losses(static_cast<size_t>(parts));
  const auto run_part = [&](int64_t part) {
    auto own = pass;
    const int64_t begin = count * part / parts;
    own.rows = rows.narrow(begin, count * (part + 1) / parts - begin);
    own.labels += begin;
    own.scratch = scratch_.data() + part * room;
    float* sum = part == 0 ? nullptr : sums + (part - 1) * parameters;
    own.weight_gradient = part == 0 ? gradients.weight.mutable_data_ptr<float>() : sum;
    own.bias_gradient = !bias.defined() ? nullptr
                        : part == 0     ? gradients.bias.mutable_data_ptr<float>()
                                        : sum + weight.numel();
    std::fill_n(own.weight_gradient, weight.numel(), 0.0F);
    if (bias.defined()) std::fill_n(own.bias_gradient, own.classes, 0.0F);
    losses[static_cast<size_t>(part)] = kernels::best().softmax_regression(own);
  };
  share_out(parts, run_part);
  // The parts are added in their order, whichever thread was first, so the bits are reproducible.
  double total = losses[0];
  for (int64_t part = 1; part < parts; ++part) {
    const float* sum = sums + (part - 1) * parameters;
    float* weights = gradients.weight.mutable_data_ptr<float>();
    for (int64_t i = 0; i < weight.numel(); ++i) weights[i] += sum[i];
    for (int64_t i = 0; bias.defined() && i < pass.classes; ++i) {
      gradients.bias.mutable_data_ptr<float>()[i] += sum[weight.numel() + i];
    }
    total += losses[static_cast<size_t>(part)];
  }
  return total / static_cast<double>(count);
}

bool SoftmaxLoss::backward(const torch::Tensor& loss) {
  if (!loss_.defined() || !loss.is_same(loss_)) return false;
  if (autograd::AnomalyMode::is_enabled() || has_hooks(weight_) ||
      (bias_.defined() && has_hooks(bias_)) || has_hooks(loss_)) {
    return false;
  }
  const at::NoGradGuard no_grad;
  accumulate(weight_, last_.weight);
  if (bias_.defined()) accumulate(bias_, last_.bias);
  loss_.reset();
  last_ = {};
  return true;
}

}  // namespace levin
