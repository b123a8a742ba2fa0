#include <levin/models/bfloat16_softmax_loss.h>

#include <algorithm>
#include <optional>
#include <utility>

#include <ATen/autocast_mode.h>
#include <ATen/ops/_log_softmax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>
#include <c10/util/BFloat16.h>

#include <levin/framework/kernels/cpu/kernels.h>
#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/tensor/device_graph.h>
#include <levin/framework/tensor/twice_differentiable.h>
#include <levin/framework/threads/shared_work.h>
#include <levin/models/classifier.h>
#include <levin/models/linear_products.h>

namespace levin {
namespace {

constexpr int64_t kValuesAPart = 65'536;  // that a thread rounds at a time: about 20 us

int64_t parts_of(int64_t count, int64_t size) { return (count + size - 1) / size; }

std::optional<kernels::RowView> view_of(const Rows& rows) {
  return rows.source().is_cuda() ? rows.device_view() : rows.view();
}

/// Returns the rows in a form that `view_of` takes; nothing if they have one. Bytes without a scale
/// stand for themselves.
std::optional<Rows> converted(const Rows& rows, const torch::Tensor& weight) {
  const auto fits = [&](const Rows& given) {
    const auto view = view_of(given);
    return view && !given.row_shape().empty() && view->row_size == weight.size(1);
  };
  if (fits(rows)) return std::nullopt;
  if (rows.is_dense() && rows.dtype() == at::kByte) {
    Rows bytes(rows.source(), {.scale = 1.0F, .zero_point = 0.0F});
    if (fits(bytes)) return bytes;
  }
  return Rows(flatten_for(weight, rows.tensor()).contiguous());
}

// --- rounding to bfloat16 -----------------------------------------------------------------------

// The type in which matrices of rounded numbers are kept: LibTorch's products of bfloat16 numbers
// on the CPU would round the sums, too.
at::ScalarType rounded_type(const torch::Tensor& weight) {
  return weight.is_cuda() ? at::kBFloat16 : at::kFloat;
}

void round_numbers(const float* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(c10::BFloat16(from[i]));
}

void round_to(torch::Tensor& to, const torch::Tensor& from) {
  if (to.is_cuda()) {
    to.copy_(from);
    return;
  }
  const auto* numbers = from.const_data_ptr<float>();
  auto* rounded = to.mutable_data_ptr<float>();
  const int64_t count = from.numel();
  share_out(parts_of(count, kValuesAPart), [&](int64_t part) {
    const int64_t begin = part * kValuesAPart;
    round_numbers(numbers + begin, std::min(kValuesAPart, count - begin), rounded + begin);
  });
}

void round_on_cpu(torch::Tensor& to, const kernels::RowView& rows) {
  auto* out = to.mutable_data_ptr<float>();
  const int64_t parts =
      std::clamp<int64_t>(rows.count * rows.row_size / kValuesAPart, 1, rows.count);
  share_out(parts, [&](int64_t part) {
    for (int64_t row = rows.count * part / parts; row < rows.count * (part + 1) / parts; ++row) {
      const int64_t first = (rows.numbers != nullptr ? rows.numbers[row] : row) * rows.row_size;
      float* own = out + row * rows.row_size;
      if (rows.type == kernels::RowView::Type::float32) {
        round_numbers(static_cast<const float*>(rows.data) + first, rows.row_size, own);
      } else {
        const auto* bytes = static_cast<const uint8_t*>(rows.data) + first;
        kernels::best().convert_bytes(bytes, rows.row_size, 1.0F, 0.0F, own);
      }
    }
  });
}

void round_on_device(torch::Tensor& to, const kernels::RowView& rows, const torch::Tensor& source) {
  const c10::DeviceGuard guard(to.device());
  if (kernels::cuda::are_built()) {
    kernels::cuda::gather_rows_bf16(rows, to.mutable_data_ptr(), current_stream(to.device()));
  } else if (rows.numbers == nullptr) {
    to.copy_(at::from_blob(const_cast<void*>(rows.data), to.sizes(), source.options()));
  } else {
    const auto numbers = at::from_blob(const_cast<int64_t*>(rows.numbers), {rows.count},
                                       source.options().dtype(at::kLong));
    to.copy_(source.flatten(1).index_select(0, numbers));
  }
}

/// Writes X', of rows that lie in `source`.
void round_rows_to(torch::Tensor& to, const kernels::RowView& rows, const torch::Tensor& source) {
  if (to.is_cuda()) {
    round_on_device(to, rows, source);
  } else {
    round_on_cpu(to, rows);
  }
}

// --- products of rounded matrices, in float32 ---------------------------------------------------

void write_logits(torch::Tensor& out, const torch::Tensor& x, const torch::Tensor& weight) {
  if (out.is_cuda()) {
    at::mm_out(out, x, weight.t(), at::kFloat);
  } else {
    linear_output(out, x, weight, {});
  }
}

void write_weight_gradient(torch::Tensor& out, const torch::Tensor& gradient,
                           const torch::Tensor& x) {
  if (out.is_cuda()) {
    at::mm_out(out, gradient.t(), x, at::kFloat);
  } else {
    torch::Tensor no_bias;
    linear_parameter_gradients(out, no_bias, gradient, x);
  }
}

/// Makes `tensor` a matrix of at least `rows` rows and of these columns, as `like`.
void reserve(torch::Tensor& tensor, int64_t rows, int64_t columns, at::ScalarType type,
             const torch::Tensor& like) {
  const bool fits = tensor.defined() && tensor.size(0) >= rows && tensor.size(1) == columns &&
                    tensor.device() == like.device();
  if (fits) return;
  tensor.reset();  // first, so that there aren't two
  tensor = at::empty({rows, columns}, at::TensorOptions(type).device(like.device()));
}

/// sum += value
void add(torch::Tensor& sum, const torch::Tensor& value) {
  if (sum.defined()) {
    sum.add_(value);
  } else {
    sum = value;
  }
}

}  // namespace

bool Bfloat16SoftmaxLoss::can_learn(const torch::Tensor& weight, const torch::Tensor& bias) {
  return weight.size(0) > 1 && ReadyGradients::can_take(weight) &&
         (!bias.defined() || (ReadyGradients::can_take(bias) && bias.device() == weight.device()));
}

bool Bfloat16SoftmaxLoss::can_learn(const Rows& rows, const torch::Tensor& labels,
                                    const torch::Tensor& weight, const torch::Tensor& bias) {
  if (!at::GradMode::is_enabled() || TwiceDifferentiable::is_wanted()) return false;
  if (rows.size() == 0 || rows.is_sparse() || !can_learn(weight, bias)) return false;
  const auto& source = rows.source();
  return !at::autocast::is_autocast_enabled(weight.device().type()) &&
         labels.numel() == rows.size() && labels.device() == weight.device() &&
         source.device() == weight.device() && source.layout() == at::kStrided &&
         !source.requires_grad();
}

void Bfloat16SoftmaxLoss::make_room(int64_t rows, bool has_parts, const torch::Tensor& weight) {
  const int64_t classes = weight.size(0);
  const int64_t features = weight.size(1);
  const auto type = rounded_type(weight);
  reserve(rounded_weight_, classes, features, type, weight);
  reserve(rows_, rows, features, type, weight);
  reserve(logits_, rows, classes, at::kFloat, weight);
  reserve(log_probability_, rows, classes, at::kFloat, weight);
  reserve(rounded_gradient_, rows, classes, type, weight);
  if (has_parts) reserve(weight_gradient_, classes, features, at::kFloat, weight);
}

void Bfloat16SoftmaxLoss::add_part(const Rows& rows, const kernels::RowView& part,
                                   const torch::Tensor& labels, const torch::Tensor& offset,
                                   double multiplier, Sums& sums) {
  auto x = rows_.narrow(0, 0, part.count);
  auto logits = logits_.narrow(0, 0, part.count);
  auto log_probability = log_probability_.narrow(0, 0, part.count);
  auto rounded = rounded_gradient_.narrow(0, 0, part.count);
  const bool is_first = !sums.log_probability.defined();

  round_rows_to(x, part, rows.source());
  write_logits(logits, x, rounded_weight_);
  if (part.scale != 1.0F) logits.mul_(part.scale);
  if (offset.defined()) logits.add_(offset);
  at::_log_softmax_out(log_probability, logits, 1, /*half_to_float=*/false);
  const auto own = labels.unsqueeze(1);
  const auto of_labels = log_probability.gather(1, own);
  add(sums.log_probability, of_labels.sum(at::kDouble));

  auto& gradient = at::exp_out(logits, log_probability);
  gradient.scatter_(1, own, of_labels.exp().sub_(1.0));
  if (sums.bias_gradient.defined()) sums.bias_gradient.add_(gradient.sum(0));
  round_to(rounded, gradient.mul_(multiplier));
  if (part.zero_point != 0.0F) {
    add(sums.rounded_gradient, rounded.sum(0, /*keepdim=*/false, at::kFloat));
  }
  if (is_first) {
    write_weight_gradient(sums.weight_gradient, rounded, x);
  } else {
    write_weight_gradient(weight_gradient_, rounded, x);
    sums.weight_gradient.add_(weight_gradient_);
  }
}

torch::Tensor Bfloat16SoftmaxLoss::operator()(const Rows& input, const torch::Tensor& labels,
                                              const torch::Tensor& weight,
                                              const torch::Tensor& bias) {
  const at::NoGradGuard no_grad;
  const auto other = converted(input, weight);
  const Rows& rows = other ? *other : input;
  const auto view = view_of(rows).value();
  const double zero_point = view.zero_point;
  std::vector<torch::Tensor> learned{weight};
  if (bias.defined()) learned.push_back(bias);
  auto& gradients = ready_.begin(std::move(learned));

  const int64_t row_bytes = view.row_size * static_cast<int64_t>(elementSize(rounded_type(weight)));
  const int64_t most = std::max<int64_t>(most_bytes_ / row_bytes, 1);
  const int64_t parts = parts_of(view.count, most);
  const int64_t rows_a_part = parts_of(view.count, parts);
  make_room(rows_a_part, parts > 1, weight);
  round_to(rounded_weight_, weight);
  torch::Tensor offset = bias;
  if (view.zero_point != 0.0F) {
    const auto shift = rounded_weight_.sum(1, /*keepdim=*/false, at::kFloat);
    shift.mul_(-view.scale * zero_point);
    offset = bias.defined() ? shift.add_(bias) : shift;
  }

  Sums sums{.weight_gradient = gradients[0]};
  if (bias.defined()) sums.bias_gradient = gradients[1].zero_();
  const double mean = 1.0 / static_cast<double>(view.count);
  for (int64_t begin = 0; begin < view.count; begin += rows_a_part) {
    const int64_t count = std::min(rows_a_part, view.count - begin);
    add_part(rows, view.narrow(begin, count), labels.narrow(0, begin, count), offset,
             view.scale * mean, sums);
  }
  if (bias.defined()) sums.bias_gradient.mul_(mean);
  if (zero_point != 0.0) {
    sums.weight_gradient.sub_(sums.rounded_gradient.unsqueeze(1), zero_point);
  }
  return ready_.make_loss(sums.log_probability.mul_(-mean).to(at::kFloat));
}

}  // namespace levin
