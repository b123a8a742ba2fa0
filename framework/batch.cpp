#include <levin/framework/batch.h>

#include <ATen/Context.h>
#include <levin/framework/error.h>

namespace levin {
namespace {

bool is_on(const torch::Tensor& tensor, at::Device device) {
  return tensor.device() == device ||
         (!device.has_index() && tensor.device().type() == device.type());
}

}  // namespace

const torch::Tensor* Batch::find(std::string_view name) const {
  for (const auto& [known, tensor] : tensors_) {
    if (known == name) return &tensor;
  }
  return nullptr;
}

const torch::Tensor& Batch::operator[](std::string_view name) const {
  if (const auto* tensor = find(name)) return *tensor;
  std::vector<std::string> names;
  for (const auto& entry : tensors_) names.push_back(entry.first);
  throw DataError::no_such_tensor(name, names);
}

const torch::Tensor& Batch::input() const {
  if (const auto* tensor = find("input")) return *tensor;
  return tensors_.empty() ? (*this)["input"] : tensors_.front().second;
}

const torch::Tensor& Batch::target() const { return (*this)["target"]; }
const torch::Tensor& Batch::weight() const { return (*this)["weight"]; }
bool Batch::has(std::string_view name) const { return find(name) != nullptr; }

void Batch::set(std::string_view name, torch::Tensor tensor) {
  for (auto& [known, slot] : tensors_) {
    if (known == name) {
      slot = std::move(tensor);
      return;
    }
  }
  tensors_.emplace_back(std::string(name), std::move(tensor));
}

int64_t Batch::rows() const {
  if (tensors_.empty()) return 0;
  const auto& first = tensors_.front().second;
  return first.defined() && first.dim() > 0 ? first.size(0) : 0;
}

Batch Batch::to(at::Device device, bool non_blocking) const {
  Batch moved = *this;
  for (auto& entry : moved.tensors_) {
    auto& tensor = entry.second;
    if (!tensor.defined() || is_on(tensor, device)) continue;
    // Copies to the CPU have to be complete before they're read, and nobody would wait for them.
    tensor = tensor.to(device, tensor.scalar_type(), non_blocking && !device.is_cpu());
  }
  return moved;
}

Batch Batch::pin_memory() const {
  Batch pinned = *this;
  if (!at::hasCUDA()) return pinned;
  for (auto& entry : pinned.tensors_) {
    auto& tensor = entry.second;
    if (tensor.defined() && tensor.is_cpu() && !tensor.is_pinned()) tensor = tensor.pin_memory();
  }
  return pinned;
}

}  // namespace levin
