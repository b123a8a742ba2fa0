#include <levin/framework/pipeline/staged_layers.h>

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

int64_t elements_of(const torch::nn::Module& module) {
  int64_t elements = 0;
  for (const auto& parameter : module.parameters()) elements += parameter.numel();
  return elements;
}

/// Divides `sizes` into `parts` neighbouring parts of at least one each, so that the largest sum is
/// as small as possible. Returns where each part ends.
std::vector<size_t> divide_evenly(const std::vector<int64_t>& sizes, size_t parts) {
  constexpr auto kNever = std::numeric_limits<int64_t>::max();
  const size_t n = sizes.size();
  std::vector<int64_t> sums(n + 1);
  for (size_t i = 0; i < n; ++i) sums[i + 1] = sums[i] + sizes[i];
  // The smallest largest sum of the first `end` sizes in `part + 1` parts, and where the last
  // begins.
  std::vector<std::vector<int64_t>> best(parts, std::vector<int64_t>(n + 1, kNever));
  std::vector<std::vector<size_t>> begins(parts, std::vector<size_t>(n + 1));
  for (size_t end = 1; end <= n; ++end) best[0][end] = sums[end];
  for (size_t part = 1; part < parts; ++part) {
    for (size_t end = part + 1; end <= n; ++end) {
      for (size_t begin = part; begin < end; ++begin) {
        const int64_t largest = std::max(best[part - 1][begin], sums[end] - sums[begin]);
        if (largest >= best[part][end]) continue;
        best[part][end] = largest;
        begins[part][end] = begin;
      }
    }
  }
  std::vector<size_t> ends(parts);
  size_t end = n;
  for (size_t part = parts; part-- > 0;) {
    ends[part] = end;
    end = begins[part][end];
  }
  return ends;
}

}  // namespace

StagedLayers::StagedLayers(torch::nn::Sequential layers, int64_t stages, torch::nn::Module* owner)
    : chain_(std::move(layers)), owner_(owner) {
  for (const auto& child : chain_->named_children()) {
    layers_.push_back({child.key(), child.value()});
  }
  std::vector<size_t> begins;  // of blocks: a layer with parameters, and those behind without
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const int64_t elements = elements_of(*layers_[i].module);
    if (elements == 0) continue;
    begins.push_back(begins.empty() ? 0 : i);
    sizes.push_back(elements);
  }
  if (static_cast<int64_t>(begins.size()) < stages) {
    throw ConfigError::invalid_value(
        "the number of pipeline stages", fmt::to_string(stages),
        fmt::format("must be at most {}, because the model has {} with parameters; lower "
                    "pipeline_size or pipeline_chunks",
                    begins.size(), counted(begins.size(), "layer")));
  }
  size_t begin = 0;
  for (const size_t end : divide_evenly(sizes, static_cast<size_t>(stages))) {
    const size_t next = end < begins.size() ? begins[end] : layers_.size();
    stages_.emplace_back(begin, next);
    begin = next;
  }
  refuse_shared_parameters();
}

void StagedLayers::refuse_shared_parameters() const {
  std::unordered_map<const void*, std::pair<int64_t, std::string>> seen;
  for (int64_t stage = 0; stage < stages(); ++stage) {
    for (size_t i = range(stage).first; i < range(stage).second; ++i) {
      const auto check = [&](const std::string& own_name, const torch::Tensor& tensor) {
        const std::string name = layers_[i].name + "." + own_name;
        const auto found = seen.emplace(tensor.unsafeGetTensorImpl(), std::pair(stage, name)).first;
        const auto& first = found->second;
        if (first.first == stage) return;
        throw ModuleError::contract(
            "layers",
            fmt::format("the parameters {} (stage {}) and {} (stage {}) of the chain are tied",
                        first.second, first.first, name, stage),
            "a pipeline can't keep tied parameters in different stages: give each layer its own, "
            "or use fewer stages");
      };
      const auto& layer = *layers_[i].module;
      for (const auto& item : layer.named_parameters()) check(item.key(), item.value());
      for (const auto& item : layer.named_buffers()) check(item.key(), item.value());
    }
  }
}

torch::Tensor StagedLayers::forward(int64_t stage, torch::Tensor input) const {
  const auto [begin, end] = range(stage);
  for (size_t i = begin; i < end; ++i) {
    input = (chain_.ptr()->begin() + static_cast<std::ptrdiff_t>(i))->forward(std::move(input));
  }
  return input;
}

std::vector<torch::Tensor> StagedLayers::trained_parameters(int64_t stage) const {
  std::vector<torch::Tensor> parameters;
  std::unordered_set<const void*> seen;
  for (size_t i = range(stage).first; i < range(stage).second; ++i) {
    for (const auto& parameter : layers_[i].module->parameters()) {
      if (!parameter.requires_grad()) continue;
      if (seen.insert(parameter.unsafeGetTensorImpl()).second) parameters.push_back(parameter);
    }
  }
  return parameters;
}

std::vector<torch::Tensor> StagedLayers::tensors_of(int64_t stage) const {
  std::vector<torch::Tensor> tensors;
  std::unordered_set<const void*> seen;
  for (size_t i = range(stage).first; i < range(stage).second; ++i) {
    auto all = layers_[i].module->parameters();
    const auto buffers = layers_[i].module->buffers();
    all.insert(all.end(), buffers.begin(), buffers.end());
    for (const auto& tensor : all) {
      if (tensor.defined() && seen.insert(tensor.unsafeGetTensorImpl()).second) {
        tensors.push_back(tensor);
      }
    }
  }
  return tensors;
}

/// The chain, the owner and the modules in it that aren't a part of a layer.
std::vector<StagedLayers::Parent> StagedLayers::parents() const {
  std::unordered_set<const torch::nn::Module*> inside;
  for (const auto& layer : layers_) {
    for (const auto& module : layer.module->modules()) inside.insert(module.get());
  }
  std::vector<Parent> found;
  found.push_back({chain_.ptr().get(), chain_->named_children()});
  if (owner_ == nullptr) return found;
  found.push_back({owner_, owner_->named_children()});
  for (const auto& module : owner_->modules(/*include_self=*/false)) {
    if (module == chain_.ptr() || inside.contains(module.get())) continue;
    found.push_back({module.get(), module->named_children()});
  }
  return found;
}

void StagedLayers::keep(const std::function<bool(int64_t stage)>& is_kept) {
  parents_ = parents();
  for (int64_t stage = 0; stage < stages(); ++stage) {
    if (is_kept(stage)) continue;
    for (auto& tensor : tensors_of(stage)) {
      freed_.push_back({tensor, tensor.sizes().vec()});
      tensor.mutable_grad().reset();
      tensor.set_data(at::empty({0}, tensor.options().requires_grad(false)));
    }
    std::unordered_set<const torch::nn::Module*> gone;
    for (size_t i = range(stage).first; i < range(stage).second; ++i) {
      for (const auto& module : layers_[i].module->modules()) gone.insert(module.get());
    }
    for (const auto& parent : parents_) {
      for (const auto& child : parent.children) {
        if (gone.contains(child.value().get())) parent.module->unregister_module(child.key());
      }
    }
  }
  std::erase_if(parents_, [](const Parent& parent) {
    return parent.module->named_children().size() == parent.children.size();
  });
}

void StagedLayers::restore(const std::function<void(torch::Tensor tensor, int64_t stage)>& fill) {
  for (auto& [tensor, sizes] : std::exchange(freed_, {})) {
    tensor.set_data(at::empty(sizes, tensor.options().requires_grad(false)));
  }
  for (const auto& parent : std::exchange(parents_, {})) {
    const auto kept = parent.module->named_children();
    for (const auto& child : kept) parent.module->unregister_module(child.key());
    for (const auto& child : parent.children) {  // in the order that they had
      parent.module->register_module(child.key(), child.value());
    }
  }
  for (int64_t stage = 0; stage < stages(); ++stage) {
    for (const auto& tensor : tensors_of(stage)) fill(tensor.detach(), stage);
  }
}

}  // namespace levin
