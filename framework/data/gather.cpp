#include <levin/framework/data/gather.h>

#include <ATen/ops/empty.h>
#include <levin/framework/kernels/cpu/kernels.h>

#include <cstring>
#include <utility>

namespace levin {
namespace {

bool is_plain_cpu(const torch::Tensor& tensor) {
  return tensor.is_cpu() && tensor.layout() == at::kStrided;
}

bool are_consecutive(std::span<const int64_t> rows) {
  for (size_t i = 1; i < rows.size(); ++i) {
    if (rows[i] != rows[i - 1] + 1) return false;
  }
  return true;
}

template <class Word>
void gather_words(const void* from, std::span<const int64_t> rows, void* to) {
  const auto* source = static_cast<const Word*>(from);
  auto* target = static_cast<Word*>(to);
  for (const int64_t row : rows) *target++ = source[row];
}

// Rows of a few values, in multiples of 16 bytes: cheaper than a call of memcpy each.
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

// LibTorch's index_select would start a team of threads under each loader's worker.
void copy_rows(const torch::Tensor& source, std::span<const int64_t> rows, torch::Tensor& target) {
  const auto row_bytes = source.nbytes() / static_cast<size_t>(source.size(0));
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

}  // namespace

torch::Tensor gather(const RowSource& source, std::span<const int64_t> rows, torch::Tensor target) {
  target = reuse_or_allocate(std::move(target), static_cast<int64_t>(rows.size()),
                             source.tensor.sizes().slice(1),
                             source.scale ? at::kFloat : source.tensor.scalar_type());
  if (rows.empty() || source.tensor.numel() == 0) return target;
  if (source.scale) {
    convert_rows(source.tensor, *source.scale, rows, target);
  } else {
    copy_rows(source.tensor, rows, target);
  }
  return target;
}

bool is_unshared(const torch::Tensor& tensor) {
  // Memory that LibTorch didn't allocate may belong to anybody: it isn't resizable.
  return tensor.defined() && tensor.use_count() == 1 && tensor.has_storage() &&
         tensor.storage().use_count() == 1 && tensor.storage().resizable() &&
         !tensor.requires_grad();
}

torch::Tensor reuse_or_allocate(torch::Tensor tensor, int64_t rows, at::IntArrayRef row_shape,
                                at::ScalarType dtype) {
  if (is_unshared(tensor) && is_plain_cpu(tensor) && tensor.scalar_type() == dtype &&
      tensor.dim() == static_cast<int64_t>(row_shape.size()) + 1 &&
      tensor.sizes().slice(1) == row_shape && tensor.is_contiguous() &&
      tensor.storage_offset() == 0 && !tensor.is_inference()) {
    if (tensor.size(0) == rows) return tensor;
    const auto values = static_cast<size_t>(c10::multiply_integers(row_shape) * rows);
    if (values * tensor.dtype().itemsize() <= tensor.storage().nbytes()) {
      at::DimVector shape(tensor.sizes());
      shape[0] = rows;
      tensor.unsafeGetTensorImpl()->set_sizes_contiguous(shape);  // resize_ allocates
      return tensor;
    }
  }
  at::DimVector shape{rows};
  shape.append(row_shape.begin(), row_shape.end());
  return at::empty(shape, at::TensorOptions(dtype));
}

}  // namespace levin
