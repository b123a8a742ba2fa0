#include <levin/framework/solvers/row_products.h>

#include <algorithm>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/util/accumulate.h>

#include <levin/framework/data/sparse_rows.h>
#include <levin/framework/solvers/sparse_products.h>

namespace levin {
namespace {

void add_column_sums(const double* gradient, int64_t rows, int64_t outputs, double* sums) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < outputs; ++k) sums[k] += gradient[i * outputs + k];
  }
}

torch::Tensor matrix_at(const double* numbers, int64_t rows, int64_t columns) {
  return at::from_blob(const_cast<double*>(numbers),  // it is only read
                       {rows, columns}, at::kDouble);
}

/// By LibTorch's matrix products of float64 numbers.
class PreciseProducts final : public RowProducts {
 public:
  PreciseProducts(int64_t features, int64_t outputs) : features_(features), outputs_(outputs) {}

  void set_matrix(const torch::Tensor& weight, const torch::Tensor& bias) override {
    transposed_ = weight.t();
    bias_ = bias;
  }

  void share_matrix(const RowProducts& other) override {
    const auto& same = static_cast<const PreciseProducts&>(other);
    transposed_ = same.transposed_;
    bias_ = same.bias_;
  }

  void outputs(const Rows& rows, double* out) override {
    auto result = at::from_blob(out, {rows.size(), outputs_}, at::kDouble);
    at::mm_out(result, as_matrix(rows, features_), transposed_);
    if (bias_.defined()) result.add_(bias_);
  }

  void add_gradients(const Rows& rows, const double* gradient, const Sums& sums) override {
    add(as_matrix(rows, features_), gradient, sums);
  }

  void add_square_gradients(const Rows& rows, const double* gradient, const Sums& sums) override {
    add(as_matrix(rows, features_).square(), gradient, sums);
  }

 private:
  void add(const torch::Tensor& x, const double* gradient, const Sums& sums) const {
    at::from_blob(sums.weight, {outputs_, features_}, at::kDouble)
        .addmm_(matrix_at(gradient, x.size(0), outputs_).t(), x);
    add_column_sums(gradient, x.size(0), outputs_, sums.bias);
  }

  int64_t features_;
  int64_t outputs_;
  torch::Tensor transposed_;
  torch::Tensor bias_;
};

/// By the kernels for float32 numbers and bytes, on the calling thread.
class FastProducts final : public RowProducts {
 public:
  FastProducts(int64_t features, int64_t outputs)
      : features_(features),
        outputs_(outputs),
        stride_(kernels::padded_classes(outputs)),
        scratch_(static_cast<size_t>(kernels::linear_scratch_size(outputs, features))),
        sums_(static_cast<size_t>(outputs * features)) {}

  void set_matrix(const torch::Tensor& weight, const torch::Tensor& bias) override {
    weight_ = weight.to(at::kFloat).contiguous();
    bias_ = bias.defined() ? bias.to(at::kFloat).contiguous() : torch::Tensor();
  }

  void share_matrix(const RowProducts& other) override {
    const auto& same = static_cast<const FastProducts&>(other);
    weight_ = same.weight_;
    bias_ = same.bias_;
  }

  void outputs(const Rows& rows, double* out) override {
    auto& narrow = buffer(rows.size());
    torch::Tensor own;
    kernels::best().linear_output(
        {.rows = view(rows, own),
         .weight = weight_.const_data_ptr<float>(),
         .bias = bias_.defined() ? bias_.const_data_ptr<float>() : nullptr,
         .outputs = outputs_,
         .out = narrow.data(),
         .stride = stride_,
         .scratch = scratch_.data()});
    for (int64_t i = 0; i < rows.size(); ++i) {
      const float* row = narrow.data() + i * stride_;
      for (int64_t k = 0; k < outputs_; ++k) out[i * outputs_ + k] = static_cast<double>(row[k]);
    }
  }

  void add_gradients(const Rows& rows, const double* gradient, const Sums& sums) override {
    auto& narrow = buffer(rows.size());
    for (int64_t i = 0; i < rows.size(); ++i) {
      float* row = narrow.data() + i * stride_;
      for (int64_t k = 0; k < outputs_; ++k)
        row[k] = static_cast<float>(gradient[i * outputs_ + k]);
    }
    std::fill(sums_.begin(), sums_.end(), 0.0F);
    torch::Tensor own;
    kernels::best().linear_gradient({.rows = view(rows, own),
                                     .gradient = narrow.data(),
                                     .stride = stride_,
                                     .outputs = outputs_,
                                     .weight_gradient = sums_.data(),
                                     .scratch = scratch_.data()});
    for (size_t j = 0; j < sums_.size(); ++j) sums.weight[j] += static_cast<double>(sums_[j]);
    add_column_sums(gradient, rows.size(), outputs_, sums.bias);
  }

  void add_square_gradients(const Rows& rows, const double* gradient, const Sums& sums) override {
    PreciseProducts(features_, outputs_).add_square_gradients(rows, gradient, sums);
  }

 private:
  std::vector<float>& buffer(int64_t rows) {
    const auto size = static_cast<size_t>(rows * stride_);
    if (buffer_.size() < size) buffer_.resize(size, 0.0F);
    return buffer_;
  }

  /// The rows in place or, if no kernel can read them there, as float32 numbers in `own`.
  kernels::RowView view(const Rows& rows, torch::Tensor& own) const {
    if (auto in_place = rows.view()) return *in_place;
    own = rows.tensor().to(at::kFloat).contiguous();
    return {.data = own.const_data_ptr<float>(), .count = rows.size(), .row_size = features_};
  }

  int64_t features_;
  int64_t outputs_;
  int64_t stride_;
  torch::Tensor weight_;
  torch::Tensor bias_;
  std::vector<float> buffer_;
  std::vector<float> scratch_;
  std::vector<float> sums_;
};

}  // namespace

torch::Tensor as_matrix(const Rows& rows, int64_t features, at::ScalarType type) {
  return to_dense(rows).reshape({rows.size(), features}).to(type);
}

int64_t RowProducts::multiplications(const Rows& rows, int64_t outputs) {
  const int64_t numbers = rows.is_sparse() ? rows.num_entries()
                                           : rows.size() * c10::multiply_integers(rows.row_shape());
  return numbers * outputs;
}

int64_t RowProducts::num_parts(int64_t multiplications, int64_t numbers) {
  constexpr int64_t kMost = 16;
  constexpr int64_t kMultiplicationsAPart = 8'000'000;
  constexpr int64_t kNumbers = 1 << 24;  // of all parts' gradients together
  return std::clamp<int64_t>(std::min(multiplications / kMultiplicationsAPart, kNumbers / numbers),
                             1, kMost);
}

int64_t RowProducts::block_rows(const Rows& rows) {
  constexpr int64_t kBytes = 1 << 19;
  if (rows.size() == 0) return 1;
  const auto bytes = rows.is_sparse()
                         ? static_cast<int64_t>(rows.nbytes()) / rows.size()
                         : c10::multiply_integers(rows.row_shape()) * rows.source().element_size();
  return std::clamp<int64_t>(kBytes / std::max<int64_t>(bytes, 1), 16, 1024);
}

std::unique_ptr<RowProducts> make_row_products(const Rows& rows, int64_t outputs, bool precise) {
  const int64_t features = c10::multiply_integers(rows.row_shape());
  if (rows.is_sparse()) return make_sparse_products(features, outputs, precise);
  if (precise) return std::make_unique<PreciseProducts>(features, outputs);
  return std::make_unique<FastProducts>(features, outputs);
}

}  // namespace levin
