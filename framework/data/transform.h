#pragma once

#include <levin/framework/core/class_list.h>
#include <levin/framework/core/value.h>
#include <levin/framework/data/batch.h>
#include <levin/framework/data/dataloader.h>

namespace levin {

/// One step of a data module's list `transforms`: changes whole batches after their rows have been
/// gathered. Derive from it for a step of your own, and add the class to `Registry::transforms`,
/// so that the list can name it; or pass a `BatchTransform` made of it to a DataLoader.
///
///     class Invert : public levin::Transform {
///      public:
///       void apply(levin::Batch& batch, const levin::TransformContext&) const override {
///         batch.set("input", 1.0 - batch.input());
///       }
///     };
///     registry.transforms.add<Invert>("invert", "1 - x");  // transforms: [normalize, invert]
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
/// The steps that the process has besides those that Levin ships; see Registry::transforms. Empty
/// at first. Add to it before the first data module is made, on one thread.
TransformList& added_transforms();

}  // namespace levin
