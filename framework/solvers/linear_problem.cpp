#include <levin/framework/solvers/linear_problem.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/solvers/row_losses.h>

namespace levin {

LinearProblem::LinearProblem(const LinearLoss& loss, RowSource& source, torch::Tensor row_targets,
                             const torch::Tensor& row_weights)
    : kind(loss.kind),
      features(loss.weight.size(1)),
      outputs(loss.weight.size(0)),
      l1(loss.l1_strength),
      l2(loss.l2_strength),
      targets(std::move(row_targets)),
      weights(row_weights),
      output_weights(output_weights_of(loss)),
      source_(source) {
  std::vector<double> sums{row_weights.sum().item<double>(), static_cast<double>(rows())};
  sum(sums);
  weights = row_weights / sums[0];
  all_rows_ = std::llround(sums[1]);
}

void LinearProblem::sum(std::vector<double>& values) const {
  auto all = at::from_blob(values.data(), {std::ssize(values)}, at::kDouble);
  source_.sum(all);
}

bool LinearProblem::is_one(int64_t row, int64_t output) const {
  const double target = targets.const_data_ptr<double>()[row];
  return kind == LinearLoss::Kind::one_vs_rest ? static_cast<int64_t>(target) == output
                                               : target > 0.5;
}

double LinearProblem::weight_of(int64_t row, int64_t output) const {
  const double weight = weights.const_data_ptr<double>()[row];
  if (!output_weights.defined()) return weight;
  const auto target = static_cast<int64_t>(targets.const_data_ptr<double>()[row]);
  return weight * output_weights.const_data_ptr<double>()[target * outputs + output];
}

void LinearProblem::set_rows(EntryLists lists) {
  if (has_bias() && !lists.is_sparse()) {
    std::vector<double> means(static_cast<size_t>(features));
    const auto* weight = weights.const_data_ptr<double>();
    for (int64_t i = 0; i < rows(); ++i) {
      for_each_entry(lists.at(i), [&](double value, int64_t j) {
        means[static_cast<size_t>(j)] += weight[i] * value;
      });
    }
    sum(means);
    lists.subtract(means);
    means_ = at::empty({features}, at::kDouble);
    std::copy(means.begin(), means.end(), means_.mutable_data_ptr<double>());
  }
  by_row_ = std::move(lists);
}

const EntryLists& LinearProblem::by_row() {
  if (!by_row_) by_row_ = by_feature_->transposed();
  return *by_row_;
}

/// Drops the lists of rows: a solver goes through the one or the other.
const EntryLists& LinearProblem::by_feature() {
  if (by_feature_) return *by_feature_;
  by_feature_ = by_row_->transposed();
  by_row_.reset();
  return *by_feature_;
}

LinearProblem::Point LinearProblem::from_flat(const torch::Tensor& flat) const {
  auto weight = flat.narrow(0, weight_at, outputs * features).view({outputs, features}).clone();
  auto bias =
      has_bias() ? flat.narrow(0, bias_at, outputs).clone() : at::zeros({outputs}, at::kDouble);
  if (means_.defined()) bias.add_(weight.mv(means_));
  return {std::move(weight), std::move(bias)};
}

torch::Tensor LinearProblem::to_flat(const Point& point) const {
  auto flat = at::empty({outputs * features + (has_bias() ? outputs : 0)}, at::kDouble);
  flat.narrow(0, weight_at, outputs * features).copy_(point.weight.flatten());
  if (!has_bias()) return flat;
  const auto bias = flat.narrow(0, bias_at, outputs);
  bias.copy_(point.bias);
  if (means_.defined()) bias.sub_(point.weight.mv(means_));
  return flat;
}

LinearProblem::Point LinearProblem::loss_slopes(const torch::Tensor& flat,
                                                const torch::Tensor& gradient) const {
  const int64_t numbers = outputs * features;
  auto weight = gradient.narrow(0, weight_at, numbers).clone();
  weight.sub_(flat.narrow(0, weight_at, numbers), 2.0 * l2);
  weight = weight.view({outputs, features});
  auto bias =
      has_bias() ? gradient.narrow(0, bias_at, outputs).clone() : at::zeros({outputs}, at::kDouble);
  if (means_.defined()) weight.sub_(bias.outer(means_));
  return {std::move(weight), std::move(bias)};
}

namespace {

/// Adds up a few numbers over all ranks.
std::vector<double> sums_over_ranks(RowSource& rows, std::vector<double> values) {
  auto all = at::from_blob(values.data(), {std::ssize(values)}, at::kDouble);
  rows.sum(all);
  return values;
}

/// Calls `use` for blocks of dense float64 rows, until all rows were passed.
void for_dense_blocks(RowSource& source, int64_t features,
                      c10::function_ref<void(const torch::Tensor& x)> use) {
  constexpr int64_t kBlock = 1024;
  source.pass([&](const Batch& batch) {
    const Rows& rows = batch.input_rows();
    for (int64_t first = 0; first < rows.size(); first += kBlock) {
      const int64_t count = std::min(kBlock, rows.size() - first);
      use(rows.narrow(first, count)
              .tensor()
              .reshape({count, features})
              .to(at::kCPU, at::kDouble)
              .contiguous());
    }
  });
}

/// The entries of rows that are sparse already, on any rank; nothing if they are dense.
std::optional<EntryLists> read_sparse_entries(RowSource& rows, int64_t features) {
  double are_sparse = 0.0;
  std::vector<double> values;  // empty as long as all are 1
  std::vector<int32_t> indices;
  std::vector<int64_t> offsets{0};
  int64_t count = 0;
  rows.pass([&](const Batch& batch) {
    if (batch.input_rows().is_sparse()) count += batch.input_rows().num_entries();
  });
  indices.reserve(static_cast<size_t>(count));  // growing would take twice the memory
  rows.pass([&](const Batch& batch) {
    const auto view = batch.input_rows().sparse_view();
    if (!view) return;
    are_sparse = 1.0;
    if (view->values != nullptr) values.reserve(indices.capacity());
    for (int64_t i = 0; i < view->count; ++i) {
      const int64_t row = view->numbers != nullptr ? view->numbers[i] : i;
      const int64_t first = view->offsets[row];
      const int64_t end = view->offsets[row + 1];
      if (view->values != nullptr) {
        values.resize(indices.size(), 1.0);
        values.insert(values.end(), view->values + first, view->values + end);
      }
      indices.insert(indices.end(), view->indices + first, view->indices + end);
      offsets.push_back(std::ssize(indices));
    }
  });
  if (sums_over_ranks(rows, {are_sparse})[0] == 0.0) return {};
  if (!values.empty()) values.resize(indices.size(), 1.0);
  return EntryLists(std::move(values), std::move(indices), std::move(offsets), features);
}

}  // namespace

EntryLists read_row_entries(RowSource& rows, int64_t features) {
  if (auto sparse = read_sparse_entries(rows, features)) return std::move(*sparse);
  int64_t present = 0;
  int64_t count = 0;
  for_dense_blocks(rows, features, [&](const torch::Tensor& x) {
    present += x.count_nonzero().item<int64_t>();
    count += x.size(0);
  });
  constexpr double kFew = 1'000'000;  // numbers that are kept dense whatever they are
  constexpr double kShare = 5;        // an entry takes as long as so many dense numbers
  const auto all =
      sums_over_ranks(rows, {static_cast<double>(count * features), static_cast<double>(present)});
  const bool is_sparse = all[0] > kFew && all[1] * kShare < all[0];
  std::vector<double> values;
  values.reserve(static_cast<size_t>(is_sparse ? present : count * features));
  std::vector<int32_t> indices;
  std::vector<int64_t> offsets{0};
  for_dense_blocks(rows, features, [&](const torch::Tensor& x) {
    const auto* data = x.const_data_ptr<double>();
    if (!is_sparse) {
      values.insert(values.end(), data, data + x.numel());
      return;
    }
    for (int64_t i = 0; i < x.size(0); ++i) {
      for (int64_t j = 0; j < features; ++j, ++data) {
        if (*data == 0.0) continue;
        values.push_back(*data);
        indices.push_back(static_cast<int32_t>(j));
      }
      offsets.push_back(std::ssize(values));
    }
  });
  if (!is_sparse) return {std::move(values), count, features};
  return {std::move(values), std::move(indices), std::move(offsets), features};
}

}  // namespace levin
