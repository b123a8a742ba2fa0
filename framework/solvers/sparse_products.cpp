#include <levin/framework/solvers/sparse_products.h>

#include <algorithm>
#include <type_traits>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/core/error.h>
#include <levin/framework/kernels/cpu/kernels.h>
#include <levin/framework/tensor/buffer.h>

namespace levin {
namespace {

/// The matrix has a row for each feature here, and so have the sums
/// of gradients, which are therefore kept until the end of a pass unless there is one output.
/// Gradients are added up in float64 in either case.
template <class Number>
class SparseProducts final : public RowProducts {
 public:
  SparseProducts(int64_t features, int64_t outputs)
      : features_(features),
        outputs_(outputs),
        stride_(outputs == 1 ? 1 : kernels::padded_classes(outputs)) {}

  void set_matrix(const torch::Tensor& weight, const torch::Tensor& bias) override {
    const auto type = c10::CppTypeToScalarType<Number>();
    if (!weight_.defined()) weight_ = empty_in_huge_pages({features_, stride_}, type).zero_();
    weight_.narrow(1, 0, outputs_).copy_(weight.t());
    bias_ = bias.defined() ? bias.to(type).contiguous() : torch::Tensor();
  }

  void share_matrix(const RowProducts& other) override {
    const auto& same = static_cast<const SparseProducts&>(other);
    weight_ = same.weight_;
    bias_ = same.bias_;
  }

  void outputs(const Rows& rows, double* out) override {
    const auto view = view_of(rows);
    results_.resize(static_cast<size_t>(view.count * stride_));
    const kernels::SparseOutput<Number> pass{
        .rows = view,
        .weight = weight_.template const_data_ptr<Number>(),
        .bias = bias_.defined() ? bias_.template const_data_ptr<Number>() : nullptr,
        .outputs = outputs_,
        .stride = stride_,
        .out = results_.data()};
    if constexpr (std::is_same_v<Number, float>) {
      kernels::best().sparse_output(pass);
    } else {
      kernels::best().sparse_output_double(pass);
    }
    for (int64_t i = 0; i < view.count; ++i) {
      const Number* row = results_.data() + i * stride_;
      for (int64_t k = 0; k < outputs_; ++k) out[i * outputs_ + k] = static_cast<double>(row[k]);
    }
  }

  void add_gradients(const Rows& rows, const double* gradient, const Sums& sums) override {
    add(view_of(rows), gradient, sums);
  }

  void add_square_gradients(const Rows& rows, const double* gradient, const Sums& sums) override {
    auto view = view_of(rows);
    const auto squares = rows.values().defined() ? rows.values().square() : torch::Tensor();
    if (squares.defined()) view.values = squares.template const_data_ptr<float>();
    add(view, gradient, sums);
  }

  void finish(const Sums& sums) override {
    if (!kept_.defined()) return;
    at::from_blob(sums.weight, {outputs_, features_}, at::kDouble)
        .add_(kept_.narrow(1, 0, outputs_).t());
    kept_.zero_();
  }

 private:
  static kernels::SparseView view_of(const Rows& rows) {
    if (auto view = rows.sparse_view()) return *view;
    throw DataError("sparse rows lie on a device; a solver reads rows in the memory of the host");
  }

  void add(const kernels::SparseView& rows, const double* gradient, const Sums& sums) {
    double* weight = sums.weight;
    if (stride_ > 1) {
      if (!kept_.defined()) kept_ = at::zeros({features_, stride_}, at::kDouble);
      weight = kept_.template mutable_data_ptr<double>();
      gradients_.resize(static_cast<size_t>(rows.count * stride_));
      for (int64_t i = 0; i < rows.count; ++i) {
        std::copy_n(gradient + i * outputs_, outputs_, gradients_.data() + i * stride_);
      }
      gradient = gradients_.data();
    }
    kernels::best().sparse_gradient_double({.rows = rows,
                                            .gradient = gradient,
                                            .outputs = outputs_,
                                            .stride = stride_,
                                            .weight_gradient = weight,
                                            .bias_gradient = sums.bias});
  }

  int64_t features_;
  int64_t outputs_;
  int64_t stride_;
  torch::Tensor weight_;  // [features, stride]
  torch::Tensor bias_;
  torch::Tensor kept_;             // [features, stride]: sums of the pass
  std::vector<Number> results_;    // [block, stride]
  std::vector<double> gradients_;  // [block, stride]
};

}  // namespace

std::unique_ptr<RowProducts> make_sparse_products(int64_t features, int64_t outputs, bool precise) {
  if (precise) return std::make_unique<SparseProducts<double>>(features, outputs);
  return std::make_unique<SparseProducts<float>>(features, outputs);
}

}  // namespace levin
