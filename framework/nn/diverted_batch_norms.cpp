#include <levin/framework/nn/diverted_batch_norms.h>

#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <utility>

#include <ATen/ops/batch_norm_native.h>
#include <torch/library.h>

namespace levin {
namespace {

struct Diversion {
  std::shared_ptr<torch::nn::Module> layer;
  DivertedBatchNorms::Forward forward;
};

/// The diverted layers of this process by their keys.
struct Diversions {
  std::shared_mutex mutex;
  std::map<const c10::TensorImpl*, std::shared_ptr<const Diversion>> by_key;

  std::shared_ptr<const Diversion> find(const std::optional<at::Tensor>& key) {
    if (!key || !key->defined()) return nullptr;
    const std::shared_lock lock(mutex);
    const auto found = by_key.find(key->unsafeGetTensorImpl());
    return found == by_key.end() ? nullptr : found->second;
  }
};

Diversions& diversions() {
  static auto& all = *new Diversions;  // never destroyed: LibTorch's tables refer to it
  return all;
}

using Optional = std::optional<at::Tensor>;

/// Takes the place of at::batch_norm for tensors that autograd may see.
at::Tensor batch_norm(const at::Tensor& input, const Optional& weight, const Optional& bias,
                      const Optional& running_mean, const Optional& running_var, bool training,
                      double momentum, double eps, bool cudnn_enabled) {
  if (training) {
    auto diverted = diversions().find(weight);
    if (!diverted) diverted = diversions().find(running_mean);
    if (diverted && diverted->layer->is_training()) return diverted->forward(input, momentum);
  }
  return at::native::batch_norm(input, weight, bias, running_mean, running_var, training, momentum,
                                eps, cudnn_enabled);
}

/// Registers the function above, once and for all: LibTorch's tables can't be changed while other
/// threads compute.
void take_place() {
  static const bool is_done = [] {
    for (const auto key : {c10::DispatchKey::AutogradCPU, c10::DispatchKey::AutogradCUDA}) {
      auto* library = new torch::Library(torch::Library::IMPL, "aten", key, __FILE__, __LINE__);
      library->impl("batch_norm", TORCH_FN(batch_norm));
    }
    return true;
  }();
  static_cast<void>(is_done);
}

}  // namespace

DivertedBatchNorms::~DivertedBatchNorms() {
  const std::unique_lock lock(diversions().mutex);
  for (const auto& key : keys_) diversions().by_key.erase(key.unsafeGetTensorImpl());
}

void DivertedBatchNorms::add(std::shared_ptr<torch::nn::Module> layer, const at::Tensor& key,
                             Forward forward) {
  take_place();
  auto diversion =
      std::make_shared<const Diversion>(Diversion{std::move(layer), std::move(forward)});
  const std::unique_lock lock(diversions().mutex);
  diversions().by_key[key.unsafeGetTensorImpl()] = std::move(diversion);
  keys_.push_back(key);
}

}  // namespace levin
