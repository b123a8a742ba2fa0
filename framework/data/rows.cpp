#include <levin/framework/data/rows.h>

#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/index_select.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/InferenceMode.h>
#include <levin/framework/core/error.h>
#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/tensor/buffer.h>
#include <levin/framework/tensor/device_graph.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace levin {
namespace {

/// Whether the values lie one after another in memory of this process, and are plain numbers.
bool is_plain_memory(const torch::Tensor& tensor) {
  return tensor.is_cpu() && tensor.layout() == at::kStrided && tensor.is_contiguous() &&
         !tensor.requires_grad() && !tensor.is_conj() && !tensor.is_neg();
}

bool is_on(const torch::Tensor& tensor, at::Device device) {
  return tensor.device() == device ||
         (!device.has_index() && tensor.device().type() == device.type());
}

bool are_consecutive(std::span<const int64_t> rows) {
  for (size_t i = 1; i < rows.size(); ++i) {
    if (rows[i] != rows[i - 1] + 1) return false;
  }
  return true;
}

// Copies rows of the size of a Word, which needn't be aligned as one.
template <class Word>
void gather_words(const char* from, std::span<const int64_t> rows, char* to) {
  for (const int64_t row : rows) {
    std::memcpy(to, from + static_cast<size_t>(row) * sizeof(Word), sizeof(Word));
    to += sizeof(Word);
  }
}

// Copies short rows whose size is a multiple of 16 bytes. Copying them in chunks of a fixed size is
// faster than one call of memcpy for each row.
void gather_chunks(const char* from, size_t row_bytes, std::span<const int64_t> rows, char* to) {
  constexpr size_t kChunk = 16;
  for (const int64_t row : rows) {
    const char* source = from + static_cast<size_t>(row) * row_bytes;
    for (size_t done = 0; done < row_bytes; done += kChunk) {
      std::memcpy(to + done, source + done, kChunk);
    }
    to += row_bytes;
  }
}

void gather_bytes(const char* from, size_t row_bytes, std::span<const int64_t> rows, char* to) {
  constexpr size_t kAhead = 8;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i + kAhead < rows.size()) {
      __builtin_prefetch(from + static_cast<size_t>(rows[i + kAhead]) * row_bytes);
    }
    std::memcpy(to + i * row_bytes, from + static_cast<size_t>(rows[i]) * row_bytes, row_bytes);
  }
}

// Gathers rows on the calling thread. LibTorch's index_select would start a team of threads in each
// worker of a loader.
void copy_rows(const torch::Tensor& source, std::span<const int64_t> rows, torch::Tensor& target) {
  const auto row_bytes =
      static_cast<size_t>(source.numel() / source.sizes()[0]) * source.itemsize();
  const auto* from = static_cast<const char*>(source.const_data_ptr());
  auto* to = static_cast<char*>(target.mutable_data_ptr());
  if (are_consecutive(rows)) {
    std::memcpy(to, from + static_cast<size_t>(rows[0]) * row_bytes, rows.size() * row_bytes);
  } else if (row_bytes == 8) {
    gather_words<uint64_t>(from, rows, to);
  } else if (row_bytes == 4) {
    gather_words<uint32_t>(from, rows, to);
  } else if (row_bytes == 1) {
    gather_words<uint8_t>(from, rows, to);
  } else if (row_bytes % 16 == 0 && row_bytes <= 128) {
    gather_chunks(from, row_bytes, rows, to);
  } else {
    gather_bytes(from, row_bytes, rows, to);
  }
}

void convert_rows(const torch::Tensor& source, const ByteScale& scale,
                  std::span<const int64_t> rows, torch::Tensor& target) {
  const auto& kernels = kernels::best();
  const int64_t row_size = source.numel() / source.size(0);
  const auto* from = source.const_data_ptr<uint8_t>();
  auto* to = target.mutable_data_ptr<float>();
  for (const int64_t row : rows) {
    kernels.convert_bytes(from + row * row_size, row_size, scale.scale, scale.zero_point, to);
    to += row_size;
  }
}

/// Copies row numbers to the device of `source`, without waiting for it.
torch::Tensor numbers_there(const torch::Tensor& source, std::span<const int64_t> numbers) {
  const auto count = static_cast<int64_t>(numbers.size());
  const auto here =
      at::empty({count}, at::TensorOptions(at::kLong).pinned_memory(source.is_cuda()));
  std::copy(numbers.begin(), numbers.end(), here.mutable_data_ptr<int64_t>());
  return here.to(source.device(), /*non_blocking=*/source.is_cuda());
}

std::vector<int64_t> shape_of(int64_t size, at::IntArrayRef row_shape) {
  std::vector<int64_t> shape{size};
  shape.insert(shape.end(), row_shape.begin(), row_shape.end());
  return shape;
}

std::vector<int64_t> numbers_up_to(int64_t end) {
  std::vector<int64_t> numbers(static_cast<size_t>(end));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

}  // namespace

size_t Rows::nbytes() const {
  if (is_sparse()) return static_cast<size_t>(num_entries() + size()) * 8;
  if (is_dense()) return source_.defined() ? source_.nbytes() : 0;
  const int64_t values = c10::multiply_integers(row_shape()) * size();
  return static_cast<size_t>(values) * c10::elementSize(dtype());
}

torch::Tensor Rows::tensor() const {
  if (is_dense()) return source_;
  // The result must not be an inference tensor, which a later training step couldn't use.
  std::optional<c10::InferenceMode> normal_mode;
  if (c10::InferenceMode::is_enabled()) normal_mode.emplace(false);
  if (is_sparse()) return sparse_tensor();
  if (!source_.is_cpu() || device_numbers_.defined()) {
    return chosen(device_numbers_);
  }
  Rows dense;
  if (is_selection_) {
    dense.copy(*this, numbers_);
  } else {
    dense.copy(*this, numbers_up_to(size()));
  }
  return dense.source_;
}

std::optional<kernels::RowView> Rows::view() const {
  if (!source_.defined() || is_sparse() || device_numbers_.defined() || !is_plain())
    return std::nullopt;
  auto view = described();
  if (view && is_selection_) {
    view->numbers = numbers_.data();
    view->next_count = static_cast<int64_t>(next_numbers_.size());
    if (view->next_count > 0) view->next_numbers = next_numbers_.data();
  }
  return view;
}

std::optional<kernels::RowView> Rows::device_view() const {
  if (!source_.defined() || !source_.is_cuda() || is_sparse() || source_.layout() != at::kStrided ||
      !source_.is_contiguous() || source_.requires_grad()) {
    return std::nullopt;
  }
  auto view = described();
  if (view && is_selection_) view->numbers = device_numbers_.const_data_ptr<int64_t>();
  return view;
}

// The view without the numbers of a selection.
std::optional<kernels::RowView> Rows::described() const {
  if (source_.scalar_type() != (scale_ ? at::kByte : at::kFloat) || source_.dim() == 0 ||
      source_.sizes()[0] == 0) {
    return std::nullopt;
  }
  kernels::RowView view;
  view.data = source_.const_data_ptr();
  view.row_size = source_.numel() / source_.sizes()[0];
  view.count = size();
  if (scale_) {
    view.type = kernels::RowView::Type::scaled_bytes;
    view.scale = scale_->scale;
    view.zero_point = scale_->zero_point;
  }
  return view;
}

void Rows::gather(std::span<const int64_t> numbers, Rows& out) const {
  if (!is_selection_) {
    out.copy(*this, numbers);
    return;
  }
  if (device_numbers_.defined()) {
    out = Rows(tensor().index_select(0, numbers_there(source_, numbers)));
    return;
  }
  Rows chosen;
  select(numbers, chosen);
  out.copy(*this, chosen.numbers_);
}

void Rows::begin_selection(const Rows& of) {
  source_ = of.source_;
  indices_ = of.indices_;
  values_ = of.values_;
  columns_ = of.columns_;
  scale_ = of.scale_;
  is_selection_ = true;
  is_sealed_plain_ = of.is_sealed_plain_;
}

void Rows::select(std::span<const int64_t> numbers, Rows& out) const {
  if (is_sparse()) require_on_host();
  out.begin_selection(*this);
  out.numbers_.assign(numbers.begin(), numbers.end());
  out.device_numbers_.reset();
  if (is_selection_) {
    for (auto& number : out.numbers_) number = numbers_[static_cast<size_t>(number)];
  }
  out.next_numbers_.clear();
  if (!source_.is_cpu()) out.device_numbers_ = numbers_there(source_, out.numbers_);
}

void Rows::select(torch::Tensor numbers, Rows& out) const {
  if (is_sparse()) {
    throw DataError(
        "sparse rows were to be selected by row numbers in a tensor; pass the numbers as a span, "
        "for rows on the CPU");
  }
  out.begin_selection(*this);
  out.numbers_.clear();
  out.device_numbers_ = std::move(numbers);
}

// The rows of `source_` with these numbers, on its device; all of them if `numbers` is undefined.
torch::Tensor Rows::chosen(const torch::Tensor& numbers) const {
  Rows rows;
  rows.source_ = source_;
  rows.scale_ = scale_;
  rows.device_numbers_ = numbers;
  rows.is_selection_ = numbers.defined();
  if (kernels::cuda::are_built() && rows.device_view()) {
    auto dense = at::empty(shape_of(rows.size(), row_shape()), source_.options().dtype(dtype()));
    rows.copy_to(dense);
    return dense;
  }
  const auto selected = numbers.defined() ? source_.index_select(0, numbers) : source_;
  return scale_ ? selected.to(at::kFloat).sub_(scale_->zero_point).mul_(scale_->scale) : selected;
}

// A copy of `count` rows of `source_` from row `first` on. It needs no row numbers on the device.
torch::Tensor Rows::copied_slice(int64_t first, int64_t count) const {
  Rows slice(source_.narrow(0, first, count));
  slice.scale_ = scale_;
  auto dense = at::empty(shape_of(count, row_shape()), source_.options().dtype(dtype()));
  slice.copy_to(dense);
  return dense;
}

void Rows::copy_to(const torch::Tensor& to) const {
  if (is_sparse()) {
    to.copy_(tensor().to_dense(), /*non_blocking=*/true);
    return;
  }
  const auto view = device_view();
  if (view && kernels::cuda::are_built()) {
    const c10::DeviceGuard on_device(to.device());
    kernels::cuda::gather_rows(*view, to.mutable_data_ptr<float>(), current_stream(to.device()));
    return;
  }
  const bool is_whole = !is_selection_;
  auto numbers = device_numbers_;
  if (!is_whole && !numbers.defined()) numbers = numbers_there(source_, numbers_);
  if (!scale_ && !is_whole) {
    auto out = to;
    at::index_select_out(out, source_, 0, numbers);
    return;
  }
  to.copy_(is_whole ? source_ : source_.index_select(0, numbers), /*non_blocking=*/true);
  if (scale_) to.sub_(scale_->zero_point).mul_(scale_->scale);
}

bool Rows::is_plain() const { return is_sealed_plain_ || is_plain_memory(source_); }

void Rows::copy(const Rows& from, std::span<const int64_t> numbers) {
  if (from.is_sparse()) return copy_sparse(from, numbers);
  const torch::Tensor& source = from.source_;
  if (!from.is_plain()) {
    const bool is_slice = !numbers.empty() && are_consecutive(numbers) &&
                          source.layout() == at::kStrided && !source.requires_grad();
    *this = Rows(is_slice ? from.copied_slice(numbers.front(), static_cast<int64_t>(numbers.size()))
                          : from.chosen(numbers_there(source, numbers)));
    return;
  }
  allocate(static_cast<int64_t>(numbers.size()), from.row_shape(), from.dtype());
  if (numbers.empty() || source.numel() == 0) return;
  if (from.scale_) {
    convert_rows(source, *from.scale_, numbers, source_);
  } else {
    copy_rows(source, numbers, source_);
  }
}

Rows Rows::narrow(int64_t first, int64_t count) const {
  if (!is_selection_) {
    if (is_sparse()) return narrow_sparse(first, count);
    Rows part = *this;
    part.source_ = source_.narrow(0, first, count);
    return part;
  }
  Rows part;  // not a copy of these rows, whose numbers may be many more than `count`
  part.begin_selection(*this);
  if (!numbers_.empty()) {
    part.numbers_.assign(numbers_.begin() + first, numbers_.begin() + first + count);
  }
  if (device_numbers_.defined()) part.device_numbers_ = device_numbers_.narrow(0, first, count);
  return part;
}

Rows Rows::to(at::Device device, bool non_blocking) const {
  if (!source_.defined() || is_on(source_, device)) return *this;
  // A copy to the CPU is never asynchronous: whoever reads the rows next wouldn't wait for it.
  const bool without_waiting = non_blocking && !device.is_cpu();
  Rows moved = together(/*pinned=*/false);
  for (auto* part : {&moved.source_, &moved.indices_, &moved.values_}) {
    if (part->defined()) *part = part->to(device, part->scalar_type(), without_waiting);
  }
  moved.is_sealed_plain_ = false;
  return moved;
}

Rows Rows::together(bool pinned) const {
  if (!source_.defined()) return *this;
  if (is_sparse()) return sparse_together(pinned);
  Rows result = *this;
  if (!is_whole()) {
    if (!is_plain() || device_numbers_.defined()) return Rows(tensor()).together(pinned);
    const auto count = static_cast<int64_t>(numbers_.size());
    auto copy = at::empty(shape_of(count, row_shape()), source_.options().pinned_memory(pinned));
    if (copy.numel() > 0) copy_rows(source_, numbers_, copy);
    return scale_ ? Rows(std::move(copy), *scale_) : Rows(std::move(copy));
  }
  if (pinned && source_.is_cpu() && !source_.is_pinned()) result.source_ = source_.pin_memory();
  return result;
}

Rows Rows::like() const {
  if (is_sparse()) {
    const Rows own = together(/*pinned=*/false);
    const auto values = own.values_.defined() ? at::empty_like(own.values_) : torch::Tensor();
    return sparse(own.source_.clone(), own.indices_.clone(), values, columns_);
  }
  auto empty = at::empty(shape_of(size(), row_shape()), source_.options().requires_grad(false));
  return scale_ ? Rows(std::move(empty), *scale_) : Rows(std::move(empty));
}

Rows Rows::pin_memory() const {
  return at::hasCUDA() && source_.defined() && source_.is_cpu() ? together(/*pinned=*/true) : *this;
}

const torch::Tensor& Rows::allocate(int64_t size, at::IntArrayRef row_shape, at::ScalarType dtype) {
  if (!is_dense()) *this = Rows();
  is_sealed_plain_ = false;
  source_ = reuse_or_allocate(std::move(source_), size, row_shape, dtype);
  return source_;
}

void Rows::drop_shared() {
  if (is_dense() && is_unshared(source_)) return;
  if (is_sparse() && is_whole() && is_unshared(source_) && is_unshared(indices_) &&
      (!values_.defined() || is_unshared(values_))) {
    return;
  }
  source_.reset();
  indices_.reset();
  values_.reset();
  scale_.reset();
  is_selection_ = false;
  is_sealed_plain_ = false;
  numbers_.clear();
  device_numbers_.reset();
}

void Rows::seal() { is_sealed_plain_ = source_.defined() && is_plain_memory(source_); }

}  // namespace levin
