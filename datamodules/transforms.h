#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/core/class_list.h>
#include <levin/framework/core/options.h>
#include <levin/framework/core/value.h>
#include <levin/framework/data/dataloader.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// One step of a data module's list `transforms`: changes whole batches after their rows have been
/// gathered. Derive from it for a step of your own, and pass `BatchTransform`s made of it to a
/// DataLoader, or add the class to a copy of `shipped_transforms()`.
class Transform {
 public:
  virtual ~Transform() = default;
  /// Changes a batch in place and keeps its number of rows. Called by several threads at once. A
  /// step that draws numbers takes those of row `i` from `context.generator(i)`, which differs from
  /// step to step, and draws none unless `context.augment`. Throws DataError for a batch that it
  /// can't change.
  virtual void apply(Batch& batch, const TransformContext& context) const = 0;

  /// Whether `apply` needs statistics of the training rows, which aren't known yet.
  virtual bool needs_statistics() const { return false; }
  /// Adds a batch of training rows, as the steps before this one have left it, to the statistics;
  /// `end_learning` follows the last one.
  virtual void learn(const Batch& /*batch*/) {}
  virtual void end_learning() {}
  /// The statistics for a checkpoint, an object; null if the step has none.
  virtual Value statistics() const { return {}; }
  /// Takes over what `statistics` returned where the model was trained. Throws ConfigError if the
  /// step's settings contradict it.
  virtual void set_statistics(const Value& /*statistics*/) {}
};

/// Classes of steps by the names that the setting `transforms` uses.
using TransformList = ClassList<Transform>;
/// The steps that Levin ships. This list is the only place that names them.
const TransformList& shipped_transforms();

/// Options of Normalize.
struct NormalizeOptions {
  /// One number for each channel (dimension 1 of a batch's input), or one for all. If both are
  /// empty, they are those of the training rows, and checkpoints keep them.
  std::vector<double> mean{};
  std::vector<double> std{};
};
Fields describe(NormalizeOptions& options);

/// Maps the input to (x - mean) / std. torchvision: Normalize.
class Normalize : public Transform {
 public:
  using Options = NormalizeOptions;
  explicit Normalize(NormalizeOptions options = {});
  void apply(Batch& batch, const TransformContext& context) const override;
  bool needs_statistics() const override { return is_learned_ && mean_.empty(); }
  void learn(const Batch& batch) override;
  void end_learning() override;
  Value statistics() const override;
  void set_statistics(const Value& statistics) override;

 private:
  bool is_learned_;  // whether the options give no numbers
  std::vector<double> mean_;
  std::vector<double> std_;
  double count_ = 0.0;
  torch::Tensor sum_;      // [channels] float64: the mean of the rows so far
  torch::Tensor squares_;  // [channels] float64: squared distances from it, added up
};

/// Makes the input [rows, values].
class Flatten : public Transform {
 public:
  void apply(Batch& batch, const TransformContext& context) const override;
};

/// Options of Pad.
struct PadOptions {
  /// Pixels that are added on each side of images [rows, ..., height, width].
  int64_t padding = 0;
  double value = 0.0;
};
Fields describe(PadOptions& options);

/// Adds pixels around images.
class Pad : public Transform {
 public:
  using Options = PadOptions;
  explicit Pad(PadOptions options);
  void apply(Batch& batch, const TransformContext& context) const override;

 private:
  PadOptions options_;
};

/// Options of RandomCrop.
struct RandomCropOptions {
  /// Height and width of the result; 0: those of the image without padding.
  int64_t size = 0;
  /// Pixels of the value 0 that are thought of on each side of the image.
  int64_t padding = 0;
};
Fields describe(RandomCropOptions& options);

/// Takes a square part of each image, at a random place; without augmentation, from the middle.
/// torchvision: RandomCrop, CenterCrop.
class RandomCrop : public Transform {
 public:
  using Options = RandomCropOptions;
  explicit RandomCrop(RandomCropOptions options);
  void apply(Batch& batch, const TransformContext& context) const override;

 private:
  RandomCropOptions options_;
};

/// Options of RandomHorizontalFlip.
struct RandomHorizontalFlipOptions {
  /// The share of the images that are flipped.
  double p = 0.5;
};
Fields describe(RandomHorizontalFlipOptions& options);

/// Swaps left and right of some images [rows, ..., height, width].
class RandomHorizontalFlip : public Transform {
 public:
  using Options = RandomHorizontalFlipOptions;
  explicit RandomHorizontalFlip(RandomHorizontalFlipOptions options = {});
  void apply(Batch& batch, const TransformContext& context) const override;

 private:
  RandomHorizontalFlipOptions options_;
};

/// Options of OneHot.
struct OneHotOptions {
  /// The number of classes.
  int64_t num_classes = 0;
  /// The tensor that is changed.
  std::string tensor = "target";
};
Fields describe(OneHotOptions& options);

/// Makes float32 [rows, ..., classes] of classes [rows, ...]: 1 for the class, and 0 for others.
class OneHot : public Transform {
 public:
  using Options = OneHotOptions;
  explicit OneHot(OneHotOptions options);
  void apply(Batch& batch, const TransformContext& context) const override;

 private:
  OneHotOptions options_;
};

}  // namespace levin
