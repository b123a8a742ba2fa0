#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/modules/container/sequential.h>

namespace levin {

/// A chain of layers that is cut into stages, so that each rank of a pipeline keeps some of them.
///
///     StagedLayers layers(net, /*stages=*/4);
///     layers.keep([&](int64_t stage) { return stage % ranks == rank; });
///     auto outputs = layers.forward(stage, inputs);
///
/// Cuts lie in front of layers with parameters, so that every stage has some; among these, they
/// are chosen so that the largest stage has as few parameters as possible.
class StagedLayers {
 public:
  /// `owner`, which may be null and must live longer, is the module that the layers, or modules in
  /// them, are registered in, besides the chain: `keep` takes them out of it, too. Throws
  /// ConfigError if the chain has fewer layers with parameters than stages, and ModuleError if two
  /// stages share a parameter, because each of them would get its own gradients.
  StagedLayers(torch::nn::Sequential layers, int64_t stages, torch::nn::Module* owner = nullptr);

  int64_t stages() const { return static_cast<int64_t>(stages_.size()); }
  /// The first layer of a stage, and the one behind its last, as numbers in the chain.
  std::pair<size_t, size_t> range(int64_t stage) const {
    return stages_[static_cast<size_t>(stage)];
  }
  /// Passes `input` through the layers of a stage that is kept. Throws ModuleError if a layer
  /// returns something else than one tensor.
  torch::Tensor forward(int64_t stage, torch::Tensor input) const;
  /// The parameters of a stage that require gradients, each once.
  std::vector<torch::Tensor> trained_parameters(int64_t stage) const;

  /// Takes the layers of all other stages out of the chain and the owner, so that `parameters` and
  /// `state_dict` don't have them any more, and frees the memory of their tensors.
  void keep(const std::function<bool(int64_t stage)>& is_kept);
  /// Whether layers were taken out.
  bool is_partial() const { return !freed_.empty(); }
  /// Puts all layers back. `fill` is called for each tensor of each stage that some rank hasn't
  /// kept, in the same order on all ranks, and should give it the values of the rank that has.
  void restore(const std::function<void(torch::Tensor tensor, int64_t stage)>& fill);

 private:
  struct Layer {
    std::string name;
    std::shared_ptr<torch::nn::Module> module;
  };
  struct Freed {
    torch::Tensor tensor;
    std::vector<int64_t> sizes;
  };
  /// A module outside of the layers, and what was registered in it before layers were taken out.
  struct Parent {
    torch::nn::Module* module;
    torch::OrderedDict<std::string, std::shared_ptr<torch::nn::Module>> children;
  };

  std::vector<torch::Tensor> tensors_of(int64_t stage) const;
  void refuse_shared_parameters() const;
  std::vector<Parent> parents() const;

  torch::nn::Sequential chain_;
  torch::nn::Module* owner_;
  std::vector<Layer> layers_;
  std::vector<std::pair<size_t, size_t>> stages_;
  std::vector<Freed> freed_;
  std::vector<Parent> parents_;  // from `keep` until `restore`
};

}  // namespace levin
