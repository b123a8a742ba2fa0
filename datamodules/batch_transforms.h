#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <levin/datamodules/transforms.h>
#include <levin/framework/core/options.h>
#include <levin/framework/data/dataset.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// The list of steps that a data module's setting `transforms` names, in their order:
///
///     transforms: [normalize, {name: random_crop, padding: 4}, random_horizontal_flip]
///
///     BatchTransforms transforms({"normalize", {"random_crop", Value::Object{{"padding", 4}}}});
///     if (transforms.needs_statistics()) transforms.learn(*training_rows);
///     DataLoader(rows, {.transform = transforms.transform(), .augment = is_training});
///
/// What is drawn for a row depends on the loader's seed, the epoch, the row's position in the epoch
/// and the step's place in the list alone, so that it is the same for any number of workers and
/// ranks and after a resume.
class BatchTransforms {
 public:
  BatchTransforms() = default;
  /// Throws ConfigError for a name that isn't in `known_transforms` and for invalid settings.
  explicit BatchTransforms(std::vector<NamedSettings> list);

  bool empty() const { return list_.empty(); }
  bool needs_statistics() const;
  /// Finds the statistics that are missing, in passes over all rows of `training`, which needs a
  /// known size. The bits don't depend on the number of threads.
  void learn(const Dataset& training);
  /// Forgets the statistics that were found or taken over.
  void forget() { steps_ = made(list_); }
  /// Applies all steps; an empty function if there are none. Later calls of `load` don't change it.
  BatchTransform transform() const;

  /// Puts the statistics into a fitted state as "transforms", if there are any.
  void save(StateDict& state) const;
  /// Takes over what `save` put there. Throws ConfigError if the model was trained with other steps
  /// that have statistics, or with other numbers than those that are set here.
  void load(const StateDict& state);

 private:
  using Steps = std::vector<std::shared_ptr<Transform>>;
  static Steps made(const std::vector<NamedSettings>& list);

  std::vector<NamedSettings> list_;
  Steps steps_;
};

}  // namespace levin
