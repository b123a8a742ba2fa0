#include <ATen/ops/_sparse_csr_tensor_unsafe.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/rows.h>
#include <levin/framework/tensor/buffer.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

// What Rows does with sparse rows.

namespace levin {
namespace {

constexpr int64_t kMostInt32 = std::numeric_limits<int32_t>::max();

/// LibTorch warns once that sparse CSR tensors are in beta state, which a user of Levin can't do
/// anything about.
class IgnoredWarnings : public c10::WarningHandler {
  void process(const c10::Warning& /*warning*/) override {}
};

torch::Tensor csr_tensor(const torch::Tensor& offsets, const torch::Tensor& indices,
                         const torch::Tensor& values, int64_t columns) {
  IgnoredWarnings ignored;
  const c10::WarningUtils::WarningHandlerGuard guard(&ignored);
  return at::_sparse_csr_tensor_unsafe(offsets, indices, values, {offsets.size(0) - 1, columns},
                                       values.options().layout(at::kSparseCsr));
}

void require_part(const char* what, const torch::Tensor& tensor, at::ScalarType type, int64_t size,
                  at::Device device) {
  const auto fail = [what](const std::string& found, const std::string& expected) {
    throw DataError(
        fmt::format("the {} of sparse rows are {}, but must be {}", what, found, expected));
  };
  if (!tensor.defined()) fail("missing", fmt::format("of the type {}", c10::toString(type)));
  if (tensor.scalar_type() != type) {
    fail(c10::toString(tensor.scalar_type()), c10::toString(type));
  }
  const bool is_plain = tensor.layout() == at::kStrided && tensor.dim() == 1 &&
                        tensor.is_contiguous() && !tensor.requires_grad();
  if (!is_plain || (size >= 0 && tensor.size(0) != size)) {
    fail(fmt::format("a tensor of {} dimensions and {} numbers", tensor.dim(), tensor.numel()),
         fmt::format("contiguous, of one dimension, {}and without a gradient",
                     size >= 0 ? fmt::format("{} numbers long ", size) : ""));
  }
  if (tensor.device() != device) {
    fail("on " + tensor.device().str(), "on " + device.str() + " like the offsets");
  }
}

/// Returns column numbers as int32. Those of a CSR tensor may be anything, because LibTorch checks
/// them only if it is told to.
torch::Tensor narrow_indices(const torch::Tensor& indices, int64_t columns) {
  if (indices.scalar_type() == at::kInt || indices.numel() == 0) return indices.to(at::kInt);
  const auto is_bad = indices.lt(0).logical_or_(indices.ge(columns));
  if (is_bad.any().item<bool>()) {
    const auto entry = is_bad.to(at::kByte).argmax().item<int64_t>();
    throw DataError::bad_value("the column", std::to_string(indices[entry].item<int64_t>()),
                               fmt::format("a sparse CSR tensor, entry {}", entry),
                               fmt::format("it must be from 0 to {}", columns - 1));
  }
  return indices.to(at::kInt);
}

/// Copies the entries of chosen rows one behind another.
template <class T>
void copy_entries(const torch::Tensor& from, const int64_t* offsets,
                  std::span<const int64_t> numbers, const torch::Tensor& to) {
  constexpr size_t kAhead = 8;
  const T* const source = from.const_data_ptr<T>();
  T* target = to.mutable_data_ptr<T>();
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (i + kAhead < numbers.size()) __builtin_prefetch(source + offsets[numbers[i + kAhead]]);
    const int64_t begin = offsets[numbers[i]];
    const int64_t count = offsets[numbers[i] + 1] - begin;
    target = std::copy_n(source + begin, count, target);  // rows may be empty, without memory
  }
}

}  // namespace

Rows Rows::sparse(torch::Tensor offsets, torch::Tensor indices, torch::Tensor values,
                  int64_t columns) {
  const auto device = offsets.defined() ? offsets.device() : at::Device(at::kCPU);
  require_part("offsets", offsets, at::kLong, -1, device);
  require_part("indices", indices, at::kInt, -1, device);
  if (values.defined()) require_part("values", values, at::kFloat, indices.size(0), device);
  if (offsets.size(0) == 0) {
    throw DataError("sparse rows have no offsets; there must be one more than rows, the first 0");
  }
  if (columns < 1 || columns > kMostInt32) {
    throw DataError::bad_value("the number of columns", std::to_string(columns), "sparse rows",
                               fmt::format("it must be from 1 to {}", kMostInt32));
  }
  Rows rows;
  rows.source_ = std::move(offsets);
  rows.indices_ = std::move(indices);
  rows.values_ = std::move(values);
  rows.columns_ = columns;
  return rows;
}

// Becomes sparse rows if `source_`, a sparse CSR tensor, is one of those that can.
void Rows::take_apart() {
  const torch::Tensor csr = source_;
  if (csr.dim() != 2 || csr.scalar_type() != at::kFloat || csr.requires_grad()) return;
  const auto values = csr.values();
  if (values.dim() != 1 || csr.size(1) < 1 || csr.size(1) > kMostInt32) return;
  *this = sparse(csr.crow_indices().to(at::kLong).contiguous(),
                 narrow_indices(csr.col_indices(), csr.size(1)).contiguous(), values.contiguous(),
                 csr.size(1));
}

std::vector<torch::Tensor> Rows::memory() const {
  std::vector<torch::Tensor> memory;
  for (const auto* part : {&source_, &indices_, &values_}) {
    if (part->defined()) memory.push_back(*part);
  }
  return memory;
}

int64_t Rows::num_entries() const {
  if (!is_sparse()) return 0;
  return is_selection_ ? count_entries(numbers_) : indices_.size(0);
}

std::optional<kernels::SparseView> Rows::sparse_view() const {
  if (!is_sparse() || !source_.is_cpu()) return std::nullopt;
  kernels::SparseView view;
  view.offsets = source_.const_data_ptr<int64_t>();
  view.indices = indices_.const_data_ptr<int32_t>();
  if (values_.defined()) view.values = values_.const_data_ptr<float>();
  if (is_selection_) view.numbers = numbers_.data();
  view.count = size();
  view.row_size = columns_;
  return view;
}

void Rows::require_on_host() const {
  if (source_.is_cpu()) return;
  throw DataError(fmt::format(
      "rows were to be chosen from sparse rows on {}, but that is done on the CPU alone; choose "
      "them there, and move the batch",
      source_.device().str()));
}

torch::Tensor Rows::sparse_tensor() const {
  if (is_selection_) return together(/*pinned=*/false).sparse_tensor();
  const int64_t entries = indices_.size(0);
  const auto values =
      values_.defined() ? values_ : at::ones({entries}, indices_.options().dtype(at::kFloat));
  // LibTorch wants one type for both. There are fewer offsets to convert.
  if (entries <= kMostInt32) return csr_tensor(source_.to(at::kInt), indices_, values, columns_);
  return csr_tensor(source_, indices_.to(at::kLong), values, columns_);
}

int64_t Rows::count_entries(std::span<const int64_t> numbers) const {
  const auto* offsets = source_.const_data_ptr<int64_t>();
  int64_t entries = 0;
  for (const int64_t row : numbers) entries += offsets[row + 1] - offsets[row];
  return entries;
}

void Rows::copy_sparse(const Rows& from, std::span<const int64_t> numbers) {
  from.require_on_host();
  if (!is_sparse() || !is_whole()) *this = Rows();
  const int64_t entries = from.count_entries(numbers);
  source_ =
      reuse_with_room(std::move(source_), static_cast<int64_t>(numbers.size()) + 1, at::kLong);
  indices_ = reuse_with_room(std::move(indices_), entries, at::kInt);
  if (from.values_.defined()) {
    values_ = reuse_with_room(std::move(values_), entries, at::kFloat);
  } else {
    values_.reset();
  }
  is_sealed_plain_ = false;
  write_sparse(from, numbers);
}

void Rows::write_sparse(const Rows& from, std::span<const int64_t> numbers) {
  columns_ = from.columns_;
  const auto* offsets = from.source_.const_data_ptr<int64_t>();
  auto* own = source_.mutable_data_ptr<int64_t>();
  *own = 0;
  for (const int64_t row : numbers) {
    own[1] = own[0] + offsets[row + 1] - offsets[row];
    ++own;
  }
  copy_entries<int32_t>(from.indices_, offsets, numbers, indices_);
  if (values_.defined()) copy_entries<float>(from.values_, offsets, numbers, values_);
}

Rows Rows::narrow_sparse(int64_t first, int64_t count) const {
  const auto offsets = source_.narrow(0, first, count + 1);
  const auto begin = offsets[0].item<int64_t>();
  const auto entries = offsets[count].item<int64_t>() - begin;
  Rows part = *this;
  part.source_ = begin == 0 ? offsets : offsets - begin;
  part.indices_ = indices_.narrow(0, begin, entries);
  if (values_.defined()) part.values_ = values_.narrow(0, begin, entries);
  return part;
}

Rows Rows::sparse_together(bool pinned) const {
  Rows result;
  if (is_whole()) {
    result = *this;
    for (auto* part : {&result.source_, &result.indices_, &result.values_}) {
      const bool is_moved = pinned && part->defined() && part->is_cpu() && !part->is_pinned();
      if (is_moved) *part = part->pin_memory();
    }
    return result;
  }
  const auto empty = [pinned](int64_t size, at::ScalarType type) {
    return at::empty({size}, at::TensorOptions(type).pinned_memory(pinned));
  };
  const int64_t entries = num_entries();
  result.source_ = empty(size() + 1, at::kLong);
  result.indices_ = empty(entries, at::kInt);
  if (values_.defined()) result.values_ = empty(entries, at::kFloat);
  result.write_sparse(*this, numbers_);
  return result;
}

}  // namespace levin
