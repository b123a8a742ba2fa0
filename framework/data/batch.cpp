#include <levin/framework/data/batch.h>

#include <ATen/Context.h>
#include <c10/core/InferenceMode.h>
#include <levin/framework/core/error.h>

#include <optional>
#include <utility>

namespace levin {
namespace {

bool is_on(const torch::Tensor& tensor, at::Device device) {
  return tensor.device() == device ||
         (!device.has_index() && tensor.device().type() == device.type());
}

}  // namespace

size_t Batch::find(std::string_view name) const {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (tensors_[i].first == name) return i;
  }
  return kNone;
}

bool Batch::is_deferred(size_t index) const {
  return index < deferred_.size() && deferred_[index].tensor.defined();
}

const torch::Tensor& Batch::gathered(size_t index) const {
  auto& tensor = tensors_[index].second;
  if (!is_deferred(index)) return tensor;
  // Inference tensors would be of no use to a later training step as buffers.
  std::optional<c10::InferenceMode> normal_mode;
  if (c10::InferenceMode::is_enabled()) normal_mode.emplace(false);
  tensor = gather(deferred_[index], deferred_rows_, std::move(tensor));
  deferred_[index] = {};
  return tensor;
}

void Batch::gather_all() const {
  for (size_t i = 0; i < deferred_.size(); ++i) gathered(i);
}

const NamedTensors& Batch::tensors() const {
  gather_all();
  return tensors_;
}

NamedTensors& Batch::tensors() {
  gather_all();
  deferred_.clear();
  return tensors_;
}

NamedTensors& Batch::buffers() {
  deferred_.clear();
  return tensors_;
}

void Batch::defer(size_t index, RowSource source, std::span<const int64_t> rows) {
  deferred_.resize(tensors_.size());
  deferred_[index] = std::move(source);
  deferred_rows_.assign(rows.begin(), rows.end());
}

const torch::Tensor& Batch::operator[](std::string_view name) const {
  const size_t index = find(name);
  if (index != kNone) return gathered(index);
  std::vector<std::string> names;
  for (const auto& entry : tensors_) names.push_back(entry.first);
  throw DataError::no_such_tensor(name, names);
}

size_t Batch::input_index() const {
  const size_t index = find("input");
  return index == kNone && !tensors_.empty() ? 0 : index;
}

const torch::Tensor& Batch::input() const {
  const size_t index = input_index();
  return index == kNone ? (*this)["input"] : gathered(index);
}

RowView Batch::input_view() const {
  const size_t index = input_index();
  if (index != kNone && is_deferred(index)) return {deferred_[index], deferred_rows_};
  return {{input(), {}}, {}};
}

const torch::Tensor& Batch::target() const { return (*this)["target"]; }
const torch::Tensor& Batch::weight() const { return (*this)["weight"]; }
bool Batch::has(std::string_view name) const { return find(name) != kNone; }

void Batch::set(std::string_view name, torch::Tensor tensor) {
  const size_t index = find(name);
  if (index == kNone) {
    tensors_.emplace_back(std::string(name), std::move(tensor));
    return;
  }
  tensors_[index].second = std::move(tensor);
  if (is_deferred(index)) deferred_[index] = {};
}

int64_t Batch::rows() const {
  if (tensors_.empty()) return 0;
  if (is_deferred(0)) return static_cast<int64_t>(deferred_rows_.size());
  const auto& first = tensors_.front().second;
  return first.defined() && first.dim() > 0 ? first.size(0) : 0;
}

Batch Batch::to(at::Device device, bool non_blocking) const {
  gather_all();
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
  gather_all();
  Batch pinned = *this;
  if (!at::hasCUDA()) return pinned;
  for (auto& entry : pinned.tensors_) {
    auto& tensor = entry.second;
    if (tensor.defined() && tensor.is_cpu() && !tensor.is_pinned()) tensor = tensor.pin_memory();
  }
  return pinned;
}

}  // namespace levin
