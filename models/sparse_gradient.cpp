#include <levin/models/sparse_gradient.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/ops/_sparse_coo_tensor_unsafe.h>
#include <ATen/ops/empty.h>

#include <levin/models/csr_entries.h>

namespace levin {
namespace {

/// A set of columns that is listed in ascending order in a time that grows with their number, and
/// with the number of all columns only by one bit in 4096.
class ColumnSet {
 public:
  void make_room(int64_t columns) {
    const auto words = static_cast<size_t>(columns / 64 + 1);
    if (columns_.size() >= words) return;
    columns_.resize(words);
    words_.resize(words / 64 + 1);
  }
  void add(int64_t column) {
    const auto word = static_cast<size_t>(column) / 64;
    columns_[word] |= uint64_t{1} << (column % 64);
    words_[word / 64] |= uint64_t{1}
                         << (word % 64);  // a condition would be guessed wrong too often
  }
  /// Calls `use(column)` for each column and empties the set.
  template <class Use>
  void take(Use use) {
    for (size_t i = 0; i < words_.size(); ++i) {
      for (uint64_t words = std::exchange(words_[i], 0); words != 0; words &= words - 1) {
        const size_t word = 64 * i + static_cast<size_t>(std::countr_zero(words));
        for (uint64_t bits = std::exchange(columns_[word], 0); bits != 0; bits &= bits - 1) {
          use(static_cast<int64_t>(64 * word) + std::countr_zero(bits));
        }
      }
    }
  }

 private:
  std::vector<uint64_t> columns_;  // a bit for each column
  std::vector<uint64_t> words_;    // a bit for each word of columns_ that isn't 0
};

/// Sums of numbers by their columns.
template <class Number>
class ColumnSums {
 public:
  /// Adds up value * row of `outer` [rows, outputs] over the entries of each column of `x`.
  void add(const torch::Tensor& x, const torch::Tensor& outer) {
    outputs_ = outer.size(1);
    columns_.clear();
    const auto size = static_cast<size_t>(x.size(1) * outputs_);
    if (is_dirty_) std::fill(sums_.begin(), sums_.end(), Number{0});
    if (sums_.size() < size) sums_.resize(size);
    set_.make_room(x.size(1));
    is_dirty_ = true;
    const auto* from = outer.template const_data_ptr<Number>();
    auto* const sums = sums_.data();
    const int64_t outputs = outputs_;
    for_each_entry<Number>(
        x,
        [this, from, sums, outputs](int64_t row, int64_t column, Number value) {
          for (int64_t o = 0; o < outputs; ++o) {
            sums[column * outputs + o] += value * from[row * outputs + o];
          }
          set_.add(column);
        },
        [sums, outputs](int64_t column) { __builtin_prefetch(sums + column * outputs, 1); });
    set_.take([this](int64_t column) { columns_.push_back(column); });
  }
  /// Gives them as a sparse tensor [outputs, columns] and forgets them.
  torch::Tensor take(int64_t columns, const at::TensorOptions& options) {
    const auto distinct = static_cast<int64_t>(columns_.size());
    const auto indices = at::empty({2, outputs_ * distinct}, options.dtype(at::kLong));
    const auto values = at::empty({outputs_ * distinct}, options);
    auto* rows = indices.template mutable_data_ptr<int64_t>();
    auto* numbers = values.template mutable_data_ptr<Number>();
    for (int64_t o = 0; o < outputs_; ++o) {
      std::fill_n(rows + o * distinct, distinct, o);
      std::copy(columns_.begin(), columns_.end(), rows + (outputs_ + o) * distinct);
    }
    for (int64_t k = 0; k < distinct; ++k) {
      auto* const sums = sums_.data() + columns_[static_cast<size_t>(k)] * outputs_;
      for (int64_t o = 0; o < outputs_; ++o) {
        numbers[o * distinct + k] = std::exchange(sums[o], Number{0});
      }
    }
    is_dirty_ = false;
    return at::_sparse_coo_tensor_unsafe(indices, values, {outputs_, columns},
                                         options.layout(at::kSparse), /*is_coalesced=*/true);
  }

 private:
  std::vector<Number> sums_;  // [columns, outputs], zeros between calls
  ColumnSet set_;
  std::vector<int64_t> columns_;  // that occur, in ascending order
  int64_t outputs_ = 0;
  bool is_dirty_ = false;  // whether an exception has left numbers behind
};

template <class Number>
torch::Tensor sums_of(const torch::Tensor& x, const torch::Tensor& outer) {
  // A pointer, because the address of a thread's variable would be looked up again in each loop.
  thread_local const auto kept = std::make_unique<ColumnSums<Number>>();
  ColumnSums<Number>& sums = *kept;
  sums.add(x, outer);
  return sums.take(x.size(1), outer.options());
}

}  // namespace

torch::Tensor sparse_weight_gradient(const torch::Tensor& x, const torch::Tensor& outer) {
  const auto own = outer.detach().contiguous();
  return own.scalar_type() == at::kFloat ? sums_of<float>(x, own) : sums_of<double>(x, own);
}

}  // namespace levin
