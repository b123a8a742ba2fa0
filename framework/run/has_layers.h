#pragma once

#include <memory>

namespace torch::nn {
class Sequential;
}

namespace levin {

class Pipeline;

/// What the option pipeline_size asks of a module: a chain of layers, which it can spread over
/// ranks. PipelineModule has it, for modules of your own, and so has MLP.
class HasLayers {
 public:
  virtual ~HasLayers() = default;

  /// The chain. Its layers, or the modules in them, are registered in this module and have all of
  /// its parameters. Each layer takes and returns one tensor, [rows, ...].
  virtual torch::nn::Sequential layers() = 0;

  /// Sets the pipeline that this module's layers are in, or null; strategies call this. If a run
  /// fails, the pipeline ends with it, and the module, which has only some of its layers, can't be
  /// used any more.
  void set_pipeline(std::shared_ptr<Pipeline> pipeline);

 protected:
  /// Whether this process has only some of the layers.
  bool is_spread() const { return is_spread_; }
  /// The pipeline that the layers are in; null if this process has all of them. Throws ModuleError
  /// if the pipeline has ended with a run that failed.
  std::shared_ptr<Pipeline> pipeline() const;

 private:
  std::weak_ptr<Pipeline> pipeline_;
  bool is_spread_ = false;
};

}  // namespace levin
