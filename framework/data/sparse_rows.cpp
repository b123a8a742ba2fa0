#include <levin/framework/data/sparse_rows.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <levin/framework/core/error.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

namespace levin {
namespace {

/// What is wrong with an entry or an offset; thrown once it is known that something is.
class EntryCheck {
 public:
  EntryCheck(const kernels::SparseView& view, int64_t entries, std::string_view name)
      : view_(view), entries_(entries), name_(name) {}

  void require_offsets() const {
    const int64_t* offsets = view_.offsets;
    bool fine = offsets[0] == 0 && offsets[view_.count] == entries_;
    for (int64_t row = 0; row < view_.count; ++row) fine &= offsets[row] <= offsets[row + 1];
    if (!fine) throw_bad_offset();
  }
  void require_columns() const {
    bool fine = true;
    for (int64_t row = 0; row < view_.count; ++row) {
      int64_t previous = -1;
      for (int64_t i = view_.offsets[row]; i < view_.offsets[row + 1]; ++i) {
        fine &= view_.indices[i] > previous;
        previous = view_.indices[i];
      }
      fine &= previous < view_.row_size;
    }
    if (!fine) throw_bad_column();
  }
  void require_finite() const {
    if (view_.values == nullptr) return;
    constexpr uint32_t kExponent = 0x7f800000;
    bool fine = true;
    for (int64_t i = 0; i < entries_; ++i) {
      fine &= (std::bit_cast<uint32_t>(view_.values[i]) & kExponent) != kExponent;
    }
    if (!fine) throw_bad_number();
  }

 private:
  [[noreturn]] void throw_bad_offset() const {
    int64_t row = 0;
    const int64_t* offsets = view_.offsets;
    while (offsets[0] == 0 && row < view_.count && offsets[row] <= offsets[row + 1]) ++row;
    const bool is_first = offsets[0] != 0;
    const bool is_last = row == view_.count;
    const int64_t place = is_first || is_last ? row : row + 1;
    throw DataError::bad_value(
        fmt::format("offset {}", place), std::to_string(offsets[place]), std::string(name_),
        is_first  ? "the first must be 0"
        : is_last ? fmt::format("the last must be {}, the number of entries", entries_)
                  : fmt::format("it must be at least {}, the one before it", offsets[row]));
  }
  std::string place(int64_t row, int64_t entry) const {
    return fmt::format("{}, row {}, entry {} of the row", name_, row, entry - view_.offsets[row]);
  }
  [[noreturn]] void throw_bad_column() const {
    for (int64_t row = 0; row < view_.count; ++row) {
      for (int64_t i = view_.offsets[row]; i < view_.offsets[row + 1]; ++i) {
        const int64_t column = view_.indices[i];
        if (column < 0 || column >= view_.row_size) {
          throw DataError::bad_value(
              "the column", std::to_string(column), place(row, i),
              fmt::format("there are {} columns, so it must be from 0 to {}. If columns are "
                          "counted from 1, subtract 1; else give the rows more columns",
                          view_.row_size, view_.row_size - 1));
        }
        if (i > view_.offsets[row] && column <= view_.indices[i - 1]) {
          throw DataError::bad_value(
              "the column", std::to_string(column), place(row, i),
              fmt::format("the entry before it has the column {}, but columns must ascend within "
                          "a row, each at most once. levin::sorted_entries sorts the entries of "
                          "sparse rows and adds up those of the same column",
                          view_.indices[i - 1]));
        }
      }
    }
    throw DataError(fmt::format("{}: the columns changed while they were checked", name_));
  }
  [[noreturn]] void throw_bad_number() const {
    int64_t entry = 0;
    while (std::isfinite(view_.values[entry])) ++entry;
    const auto* offsets = view_.offsets;
    const auto* next = std::upper_bound(offsets, offsets + view_.count + 1, entry);
    throw DataError::bad_value("the value", fmt::format("{}", view_.values[entry]),
                               place(next - offsets - 1, entry),
                               "every value must be finite. Replace it, or leave out the entry");
  }

  const kernels::SparseView& view_;
  int64_t entries_;
  std::string_view name_;
};

bool are_sorted(const kernels::SparseView& view) {
  bool fine = true;
  for (int64_t row = 0; row < view.count; ++row) {
    for (int64_t i = view.offsets[row] + 1; i < view.offsets[row + 1]; ++i) {
      fine &= view.indices[i - 1] < view.indices[i];
    }
  }
  return fine;
}

kernels::SparseView host_view(const Rows& rows, std::string_view name) {
  const auto view = rows.sparse_view();
  if (!view) {
    throw DataError(fmt::format(
        "{} must be sparse rows on the CPU; make them by Rows::sparse, and move batches of them to "
        "a device instead of the whole",
        name));
  }
  return *view;
}

}  // namespace

void require_valid_entries(const Rows& rows, std::string_view name) {
  const auto view = host_view(rows, name);
  const EntryCheck check(view, rows.indices().size(0), name);
  check.require_offsets();
  check.require_columns();
  check.require_finite();
}

torch::Tensor to_dense(const Rows& rows) {
  const auto view = rows.sparse_view();
  if (!view) return rows.is_sparse() ? rows.tensor().to_dense() : rows.tensor();
  auto dense = at::zeros({view->count, view->row_size});
  auto* out = dense.mutable_data_ptr<float>();
  for (int64_t i = 0; i < view->count; ++i) {
    const int64_t row = view->numbers != nullptr ? view->numbers[i] : i;
    for (int64_t j = view->offsets[row]; j < view->offsets[row + 1]; ++j) {
      out[view->indices[j]] = view->values != nullptr ? view->values[j] : 1.0F;
    }
    out += view->row_size;
  }
  return dense;
}

Rows sorted_entries(const Rows& given) {
  const Rows rows = given.together(/*pinned=*/false);
  const auto view = host_view(rows, "rows whose entries are sorted");
  if (are_sorted(view)) return given;
  const int64_t most = rows.indices().size(0);
  auto offsets = at::empty_like(rows.source());
  auto indices = at::empty({most}, at::kInt);
  auto values = at::empty({most}, at::kFloat);
  auto* own_offsets = offsets.mutable_data_ptr<int64_t>();
  auto* columns = indices.mutable_data_ptr<int32_t>();
  auto* numbers = values.mutable_data_ptr<float>();
  std::vector<int64_t> order;
  int64_t end = 0;
  for (int64_t row = 0; row < view.count; ++row) {
    own_offsets[row] = end;
    order.resize(static_cast<size_t>(view.offsets[row + 1] - view.offsets[row]));
    std::iota(order.begin(), order.end(), view.offsets[row]);
    std::stable_sort(order.begin(), order.end(),
                     [&view](int64_t a, int64_t b) { return view.indices[a] < view.indices[b]; });
    for (const int64_t entry : order) {
      const float value = view.values != nullptr ? view.values[entry] : 1.0F;
      if (end > own_offsets[row] && columns[end - 1] == view.indices[entry]) {
        numbers[end - 1] += value;
      } else {
        columns[end] = view.indices[entry];
        numbers[end++] = value;
      }
    }
  }
  own_offsets[view.count] = end;
  const bool are_ones = view.values == nullptr && end == most;
  return Rows::sparse(offsets, indices.narrow(0, 0, end),
                      are_ones ? torch::Tensor() : values.narrow(0, 0, end), view.row_size);
}

}  // namespace levin
