#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/core/value.h>
#include <levin/framework/data/transform.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// The steps that Levin ships. This list is the only place that names them.
const TransformList& shipped_transforms();
/// The steps that the setting `transforms` of data modules can name: the shipped ones, and those
/// that the process has besides (`added_transforms`).
TransformList known_transforms();

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
