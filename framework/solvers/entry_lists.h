#pragma once

#include <cstdint>
#include <vector>

namespace levin {

/// The entries of one row, or of one column, of a matrix of features: values[i] stands at position
/// indices[i] or, if there are no indices, at position i. If there are indices but no values, all
/// entries are 1. Entries that aren't listed are 0.
struct Entries {
  const double* values = nullptr;
  const int32_t* indices = nullptr;
  int64_t count = 0;
};

/// A matrix of features as lists of entries: one list for each row, or one for each column. Solvers
/// that look at single rows or single features are written over these lists, so that they don't
/// know whether the rows are dense or sparse.
class EntryLists {
 public:
  EntryLists() = default;
  /// Dense: `lists` lists of `length` numbers each, one list after the other.
  EntryLists(std::vector<double> values, int64_t lists, int64_t length);
  /// Sparse: list i has the entries offsets[i] to offsets[i + 1]. Positions are below `length`. No
  /// values: all entries are 1, which takes a third of the memory.
  EntryLists(std::vector<double> values, std::vector<int32_t> indices, std::vector<int64_t> offsets,
             int64_t length);

  bool is_sparse() const { return !offsets_.empty(); }
  /// Whether the lists are sparse and have no values.
  bool are_ones() const { return is_sparse() && values_.empty(); }
  int64_t size() const { return lists_; }
  /// The number of positions of a list: that of the columns, if each list is a row.
  int64_t length() const { return length_; }
  Entries at(int64_t list) const;
  /// The same matrix, with a list for each position: columns of rows, or rows of columns.
  EntryLists transposed() const;
  /// Subtracts `offsets`, [length], from each list. The lists must be dense.
  void subtract(const std::vector<double>& offsets);

 private:
  int64_t lists_ = 0;
  int64_t length_ = 0;
  std::vector<double> values_;  // empty, though there are indices: all 1
  std::vector<int32_t> indices_;
  std::vector<int64_t> offsets_;  // empty: dense
};

/// The sum of f(value, position) over the entries, in a fixed order. It is kept in several partial
/// sums, so that the compiler can use vector units.
template <class F>
double sum_over(const Entries& entries, F f) {
  constexpr int64_t kWidth = 8;
  const int64_t whole = entries.count - entries.count % kWidth;
  double sums[kWidth] = {};
  double rest = 0.0;
  if (entries.indices == nullptr) {
    for (int64_t i = 0; i < whole; i += kWidth) {
      for (int64_t j = 0; j < kWidth; ++j) sums[j] += f(entries.values[i + j], i + j);
    }
    for (int64_t i = whole; i < entries.count; ++i) rest += f(entries.values[i], i);
  } else if (entries.values != nullptr) {
    for (int64_t i = 0; i < entries.count; ++i) rest += f(entries.values[i], entries.indices[i]);
  } else {
    for (int64_t i = 0; i < entries.count; ++i) rest += f(1.0, entries.indices[i]);
  }
  for (const double sum : sums) rest += sum;
  return rest;
}

/// Calls f(value, position) for each entry.
template <class F>
void for_each_entry(const Entries& entries, F f) {
  if (entries.indices == nullptr) {
    for (int64_t i = 0; i < entries.count; ++i) f(entries.values[i], i);
  } else if (entries.values != nullptr) {
    for (int64_t i = 0; i < entries.count; ++i) f(entries.values[i], entries.indices[i]);
  } else {
    for (int64_t i = 0; i < entries.count; ++i) f(1.0, entries.indices[i]);
  }
}

}  // namespace levin
