#include <levin/framework/solvers/own_columns.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/util/accumulate.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

/// A tensor that keeps the memory of `numbers`.
template <class Number>
torch::Tensor tensor_of(std::vector<Number> numbers) {
  const at::TensorOptions options(c10::CppTypeToScalarType<Number>::value);
  if (numbers.empty()) return at::empty({0}, options);
  const auto kept = std::make_shared<std::vector<Number>>(std::move(numbers));
  return at::from_blob(
      kept->data(), {std::ssize(*kept)}, [kept](void*) {}, options);
}

/// The entries of sparse rows that are in some columns.
class OwnEntries {
 public:
  OwnEntries(int64_t first, int64_t count) : first_(first), count_(count) {}

  void add(const kernels::SparseView& view) {
    if (offsets_.size() == 1) reserve_for(view);
    if (view.values != nullptr) has_values_ = true;
    if (has_values_) values_.resize(indices_.size(), 1.0F);  // those of batches without values
    for_each(
        view,
        [&](int64_t column, float value) {
          indices_.push_back(static_cast<int32_t>(column));
          if (has_values_) values_.push_back(value);
        },
        [&] { offsets_.push_back(std::ssize(indices_)); });
  }

  Rows rows() {
    return Rows::sparse(tensor_of(std::move(offsets_)), tensor_of(std::move(indices_)),
                        has_values_ ? tensor_of(std::move(values_)) : torch::Tensor(), count_);
  }

 private:
  /// Makes room for the first rows, which are all rows if they are in memory.
  void reserve_for(const kernels::SparseView& view) {
    size_t entries = 0;
    for_each(
        view, [&](int64_t /*column*/, float /*value*/) { ++entries; }, [] {});
    indices_.reserve(entries);
    if (view.values != nullptr) values_.reserve(entries);
    offsets_.reserve(static_cast<size_t>(view.count) + 1);
  }

  /// Calls use(column, value) for each entry in the columns, counted from the first of these, and
  /// `end` at the end of each row.
  template <class Use, class End>
  void for_each(const kernels::SparseView& view, Use use, End end) const {
    for (int64_t i = 0; i < view.count; ++i) {
      const int64_t row = view.numbers != nullptr ? view.numbers[i] : i;
      for (int64_t j = view.offsets[row]; j < view.offsets[row + 1]; ++j) {
        const int64_t column = view.indices[j] - first_;
        if (column < 0 || column >= count_) continue;
        use(column, view.values != nullptr ? view.values[j] : 1.0F);
      }
      end();
    }
  }

  int64_t first_;
  int64_t count_;
  std::vector<int64_t> offsets_{0};
  std::vector<int32_t> indices_;
  std::vector<float> values_;
  bool has_values_ = false;
};

/// Collects the batches of a pass.
class ColumnReader {
 public:
  ColumnReader(int64_t features, int64_t first, int64_t count)
      : features_(features), first_(first), count_(count), entries_(first, count) {}

  void add(const Batch& batch) {
    if (batch.rows() == 0) return;
    const Rows& rows = batch.input_rows();
    const int64_t features = c10::multiply_integers(rows.row_shape());
    if (features != features_) {
      throw DataError::bad_value("the number of features", fmt::format("{}", features), "input",
                                 fmt::format("the model has {} (in_features)", features_));
    }
    if (const auto view = rows.sparse_view()) {
      is_sparse_ = true;
      entries_.add(*view);
    } else {
      add_dense(rows);
    }
    targets_.push_back(batch.target().to(at::kCPU, at::kDouble));
    weights_.push_back(batch.has("weight") ? batch.weight().to(at::kCPU, at::kDouble)
                                           : at::ones({batch.rows()}, at::kDouble));
  }

  OwnColumns finish() {
    if (targets_.empty()) {
      throw DataError::empty("the training data", "a solver needs at least one row");
    }
    OwnColumns result;
    if (is_sparse_) {
      result.rows = entries_.rows();
    } else {
      auto all = blocks_.size() == 1 ? blocks_.front() : at::cat(blocks_);
      result.rows = scale_ ? Rows(std::move(all), *scale_) : Rows(std::move(all));
    }
    result.targets = at::cat(targets_).contiguous();
    result.weights = at::cat(weights_).contiguous();
    return result;
  }

 private:
  void add_dense(const Rows& rows) {
    const Rows together = rows.together(/*pinned=*/false);
    scale_ = together.scale();
    const auto all = together.source().reshape({rows.size(), features_});
    auto own = at::empty({rows.size(), count_}, all.options().requires_grad(false));
    own.copy_(all.narrow(1, first_, count_));
    blocks_.push_back(std::move(own));
  }

  int64_t features_;
  int64_t first_;
  int64_t count_;
  bool is_sparse_ = false;
  OwnEntries entries_;
  std::vector<torch::Tensor> blocks_;
  std::optional<ByteScale> scale_;
  std::vector<torch::Tensor> targets_;
  std::vector<torch::Tensor> weights_;
};

}  // namespace

OwnColumns read_columns(RowSource& rows, int64_t features, int64_t first, int64_t count) {
  ColumnReader reader(features, first, count);
  rows.pass([&](const Batch& batch) { reader.add(batch); });
  return reader.finish();
}

}  // namespace levin
