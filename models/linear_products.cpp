#include <levin/models/linear_products.h>

#include <algorithm>

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/sum.h>

#include <levin/framework/kernels/cpu/denormals.h>
#include <levin/framework/threads/shared_work.h>
#include <levin/models/dense_products.h>

namespace levin {
namespace {

/// How a matrix product is cut into parts along one of its dimensions.
class Cut {
 public:
  /// Cuts `size` rows or columns of a product of `flops` floating-point operations. All parts but
  /// the last one have a multiple of `multiple` rows or columns.
  Cut(int64_t size, double flops, int64_t multiple = kTile) : size_(size) {
    const auto parts = std::max(std::min(flops / kSmallPart, kFewParts), flops / kLargePart);
    const auto most = std::clamp<int64_t>(static_cast<int64_t>(parts), 1, kMostParts);
    step_ = std::max<int64_t>(((size + most - 1) / most + multiple - 1) / multiple, 1) * multiple;
  }
  int64_t parts() const { return (size_ + step_ - 1) / step_; }
  /// The first row or column of a part, and the one after its last.
  int64_t begin(int64_t part) const { return part * step_; }
  int64_t end(int64_t part) const { return std::min((part + 1) * step_, size_); }
  /// Returns the rows (dimension 0) or columns (1) of `matrix` that belong to a part.
  torch::Tensor of(const torch::Tensor& matrix, int64_t dimension, int64_t part) const {
    return matrix.narrow(dimension, begin(part), end(part) - begin(part));
  }

 private:
  // A smaller part costs more time to hand over than it saves (about 30 us of a core). A few parts
  // keep a few threads busy without packing the other matrix too often; large products have more.
  static constexpr double kSmallPart = 3e6;
  static constexpr double kFewParts = 4.0;
  static constexpr double kLargePart = 100e6;
  static constexpr int64_t kMostParts = 64;
  // Tiles of the library's products aren't cut.
  static constexpr int64_t kTile = 16;

  int64_t size_;
  int64_t step_;
};

double flops(int64_t rows, const torch::Tensor& weight) {
  return weight.defined() ? 2.0 * static_cast<double>(rows) * static_cast<double>(weight.numel())
                          : 0.0;
}

/// Calls `work(part)` for each part, without autograd on any thread.
template <class Work>
void share_out_below_autograd(int64_t parts, Work work) {
  share_out(parts, [&](int64_t part) {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    const kernels::DenormalsAreZero scope;
    work(part);
  });
}

// Above these limits the library's products are faster, because they divide the weights into
// blocks, too.
constexpr int64_t kMostOutputs = 64;
constexpr int64_t kMostWeights = 256 * 1024;
constexpr int64_t kOutputsAtOnce = 10;  // that the kernels work on

}  // namespace

float* at_least(std::vector<float>& scratch, int64_t size) {
  scratch.resize(std::max(scratch.size(), static_cast<size_t>(size)));
  return scratch.data();
}

bool reads_in_place(const torch::Tensor& weight) {
  return weight.size(0) <= kMostOutputs && weight.numel() <= kMostWeights;
}

std::optional<kernels::RowView> view_for(const torch::Tensor& weight, const Rows& rows) {
  auto view = rows.view();
  if (!view || view->count == 0 || view->row_size != weight.size(1) || rows.row_shape().empty()) {
    return std::nullopt;
  }
  return view;
}

bool are_cut(int64_t rows, const torch::Tensor& weight) {
  return Cut(rows, flops(rows, weight)).parts() > 1;
}

void linear_output(torch::Tensor& out, const torch::Tensor& x, const torch::Tensor& weight,
                   const torch::Tensor& bias, ForRows then) {
  const Cut rows(x.size(0), flops(x.size(0), weight));
  share_out_below_autograd(rows.parts(), [&](int64_t part) {
    auto own = rows.of(out, 0, part);
    multiply(own, rows.of(x, 0, part), weight.t(), bias);
    then(rows.begin(part), rows.end(part));
  });
}

void linear_input_gradient(torch::Tensor& out, const torch::Tensor& gradient,
                           const torch::Tensor& weight, ForRows then) {
  const Cut rows(gradient.size(0), flops(gradient.size(0), weight));
  share_out_below_autograd(rows.parts(), [&](int64_t part) {
    auto own = rows.of(out, 0, part);
    multiply(own, rows.of(gradient, 0, part), weight);
    then(rows.begin(part), rows.end(part));
  });
}

void linear_parameter_gradients(torch::Tensor& of_weight, torch::Tensor& of_bias,
                                const torch::Tensor& gradient, const torch::Tensor& x) {
  const Cut columns(x.size(1), flops(x.size(0), of_weight));
  const int64_t products = of_weight.defined() ? columns.parts() : 0;
  share_out_below_autograd(products + (of_bias.defined() ? 1 : 0), [&](int64_t part) {
    if (part == products) {
      at::sum_out(of_bias, gradient, {0});
    } else {
      auto own = columns.of(of_weight, 1, part);
      multiply(own, gradient.t(), columns.of(x, 1, part));
    }
  });
}

void linear_output(torch::Tensor& out, const kernels::RowView& x, const torch::Tensor& weight,
                   const torch::Tensor& bias, std::vector<float>& scratch, ForRows then) {
  const Cut rows(x.count, flops(x.count, weight));
  const int64_t room = kernels::linear_scratch_size(weight.size(0), weight.size(1));
  float* const memory = at_least(scratch, rows.parts() * room);
  const kernels::LinearOutput whole{.rows = x,
                                    .weight = weight.const_data_ptr<float>(),
                                    .bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr,
                                    .outputs = weight.size(0),
                                    .out = out.mutable_data_ptr<float>(),
                                    .stride = out.stride(0)};
  share_out_below_autograd(rows.parts(), [&](int64_t part) {
    auto own = whole;
    const int64_t begin = rows.begin(part);
    own.rows = x.narrow(begin, rows.end(part) - begin);
    own.out += begin * own.stride;
    own.scratch = memory + part * room;
    kernels::best().linear_output(own);
    then(begin, rows.end(part));
  });
}

void linear_parameter_gradients(torch::Tensor& of_weight, torch::Tensor& of_bias,
                                const torch::Tensor& gradient, const kernels::RowView& x,
                                std::vector<float>& scratch) {
  const int64_t features = of_weight.size(1);
  const Cut outputs(of_weight.size(0), flops(x.count, of_weight), kOutputsAtOnce);
  const int64_t room = kernels::linear_scratch_size(of_weight.size(0), features);
  float* const memory = at_least(scratch, outputs.parts() * room);
  float* const weights = of_weight.mutable_data_ptr<float>();
  float* const biases = of_bias.defined() ? of_bias.mutable_data_ptr<float>() : nullptr;
  share_out_below_autograd(outputs.parts(), [&](int64_t part) {
    const int64_t begin = outputs.begin(part);
    const int64_t count = outputs.end(part) - begin;
    const kernels::LinearGradient own{.rows = x,
                                      .gradient = gradient.const_data_ptr<float>() + begin,
                                      .stride = gradient.stride(0),
                                      .outputs = count,
                                      .weight_gradient = weights + begin * features,
                                      .bias_gradient = biases != nullptr ? biases + begin : nullptr,
                                      .scratch = memory + part * room};
    std::fill_n(own.weight_gradient, count * features, 0.0F);
    if (biases != nullptr) std::fill_n(own.bias_gradient, count, 0.0F);
    kernels::best().linear_gradient(own);
  });
}

}  // namespace levin
