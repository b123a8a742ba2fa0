#include <levin/callbacks/layer_sizes.h>

#include <ATen/record_function.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/nn/module.h>

#include <optional>
#include <unordered_map>
#include <vector>

namespace levin {
namespace {

/// What is watched on this thread.
struct WatchedLayers {
  std::unordered_map<const void*, const torch::nn::Module*> owners;  // of parameters and buffers
  std::vector<at::Tensor> views;  // of parameters, such as the transpose of a weight, or copies
  LayerSizes sizes;
};
thread_local WatchedLayers* watched_layers = nullptr;

/// An operation that has begun, of a layer.
struct WatchedOperation : at::ObserverContext {
  WatchedOperation(const torch::nn::Module* of, LayerSize* its) : layer(of), size(its) {}
  const torch::nn::Module* layer;
  LayerSize* size;  // null: it makes something of the layer's parameters alone
};

std::string sizes_in_brackets(const at::Tensor& tensor) {
  return fmt::format("[{}]", fmt::join(tensor.sizes().vec(), ", "));
}

std::unique_ptr<at::ObserverContext> begin_watched_operation(const at::RecordFunction& operation) {
  if (watched_layers == nullptr) return nullptr;
  const torch::nn::Module* layer = nullptr;
  std::string in;
  const auto look_at = [&](const at::Tensor& tensor) {
    if (!tensor.defined()) return;
    const auto owner = watched_layers->owners.find(tensor.unsafeGetTensorImpl());
    if (owner == watched_layers->owners.end()) {
      if (in.empty()) in = sizes_in_brackets(tensor);
    } else if (layer == nullptr) {
      layer = owner->second;
    }
  };
  for (const c10::IValue& input : operation.inputs()) {
    if (input.isTensor()) look_at(input.toTensor());
    if (!input.isTensorList()) continue;
    for (const at::Tensor& tensor : input.toTensorVector()) look_at(tensor);
  }
  if (layer == nullptr) return nullptr;
  if (in.empty()) return std::make_unique<WatchedOperation>(layer, nullptr);
  // Of operations within others, the outermost one counts, which begins first.
  const auto [place, is_first] = watched_layers->sizes.try_emplace(layer, LayerSize{in, {}});
  return is_first ? std::make_unique<WatchedOperation>(layer, &place->second) : nullptr;
}

void end_watched_operation(const at::RecordFunction& operation, at::ObserverContext* context) {
  auto* watched = dynamic_cast<WatchedOperation*>(context);
  if (watched == nullptr || operation.outputs().empty()) return;
  const c10::IValue& output = operation.outputs().front();
  if (!output.isTensor()) return;
  if (watched->size != nullptr) {
    watched->size->out = sizes_in_brackets(output.toTensor());
  } else if (watched_layers != nullptr) {
    watched_layers->views.push_back(output.toTensor());
    watched_layers->owners.emplace(output.toTensor().unsafeGetTensorImpl(), watched->layer);
  }
}

void add_owners(const torch::nn::Module& layer, WatchedLayers& watched) {
  for (const auto& item : layer.named_parameters(/*recurse=*/false)) {
    if (item.value().defined()) watched.owners.emplace(item.value().unsafeGetTensorImpl(), &layer);
  }
  for (const auto& item : layer.named_buffers(/*recurse=*/false)) {
    if (item.value().defined()) watched.owners.emplace(item.value().unsafeGetTensorImpl(), &layer);
  }
}

/// Watches operations of this thread while it exists.
class LayerWatch {
 public:
  explicit LayerWatch(WatchedLayers& watched)
      : handle_(at::addThreadLocalCallback(
            at::RecordFunctionCallback(begin_watched_operation, end_watched_operation)
                .needsInputs(true)
                .needsOutputs(true)
                .scopes({at::RecordScope::FUNCTION}))) {
    watched_layers = &watched;
  }
  ~LayerWatch() {
    watched_layers = nullptr;
    at::removeCallback(handle_);
  }
  LayerWatch(const LayerWatch&) = delete;
  LayerWatch& operator=(const LayerWatch&) = delete;

 private:
  at::CallbackHandle handle_;
};

}  // namespace

LayerSizes watch_layers(const torch::nn::Module& module, const std::function<void()>& work) {
  WatchedLayers watched;
  for (const auto& child : module.modules(/*include_self=*/false)) add_owners(*child, watched);
  {
    const LayerWatch watch(watched);
    work();
  }
  return std::move(watched.sizes);
}

}  // namespace levin
