#include <levin/framework/tensor/buffer.h>

#include <sys/mman.h>

#include <cstdint>
#include <utility>

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/core/ScalarType.h>

namespace levin {
namespace {

constexpr uintptr_t kHugePage = uintptr_t{2} << 20;
// A smaller block may lie in memory that malloc has used before. This is the largest size from
// which on glibc's takes a block from the system (the upper limit of its mmap threshold).
constexpr size_t kLarge = size_t{32} << 20;

}  // namespace

bool is_unshared(const torch::Tensor& tensor) {
  // Memory that LibTorch didn't allocate may belong to somebody else. Its storage isn't resizable.
  return tensor.defined() && tensor.use_count() == 1 && tensor.has_storage() &&
         tensor.storage().use_count() == 1 && tensor.storage().resizable() &&
         !tensor.requires_grad();
}

torch::Tensor reuse_or_allocate(torch::Tensor tensor, int64_t rows, at::IntArrayRef row_shape,
                                at::ScalarType dtype) {
  if (is_unshared(tensor) && tensor.is_cpu() && tensor.layout() == at::kStrided &&
      tensor.scalar_type() == dtype && tensor.dim() == static_cast<int64_t>(row_shape.size()) + 1 &&
      tensor.sizes().slice(1) == row_shape && tensor.is_contiguous() &&
      tensor.storage_offset() == 0 && !tensor.is_inference()) {
    if (tensor.size(0) == rows) return tensor;
    const auto values = static_cast<size_t>(c10::multiply_integers(row_shape) * rows);
    if (values * tensor.dtype().itemsize() <= tensor.storage().nbytes()) {
      at::DimVector shape(tensor.sizes());
      shape[0] = rows;
      tensor.unsafeGetTensorImpl()->set_sizes_contiguous(shape);  // resize_ would allocate
      return tensor;
    }
  }
  at::DimVector shape{rows};
  shape.append(row_shape.begin(), row_shape.end());
  return at::empty(shape, at::TensorOptions(dtype));
}

torch::Tensor reuse_with_room(torch::Tensor tensor, int64_t size, at::ScalarType dtype) {
  const auto bytes = static_cast<size_t>(size) * c10::elementSize(dtype);
  if (!is_unshared(tensor) || tensor.storage().nbytes() < bytes) {
    tensor = at::empty({size + size / 8}, at::TensorOptions(dtype));
  }
  return reuse_or_allocate(std::move(tensor), size, {}, dtype);
}

torch::Tensor empty_in_huge_pages(at::IntArrayRef shape, at::ScalarType dtype) {
  auto tensor = at::empty(shape, at::TensorOptions(dtype));
  if (tensor.nbytes() < kLarge) return tensor;
  const auto begin = reinterpret_cast<uintptr_t>(tensor.mutable_data_ptr());
  const uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = (begin + tensor.nbytes()) / kHugePage * kHugePage;
  ::madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);  // if it fails: as before
  return tensor;
}

torch::Tensor converted_in_huge_pages(const torch::Tensor& tensor, at::ScalarType dtype) {
  if (tensor.scalar_type() == dtype) return tensor;
  const at::NoGradGuard no_grad;
  auto result = empty_in_huge_pages(tensor.sizes(), dtype);
  result.copy_(tensor);
  return result;
}

}  // namespace levin
