#include <levin/models/linear_products.h>

#include <algorithm>

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>

#include <levin/framework/kernels/cpu/denormals.h>
#include <levin/framework/threads/shared_work.h>

namespace levin {
namespace {

/// How a matrix product is cut into parts along one of its dimensions.
class Cut {
 public:
  /// Cuts `size` rows or columns of a product of `flops` floating-point operations.
  Cut(int64_t size, double flops) : size_(size) {
    const auto parts = std::max(std::min(flops / kSmallPart, kFewParts), flops / kLargePart);
    const auto most = std::clamp<int64_t>(static_cast<int64_t>(parts), 1, kMostParts);
    step_ =
        std::max<int64_t>(((size + most - 1) / most + kMultiple - 1) / kMultiple, 1) * kMultiple;
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
  static constexpr int64_t kMultiple = 16;

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

}  // namespace

bool are_cut(int64_t rows, const torch::Tensor& weight) {
  return Cut(rows, flops(rows, weight)).parts() > 1;
}

void linear_output(torch::Tensor& out, const torch::Tensor& x, const torch::Tensor& weight,
                   const torch::Tensor& bias, ForRows then) {
  const Cut rows(x.size(0), flops(x.size(0), weight));
  share_out_below_autograd(rows.parts(), [&](int64_t part) {
    const auto transposed = weight.t();
    auto own = rows.of(out, 0, part);
    if (bias.defined()) {
      at::addmm_out(own, bias, rows.of(x, 0, part), transposed);
    } else {
      at::mm_out(own, rows.of(x, 0, part), transposed);
    }
    then(rows.begin(part), rows.end(part));
  });
}

void linear_input_gradient(torch::Tensor& out, const torch::Tensor& gradient,
                           const torch::Tensor& weight, ForRows then) {
  const Cut rows(gradient.size(0), flops(gradient.size(0), weight));
  share_out_below_autograd(rows.parts(), [&](int64_t part) {
    auto own = rows.of(out, 0, part);
    at::mm_out(own, rows.of(gradient, 0, part), weight);
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
      at::mm_out(own, gradient.t(), columns.of(x, 1, part));
    }
  });
}

}  // namespace levin
