#include <levin/framework/tensor/buffer.h>

#include <ATen/ops/empty.h>

namespace levin {

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

}  // namespace levin
