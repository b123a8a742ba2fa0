#include <levin/datamodules/readers/sparse_rows.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

/// Appends `more` to a list that may leave out numbers of which all are 1. `before` and `after` are
/// the lengths that the two lists have, or would have.
void append_or_ones(NumberList<float>& list, size_t before, const NumberList<float>& more,
                    size_t after) {
  if (list.empty() && more.empty()) return;
  if (list.empty()) list.append_copies(before, 1.0F);
  if (more.empty()) {
    list.append_copies(after, 1.0F);
  } else {
    list.append(more.span());
  }
}

template <class T>
void append_part(NumberList<T>& list, const NumberList<T>& from, int64_t first, int64_t count) {
  if (!from.empty()) list.append(from.data() + first, static_cast<size_t>(count));
}

/// The number of the first that isn't finite; -1 if there is none.
int64_t first_infinite(const NumberList<float>& list) {
  const auto numbers = list.span();
  const auto found =
      std::find_if(numbers.begin(), numbers.end(), [](float x) { return !std::isfinite(x); });
  return found == numbers.end() ? -1 : found - numbers.begin();
}

/// The number of the first row whose offsets don't rise from 0 to the number of entries, or whose
/// columns don't rise strictly within [0, columns); -1 if all do. Of a row, one after the other are
/// checked, so that no entry is touched that doesn't exist.
int64_t first_bad_row(const SparseRows& rows) {
  const int64_t entries = rows.entries();
  for (int64_t row = 0; row < rows.rows(); ++row) {
    const auto r = static_cast<size_t>(row);
    const int64_t begin = rows.offsets[r];
    const int64_t end = rows.offsets[r + 1];
    if (begin < 0 || end < begin || end > entries) return row;
    int64_t before = -1;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t column = rows.indices[static_cast<size_t>(i)];
      if (column <= before || column >= rows.columns) return row;
      before = column;
    }
  }
  return -1;
}

/// The most columns that `sort_columns` sorts.
constexpr size_t kMostSorted = 64;

/// Sorts columns, and their values unless these are null, by counting for each of them how many are
/// lower, which takes no jumps that a processor can't foresee. Returns false, and leaves all as it
/// is, if two are the same.
bool sort_columns(std::span<int32_t> columns, float* values) {
  typedef int32_t Four __attribute__((vector_size(16)));
  Four all[kMostSorted];  // each column four times
  int32_t given[kMostSorted] = {}, ranks[kMostSorted], sorted[kMostSorted];
  const size_t count = columns.size();
  for (size_t i = 0; i < count; ++i) {
    const int32_t column = columns[i];
    all[i] = Four{column, column, column, column};
    given[i] = column;
    sorted[i] = -1;
  }
  for (size_t i = 0; i < count; i += 4) {
    Four four, lower = {};
    std::memcpy(&four, given + i, sizeof(four));
    for (size_t k = 0; k < count; ++k) lower -= all[k] < four;
    std::memcpy(ranks + i, &lower, sizeof(lower));
  }
  for (size_t i = 0; i < count; ++i) sorted[ranks[i]] = given[i];
  // Of two that are the same, one has taken the place of the other, and the next place is empty.
  for (size_t i = 0; i < count; ++i) {
    if (sorted[i] < 0) return false;
  }
  std::copy_n(sorted, count, columns.begin());
  if (values == nullptr) return true;
  float moved[kMostSorted];
  for (size_t i = 0; i < count; ++i) moved[ranks[i]] = values[i];
  std::copy_n(moved, count, values);
  return true;
}

}  // namespace

uint64_t SparseRows::bytes() const {
  return offsets.size() * sizeof(int64_t) + indices.size() * sizeof(int32_t) +
         (values.size() + targets.size() + weights.size()) * sizeof(float) +
         qids.size() * sizeof(int64_t);
}

bool SparseRows::sort_from(size_t first) {
  const size_t count = indices.size() - first;
  if (count <= kMostSorted && sort_columns(indices.span().subspan(first),
                                           values.empty() ? nullptr : values.data() + first)) {
    return true;
  }
  thread_local std::vector<std::pair<int32_t, float>> entries;
  entries.resize(count);
  for (size_t i = 0; i < count; ++i) {
    entries[i] = {indices[first + i], values.empty() ? 1.0F : values[first + i]};
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  indices.cut(first);
  if (!values.empty()) values.cut(first);
  bool finite = true;
  for (size_t i = 0; i < count;) {
    const int32_t column = entries[i].first;
    float sum = entries[i].second;
    for (++i; i < count && entries[i].first == column; ++i) sum += entries[i].second;
    finite = finite && std::isfinite(sum);
    add(column, sum);
  }
  return finite;
}

void SparseRows::append(const SparseRows& other) {
  const int64_t before = entries();
  append_or_ones(values, indices.size(), other.values, other.indices.size());
  append_or_ones(weights, static_cast<size_t>(rows()), other.weights,
                 static_cast<size_t>(other.rows()));
  indices.append(other.indices.span());
  targets.append(other.targets.span());
  qids.append(other.qids.span());
  const auto more = static_cast<size_t>(other.rows());
  int64_t* const to = offsets.grow_by(more);
  for (size_t i = 0; i < more; ++i) to[i] = before + other.offsets[i + 1];
}

void SparseRows::clear() {
  offsets.cut(1);
  indices.clear();
  values.clear();
  targets.clear();
  weights.clear();
  qids.clear();
}

void SparseRows::shrink() {
  offsets.shrink();
  indices.shrink();
  values.shrink();
  targets.shrink();
  weights.shrink();
  qids.shrink();
}

SparseRows SparseRows::slice(int64_t first, int64_t count) const {
  SparseRows part;
  part.columns = columns;
  const int64_t begin = offsets[static_cast<size_t>(first)];
  const int64_t size = offsets[static_cast<size_t>(first + count)] - begin;
  append_part(part.indices, indices, begin, size);
  append_part(part.values, values, begin, size);
  append_part(part.targets, targets, first, count);
  append_part(part.weights, weights, first, count);
  append_part(part.qids, qids, first, count);
  int64_t* const to = part.offsets.grow_by(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    to[i] = offsets[static_cast<size_t>(first + i + 1)] - begin;
  }
  return part;
}

void SparseRows::check(std::string_view name, std::string_view hint) const {
  const auto fail = [&](const std::string& reason) {
    throw DataError::corrupt(name, reason + "; " + std::string(hint));
  };
  if (columns < 0 || columns > kMostColumns) {
    fail("it says that rows have " + std::to_string(columns) +
         " columns, but there may be at most " + std::to_string(kMostColumns));
  }
  if (const int64_t row = first_bad_row(*this); row >= 0) {
    fail("the columns of row " + std::to_string(row) + " don't rise strictly from 0 to " +
         std::to_string(columns - 1) + ", or its entries lie outside the file");
  }
  if (offsets[0] != 0 || offsets.back() != entries()) {
    fail("its rows have the entries " + std::to_string(offsets[0]) + " to " +
         std::to_string(offsets.back()) + " instead of all from 0 to " + std::to_string(entries()));
  }
  const std::pair<const char*, const NumberList<float>*> lists[] = {
      {"value", &values}, {"target", &targets}, {"weight", &weights}};
  for (const auto& [what, list] : lists) {
    const int64_t at = first_infinite(*list);
    if (at < 0) continue;
    fail(std::string(what) + " " + std::to_string(at) + " is NaN or infinite");
  }
}

}  // namespace levin::readers
