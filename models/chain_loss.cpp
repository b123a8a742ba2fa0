#include <levin/models/chain_loss.h>

#include <algorithm>
#include <utility>

#include <ATen/autocast_mode.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <levin/framework/kernels/cpu/kernels.h>
#include <levin/framework/tensor/buffer.h>
#include <levin/framework/tensor/twice_differentiable.h>
#include <levin/framework/threads/shared_work.h>
#include <levin/models/classifier.h>
#include <levin/models/linear_products.h>

namespace levin {
namespace {

// The logits that a part of the softmax has: about 20 us of a core.
constexpr int64_t kLogitsAPart = 65'536;

torch::Tensor rows_between(const torch::Tensor& matrix, int64_t begin, int64_t end) {
  return matrix.narrow(0, begin, end - begin);
}

}  // namespace

bool ChainLoss::can_learn(const std::vector<ChainLayer>& layers) {
  return layers.back().weight.size(0) > 1 && layers.back().weight.is_cpu() &&
         std::all_of(layers.begin(), layers.end(), [](const ChainLayer& layer) {
           return ReadyGradients::can_take(layer.weight) &&
                  (!layer.bias.defined() || ReadyGradients::can_take(layer.bias));
         });
}

bool ChainLoss::can_learn(const Rows& input, const torch::Tensor& labels,
                          const std::vector<ChainLayer>& layers) {
  if (!at::GradMode::is_enabled() || at::autocast::is_autocast_enabled(at::kCPU)) return false;
  const auto view = view_for(layers.front().weight, input);
  return view && !TwiceDifferentiable::is_wanted() && labels.is_cpu() &&
         labels.numel() == view->count && can_learn(layers);
}

bool ChainLoss::reads_rows_in_place(const std::vector<ChainLayer>& layers) {
  return reads_in_place(layers.front().weight) && can_learn(layers);
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
      kept.gradient.reset();
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

/// The kernel wants rows of whole vectors. The columns behind the logits begin as zeros.
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
  float* const scratch = at_least(scratch_, 3 * stride * parts);
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
    own.scratch = scratch + 3 * stride * part;
    losses_[static_cast<size_t>(part)] = kernels::best().softmax_gradient(own);
  });
  double sum = 0.0;
  for (const double loss : losses_) sum += loss;
  return sum / static_cast<double>(rows);
}

const torch::Tensor& ChainLoss::input_of(size_t layer, const Input& input) const {
  return layer == 0 ? input.matrix : kept_[layer - 1].output;
}

std::optional<kernels::RowView> ChainLoss::rows_in_place(size_t layer, const Input& input,
                                                         const torch::Tensor& weight) const {
  if (layer == 0) return input.rows;
  if (!reads_in_place(weight)) return std::nullopt;
  const auto& matrix = input_of(layer, input);
  return kernels::RowView{
      .data = matrix.const_data_ptr<float>(), .count = matrix.size(0), .row_size = matrix.size(1)};
}

void ChainLoss::write_output(size_t layer, const Input& input,
                             const std::vector<ChainLayer>& layers) {
  auto& kept = kept_[layer];
  const auto& [weight, bias] = layers[layer];
  const auto activate = [&](int64_t begin, int64_t end) {
    if (layer + 1 == layers.size()) return;
    auto output = rows_between(kept.output, begin, end);
    activation_.write(output, rows_between(kept.sum, begin, end));
  };
  if (const auto rows = rows_in_place(layer, input, weight)) {
    linear_output(kept.sum, *rows, weight, bias, scratch_, activate);
  } else {
    linear_output(kept.sum, input_of(layer, input), weight, bias, activate);
  }
}

void ChainLoss::write_gradients(size_t layer, const Input& input, torch::Tensor& of_weight,
                                torch::Tensor& of_bias) {
  const auto& gradient = gradient_of(kept_[layer]);
  if (const auto rows = rows_in_place(layer, input, of_weight)) {
    linear_parameter_gradients(of_weight, of_bias, gradient, *rows, scratch_);
  } else {
    linear_parameter_gradients(of_weight, of_bias, gradient, input_of(layer, input));
  }
}

torch::Tensor ChainLoss::operator()(const Rows& input, const torch::Tensor& labels,
                                    const std::vector<ChainLayer>& layers) {
  std::vector<torch::Tensor> parameters;
  for (const auto& layer : layers) {
    parameters.push_back(layer.weight);
    if (layer.bias.defined()) parameters.push_back(layer.bias);
  }
  auto& gradients = ready_.begin(std::move(parameters));
  const at::NoGradGuard no_grad;
  Input x;
  if (reads_in_place(layers.front().weight)) {
    x.rows = input.view();
  } else {
    x.matrix = flatten_for(layers.front().weight, input.tensor());
  }
  make_room(input.size(), layers);
  for (size_t i = 0; i < layers.size(); ++i) write_output(i, x, layers);
  const double loss = softmax_gradient(labels);
  auto next = gradients.rbegin();  // from the last layer's bias to the first weight
  for (size_t i = layers.size(); i-- > 0;) {
    torch::Tensor none;
    auto& of_bias = layers[i].bias.defined() ? *next++ : none;
    write_gradients(i, x, *next++, of_bias);
    if (i == 0) break;
    auto& before = kept_[i - 1];
    const auto& gradient = gradient_of(kept_[i]);
    linear_input_gradient(
        before.gradient, gradient, layers[i].weight, [&](int64_t begin, int64_t end) {
          auto own = rows_between(before.gradient, begin, end);
          const auto& kept = activation_.derives_from_x ? before.sum : before.output;
          activation_.derive(own, rows_between(kept, begin, end));
        });
  }
  return ready_.make_loss(loss);
}

}  // namespace levin
