#include <levin/framework/tensor/divided_memory.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <new>
#include <string_view>
#include <utility>

#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

namespace levin {
namespace {

// The dispatcher calls the function registered for this key before any other one, as long as the
// key is among those that a thread includes. LibTorch itself registers nothing for it.
constexpr auto kKey = c10::DispatchKey::TESTING_ONLY_GenericMode;

void free_nothing(void* /*memory*/) {}  // also the mark by which divided memory is known
void release_tensor(void* tensor) { delete static_cast<torch::Tensor*>(tensor); }

c10::StorageImpl* storage_of(const torch::Tensor& tensor) {
  if (!tensor.defined() || !tensor.has_storage()) return nullptr;
  return tensor.unsafeGetTensorImpl()->unsafe_storage().unsafeGetStorageImpl();
}

/// Operations that take no values from a tensor, although nothing in their signature says so.
bool needs_no_values(std::string_view name) {
  constexpr std::array kNames = {"aten::requires_grad_", "aten::retain_grad", "aten::set_data",
                                 "aten::detach_", "aten::record_stream"};
  return name.ends_with("_like") || name.starts_with("aten::new_") ||
         std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

/// The divided memories that one operation uses.
struct Use {
  std::vector<DividedMemory*> memories;
  bool writes = false;

  void add(const torch::Tensor& tensor, const c10::AliasInfo* alias) {
    auto* memory = divided_memory_of(tensor);
    if (memory == nullptr || (alias != nullptr && !alias->isWrite())) return;
    memories.push_back(memory);
    writes = writes || alias != nullptr;
  }
  void add(const c10::IValue& value, const c10::AliasInfo* alias) {
    if (value.isTensor()) return add(value.toTensor(), alias);
    if (value.isTensorList()) {
      for (const torch::Tensor& tensor : value.toTensorList()) add(tensor, element_of(alias));
    } else if (value.isList()) {
      for (const c10::IValue& element : value.toListRef()) {
        if (element.isTensor()) add(element.toTensor(), element_of(alias));
      }
    }
  }
  static const c10::AliasInfo* element_of(const c10::AliasInfo* alias) {
    if (alias == nullptr || alias->isWrite() || alias->containedTypes().empty()) return alias;
    return &alias->containedTypes().front();
  }
};

void prepare(const Use& use, const char* operation) {
  const c10::impl::ExcludeDispatchKeyGuard unwatched(kKey);
  MemoryOwner& owner = use.memories.front()->owner();
  std::vector<size_t> numbers;
  for (const auto* memory : use.memories) {
    if (&memory->owner() == &owner) numbers.push_back(memory->number());
  }
  owner.prepare(numbers, operation, use.writes);
}

void watched(const c10::OperatorHandle& operation, c10::DispatchKeySet keys,
             torch::jit::Stack* stack) {
  const auto& arguments = operation.schema().arguments();
  const size_t first = stack->size() - arguments.size();
  Use use;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto& value = (*stack)[first + i];
    if (value.isTensor() || value.isList()) use.add(value, arguments[i].alias_info());
  }
  const auto& name = operation.schema().name();
  if (!use.memories.empty() && !needs_no_values(name)) prepare(use, name.c_str());
  operation.redispatchBoxed(keys & c10::DispatchKeySet(c10::DispatchKeySet::FULL_AFTER, kKey),
                            stack);
}

void register_once() {
  // Never destroyed, because other threads may still run operations when the process ends.
  alignas(torch::Library) static std::array<std::byte, sizeof(torch::Library)> memory;
  static const bool is_registered = [] {
    auto* library = new (memory.data())
        torch::Library(torch::Library::IMPL, "_", kKey, "divided_memory.cpp", __LINE__);
    library->fallback(torch::CppFunction::makeFromBoxedFunction<&watched>());
    return true;
  }();
  static_cast<void>(is_registered);
}

}  // namespace

DividedMemory::DividedMemory(const torch::Tensor& tensor, MemoryOwner& owner, size_t number)
    : tensor_(tensor.detach()), owner_(owner), number_(number) {
  point_to(nullptr);
}

DividedMemory::~DividedMemory() {
  if (divided_memory_of(tensor_) != this) return;  // `keep` was called
  auto* storage = storage_of(tensor_);
  storage->set_data_ptr_noswap(c10::DataPtr(nullptr, tensor_.device()));
  storage->release_data_and_set_meta_custom_data_ptr_error_msg_(
      "the values of this parameter were divided among the ranks of a run that has failed; make "
      "the module anew, and load them from a checkpoint");
}

void DividedMemory::point_to(void* data) {
  storage_of(tensor_)->set_data_ptr_noswap(
      c10::DataPtr(data, this, &free_nothing, tensor_.device()));
}

void DividedMemory::fill(torch::Tensor whole) {
  whole_ = std::move(whole);
  point_to(whole_.mutable_data_ptr());
}

void DividedMemory::free() {
  point_to(nullptr);
  whole_.reset();
}

void DividedMemory::keep() {
  void* data = whole_.mutable_data_ptr();
  auto* owner = new torch::Tensor(std::exchange(whole_, torch::Tensor()));
  storage_of(tensor_)->set_data_ptr_noswap(
      c10::DataPtr(data, owner, &release_tensor, tensor_.device()));
}

DividedMemory* divided_memory_of(const torch::Tensor& tensor) {
  auto* storage = storage_of(tensor);
  if (storage == nullptr) return nullptr;
  const auto& data = storage->_mutable_data_ptr_no_checks();
  if (data.get_deleter() != &free_nothing) return nullptr;
  return static_cast<DividedMemory*>(data.get_context());
}

void watch_operations(bool watch) {
  if (watch) register_once();
  c10::impl::tls_set_dispatch_key_included(kKey, watch);
}

std::vector<MemoryOwner*> memory_owners_of(const std::vector<torch::Tensor>& tensors) {
  std::vector<MemoryOwner*> owners;
  for (const auto& tensor : tensors) {
    const auto* memory = divided_memory_of(tensor);
    if (memory == nullptr) continue;
    if (std::find(owners.begin(), owners.end(), &memory->owner()) != owners.end()) continue;
    owners.push_back(&memory->owner());
  }
  return owners;
}

GatheredStep::GatheredStep(std::vector<MemoryOwner*> owners) : owners_(std::move(owners)) {
  for (auto* owner : owners_) owner->begin_evaluation();
}

GatheredStep::~GatheredStep() {
  for (auto* owner : owners_) owner->leave_evaluation();
}

void GatheredStep::end() {
  for (auto* owner : owners_) owner->end_evaluation();
  owners_.clear();
}

WholeTensors::WholeTensors(const std::vector<torch::Tensor>& tensors)
    : owners_(memory_owners_of(tensors)) {
  for (auto* owner : owners_) owner->make_whole();
}

WholeTensors::~WholeTensors() {
  for (auto* owner : owners_) owner->divide();
}

}  // namespace levin
