#include <levin/models/chain_loss.h>

#include <algorithm>
#include <utility>

#include <ATen/autocast_mode.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <levin/framework/kernels/cpu/kernels.h>
#include <levin/framework/tensor/buffer.h>
#include <levin/framework/threads/shared_work.h>
#include <levin/models/linear_products.h>

namespace levin {
namespace {

// The logits that a part of the softmax has: about 20 us of a core.
constexpr int64_t kLogitsAPart = 65'536;

torch::Tensor rows_of(const torch::Tensor& matrix, int64_t begin, int64_t end) {
  return matrix.narrow(0, begin, end - begin);
}

}  // namespace

bool ChainLoss::can_learn(const torch::Tensor& input, const std::vector<ChainLayer>& layers) {
  if (!at::GradMode::is_enabled() || at::autocast::is_autocast_enabled(at::kCPU)) return false;
  const bool is_plain = input.is_cpu() && input.scalar_type() == at::kFloat &&
                        input.layout() == at::kStrided && input.dim() == 2 &&
                        input.is_contiguous() && input.size(0) > 0 && !input.requires_grad();
  return is_plain && std::all_of(layers.begin(), layers.end(), [](const ChainLayer& layer) {
           return ReadyGradients::can_take(layer.weight) &&
                  (!layer.bias.defined() || ReadyGradients::can_take(layer.bias));
         });
}

void ChainLoss::make_room(int64_t rows, const std::vector<ChainLayer>& layers) {
  kept_.resize(layers.size());
  const auto reserve = [rows](torch::Tensor& tensor, int64_t columns) {
    tensor = reuse_or_allocate(std::move(tensor), rows, {columns}, at::kFloat);
  };
  for (size_t i = 0; i < layers.size(); ++i) {
    auto& kept = kept_[i];
    const int64_t out = layers[i].weight.size(0);
    if (i + 1 == layers.size()) {
      reserve_logits(rows, out);
      continue;
    }
    kept.output.reset();  // which may share the memory of `sum`
    reserve(kept.sum, out);
    reserve(kept.gradient, out);
    if (activation_.derives_from_x) {
      reserve(kept.output, out);
    } else {
      kept.output = kept.sum;
    }
  }
}

/// The kernel wants rows of whole vectors. The columns behind the logits are zeros.
void ChainLoss::reserve_logits(int64_t rows, int64_t classes) {
  auto& logits = kept_.back().sum;
  logits.reset();  // a view of padded_logits_
  const int64_t stride = kernels::padded_classes(classes);
  const bool is_large_enough = padded_logits_.defined() && padded_logits_.size(1) == stride &&
                               padded_logits_.size(0) >= rows;
  if (!is_large_enough) padded_logits_ = at::zeros({rows, stride}, at::TensorOptions(at::kFloat));
  logits = padded_logits_.narrow(0, 0, rows).narrow(1, 0, classes);
}

double ChainLoss::softmax_gradient(const torch::Tensor& labels) {
  const auto& logits = kept_.back().sum;
  const int64_t rows = logits.size(0);
  const int64_t stride = padded_logits_.size(1);
  const int64_t parts = std::clamp<int64_t>(rows * stride / kLogitsAPart, 1, rows);
  losses_.resize(static_cast<size_t>(parts));
  scratch_.resize(static_cast<size_t>(3 * stride * parts));
  const auto own_labels = labels.contiguous();
  const kernels::SoftmaxGradient all{
      .logits = padded_logits_.mutable_data_ptr<float>(),
      .stride = stride,
      .count = rows,
      .classes = logits.size(1),
      .labels = own_labels.const_data_ptr<int64_t>(),
      .multiplier = static_cast<float>(1.0 / static_cast<double>(rows))};
  share_out(parts, [&](int64_t part) {
    auto own = all;
    const int64_t begin = rows * part / parts;
    own.logits += begin * stride;
    own.count = rows * (part + 1) / parts - begin;
    own.labels += begin;
    own.scratch = scratch_.data() + 3 * stride * part;
    losses_[static_cast<size_t>(part)] = kernels::best().softmax_gradient(own);
  });
  double sum = 0.0;
  for (const double loss : losses_) sum += loss;
  return sum / static_cast<double>(rows);
}

torch::Tensor ChainLoss::operator()(const torch::Tensor& input, const torch::Tensor& labels,
                                    const std::vector<ChainLayer>& layers) {
  std::vector<torch::Tensor> parameters;
  for (const auto& layer : layers) {
    parameters.push_back(layer.weight);
    if (layer.bias.defined()) parameters.push_back(layer.bias);
  }
  auto& gradients = ready_.begin(std::move(parameters));
  make_room(input.size(0), layers);
  const size_t last = layers.size() - 1;
  {
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i <= last; ++i) {
      auto& kept = kept_[i];
      const auto& x = i == 0 ? input : kept_[i - 1].output;
      linear_output(kept.sum, x, layers[i].weight, layers[i].bias, [&](int64_t begin, int64_t end) {
        if (i == last) return;
        auto output = rows_of(kept.output, begin, end);
        activation_.write(output, rows_of(kept.sum, begin, end));
      });
    }
    const double loss = softmax_gradient(labels);
    auto gradient_of = gradients.rbegin();  // from the last layer's bias to the first weight
    for (size_t i = last;; --i) {
      const auto& gradient = i == last ? kept_[i].sum : kept_[i].gradient;
      torch::Tensor none;
      auto& of_bias = layers[i].bias.defined() ? *gradient_of++ : none;
      auto& of_weight = *gradient_of++;
      linear_parameter_gradients(of_weight, of_bias, gradient,
                                 i == 0 ? input : kept_[i - 1].output);
      if (i == 0) return ready_.make_loss(loss);
      auto& before = kept_[i - 1];
      linear_input_gradient(
          before.gradient, gradient, layers[i].weight, [&](int64_t begin, int64_t end) {
            auto own = rows_of(before.gradient, begin, end);
            const auto& kept = activation_.derives_from_x ? before.sum : before.output;
            activation_.derive(own, rows_of(kept, begin, end));
          });
    }
  }
}

}  // namespace levin
