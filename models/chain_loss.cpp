#include <levin/models/chain_loss.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>

#include <levin/framework/tensor/buffer.h>
#include <levin/framework/threads/shared_work.h>
#include <levin/models/linear_products.h>

namespace levin {
namespace {

// The logits that a part of the softmax has: about 50 us of a core.
constexpr int64_t kLogitsAPart = 16'384;

/// Turns the logits of a row into multiplier * (softmax - one hot), and returns its cross-entropy.
double row_gradient(float* logits, int64_t classes, int64_t label, float multiplier) {
  const float of_label = logits[label];
  const float most = *std::max_element(logits, logits + classes);
  float sum = 0.0F;
  for (int64_t i = 0; i < classes; ++i) sum += logits[i] = std::exp(logits[i] - most);
  const float factor = multiplier / sum;
  for (int64_t i = 0; i < classes; ++i) logits[i] *= factor;
  logits[label] -= multiplier;
  return static_cast<double>(std::log(sum) + (most - of_label));
}

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
    kept.output.reset();  // which may share the memory of `sum`
    reserve(kept.sum, out);
    if (i + 1 == layers.size()) continue;
    reserve(kept.gradient, out);
    if (activation_.derives_from_x) {
      reserve(kept.output, out);
    } else {
      kept.output = kept.sum;
    }
  }
}

double ChainLoss::softmax_gradient(torch::Tensor& logits, const torch::Tensor& labels) {
  const int64_t rows = logits.size(0);
  const int64_t classes = logits.size(1);
  const int64_t parts = std::clamp<int64_t>(rows * classes / kLogitsAPart, 1, rows);
  losses_.resize(static_cast<size_t>(parts));
  const auto multiplier = static_cast<float>(1.0 / static_cast<double>(rows));
  float* values = logits.mutable_data_ptr<float>();
  const auto own_labels = labels.contiguous();
  const int64_t* label = own_labels.const_data_ptr<int64_t>();
  share_out(parts, [&](int64_t part) {
    double loss = 0.0;
    for (int64_t row = rows * part / parts; row < rows * (part + 1) / parts; ++row) {
      loss += row_gradient(values + row * classes, classes, label[row], multiplier);
    }
    losses_[static_cast<size_t>(part)] = loss;
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
    const double loss = softmax_gradient(kept_[last].sum, labels);
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
