#include <levin/framework/solvers/online_batch.h>

#include <algorithm>
#include <limits>
#include <utility>

#include <ATen/Functions.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/data/sparse_rows.h>

namespace levin {

OnlineBatch::OnlineBatch(const LinearLoss& loss, bool one_by_one, std::string reader)
    : is_logistic_(loss.kind == LinearLoss::Kind::logistic),
      one_by_one_(one_by_one),
      features_(loss.weight.size(1)),
      factor_((is_logistic_ ? 1.0 : 2.0) / loss.mean_weight),
      reader_(std::move(reader)) {
  if (loss.class_weight.defined()) class_weight_ = loss.class_weight.to(at::kDouble).contiguous();
}

void OnlineBatch::read(const Batch& batch) {
  const Rows& rows = batch.input_rows();
  const int64_t given = c10::multiply_integers(rows.row_shape());
  if (given != features_) {
    throw DataError(
        fmt::format("a row of the input has {0} features, but the model has in_features = {1}; set "
                    "in_features = {0}, or give rows of {1} features",
                    given, features_));
  }
  rows.is_sparse() ? view_sparse(rows) : view_dense(rows);
  read_targets(batch);
  read_weights(batch);
}

void OnlineBatch::view_sparse(const Rows& rows) {
  if (!rows.is_sealed()) {
    require_valid_entries(rows.is_whole() ? rows : rows.together(/*pinned=*/false), "input");
  }
  const auto entries = static_cast<size_t>(one_by_one_ ? 0 : rows.num_entries());
  if (touched_.size() < entries) touched_.resize(entries);
  view_ = rows.sparse_view().value();
}

/// Dense rows as sparse ones that have all entries.
void OnlineBatch::view_dense(const Rows& rows) {
  const int64_t features = features_;
  if (features > kMostDenseFeatures) {
    throw ConfigError::conflict(
        fmt::format("the optimizer {} for dense rows of {} features", reader_, features),
        fmt::format("it is made for sparse rows, and takes dense ones of up to {} features: give "
                    "sparse rows (Rows::sparse, libsvm files), or use SGD or Adagrad",
                    kMostDenseFeatures));
  }
  const int64_t count = rows.size();
  dense_ = rows.tensor().reshape({count, features}).to(at::kFloat).contiguous();
  const auto numbers = static_cast<size_t>(count * features);
  for (auto i = static_cast<int64_t>(dense_offsets_.size()); i <= count; ++i) {
    dense_offsets_.push_back(i * features);
  }
  for (size_t i = dense_indices_.size(); i < numbers; ++i) {
    dense_indices_.push_back(static_cast<int32_t>(static_cast<int64_t>(i) % features));
  }
  if (!one_by_one_ && touched_.size() < numbers) touched_.resize(numbers);
  view_ = {.offsets = dense_offsets_.data(),
           .indices = dense_indices_.data(),
           .values = dense_.const_data_ptr<float>(),
           .count = count,
           .row_size = features};
}

void OnlineBatch::read_targets(const Batch& batch) {
  const int64_t count = view_.count;
  targets_ = batch.target().reshape({-1}).to(at::kCPU, at::kFloat).contiguous();
  if (targets_.numel() != count) {
    throw DataError::rows_differ("input", count, "target", targets_.numel());
  }
  const float* targets = targets_.const_data_ptr<float>();
  const float least = is_logistic_ ? 0.0F : std::numeric_limits<float>::lowest();
  const float most = is_logistic_ ? 1.0F : std::numeric_limits<float>::max();
  const auto* bad =
      std::find_if(targets, targets + count, [=](float y) { return !(y >= least && y <= most); });
  if (bad != targets + count) {
    throw DataError::bad_value("the target", fmt::format("{}", *bad),
                               fmt::format("target, row {} of the batch", bad - targets),
                               is_logistic_ ? "the logistic loss takes the classes 0 and 1"
                                            : "it must be a finite number");
  }
}

/// What each row counts, so that the mean over the rows is the loss: see LinearLoss.
void OnlineBatch::read_weights(const Batch& batch) {
  const int64_t count = view_.count;
  row_weights_.clear();
  const bool has_weights = batch.has("weight");
  if (!has_weights && !class_weight_.defined() && factor_ == 1.0) return;
  row_weights_.resize(static_cast<size_t>(count));
  torch::Tensor given;
  if (has_weights) given = batch.weight().reshape({-1}).to(at::kCPU, at::kDouble).contiguous();
  if (has_weights && given.numel() != count) {
    throw DataError::rows_differ("input", count, "weight", given.numel());
  }
  const float* targets = targets_.const_data_ptr<float>();
  for (int64_t i = 0; i < count; ++i) {
    double weight = factor_;
    if (has_weights) weight *= given.const_data_ptr<double>()[i];
    if (class_weight_.defined()) {
      weight *= class_weight_.const_data_ptr<double>()[targets[i] > 0.5F ? 1 : 0];
    }
    row_weights_[static_cast<size_t>(i)] = static_cast<float>(weight);
  }
}

}  // namespace levin
