#include <levin/tuning/batched/softmax_stack.h>

#include <algorithm>

namespace levin {
namespace {

/// The most numbers of a batch, which the kernels read once for each model: 256 KiB. The library's
/// products are faster for larger ones, since they read them for several models at a time.
constexpr int64_t kMostNumbers = 64 * 1024;

/// The rows that stand side by side in the columns. With more, the columns of a block would begin
/// at addresses that share a few lines of the cache.
constexpr int64_t kRowsOfBlock = 64;

}  // namespace

bool SoftmaxStack::can_take(const torch::Tensor& weights, const torch::Tensor& rows) {
  return weights.scalar_type() == at::kFloat && rows.scalar_type() == at::kFloat &&
         weights.is_cpu() && rows.is_cpu() && rows.size(0) > 0 && weights.size(2) > 0 &&
         kernels::padded_rows(rows.size(0)) * kernels::padded_rows(weights.size(2)) <= kMostNumbers;
}

void SoftmaxStack::set_batch(const torch::Tensor& rows, const torch::Tensor& labels) {
  const auto plain = rows.contiguous();
  labels_ = labels.contiguous();
  rows_ = plain.size(0);
  features_ = plain.size(1);
  const int64_t width = kernels::padded_rows(features_);
  const int64_t all_rows = kernels::padded_rows(rows_);
  padded_.assign(static_cast<size_t>(rows_ * width), 0.0F);
  columns_.assign(static_cast<size_t>(all_rows * features_), 0.0F);
  const float* from = plain.const_data_ptr<float>();
  for (int64_t row = 0; row < rows_; ++row, from += features_) {
    std::copy_n(from, features_, padded_.data() + row * width);
  }
  for (int64_t first = 0; first < rows_; first += kRowsOfBlock) {
    const int64_t stride = std::min(kRowsOfBlock, all_rows - first);
    const int64_t count = std::min(kRowsOfBlock, rows_ - first);
    float* to = columns_.data() + first * features_;
    for (int64_t feature = 0; feature < features_; ++feature, to += stride) {
      const float* value = padded_.data() + first * width + feature;
      for (int64_t row = 0; row < count; ++row, value += width) to[row] = *value;
    }
  }
}

kernels::StackedSoftmax SoftmaxStack::write_logits(const Model& model, int64_t classes,
                                                   std::vector<float>& logits) const {
  const int64_t stride = kernels::padded_rows(rows_);
  logits.resize(std::max(logits.size(), static_cast<size_t>(classes * stride)));
  for (int64_t first = 0; first < rows_; first += kRowsOfBlock) {
    kernels::best_stacked().outputs({.columns = columns_.data() + first * features_,
                                     .stride = std::min(kRowsOfBlock, stride - first),
                                     .rows = std::min(kRowsOfBlock, rows_ - first),
                                     .features = features_,
                                     .weight = model.weight,
                                     .bias = model.bias,
                                     .outputs = classes,
                                     .out = logits.data() + first,
                                     .out_stride = stride});
  }
  return {.outputs = logits.data(),
          .stride = stride,
          .rows = rows_,
          .classes = classes,
          .labels = labels_.const_data_ptr<int64_t>(),
          .multiplier = static_cast<float>(1.0 / static_cast<double>(rows_))};
}

double SoftmaxStack::learn(const Model& model, const Model& gradients, int64_t classes,
                           std::vector<float>& logits) const {
  const auto softmax = write_logits(model, classes, logits);
  const double loss = kernels::best_stacked().softmax(softmax);
  kernels::best_stacked().gradients({.input = padded_.data(),
                                     .width = kernels::padded_rows(features_),
                                     .rows = rows_,
                                     .features = features_,
                                     .gradient = softmax.outputs,
                                     .stride = softmax.stride,
                                     .outputs = classes,
                                     .weight_gradient = gradients.weight,
                                     .bias_gradient = gradients.bias});
  return loss / static_cast<double>(rows_);
}

auto SoftmaxStack::evaluate(const Model& model, int64_t classes, std::vector<float>& logits) const
    -> Score {
  const auto score = kernels::best_stacked().score(write_logits(model, classes, logits));
  const auto rows = static_cast<double>(rows_);
  return {score.loss / rows, static_cast<double>(score.hits) / rows};
}

}  // namespace levin
