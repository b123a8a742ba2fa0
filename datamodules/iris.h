#pragma once

#include <cstdint>
#include <string>

#include <levin/datamodules/array.h>

namespace levin {

/// Options of IrisDataModule. They mean the same as those of ArrayDataModuleOptions, with the same
/// defaults; there are none for files, because the data is part of the library.
struct IrisDataModuleOptions {
  /// Rows of a batch on each device.
  int64_t batch_size = 32;
  /// The shares of the 150 rows to validate and to test on; 0 for no such set. The defaults give
  /// 120 rows to train, 15 to validate and 15 to test on.
  double val_split = 0.1;
  double test_split = 0.1;
  /// Shuffles the rows before they are split, and the training rows again in each epoch. The rows
  /// lie sorted by species, so that a split without shuffling needs `stratify`.
  bool shuffle = true;
  /// Splits so that every species has its share of each set.
  bool stratify = false;
  /// The seed of the split, which is the same on every machine.
  int64_t seed = 42;
  /// The type of the features: "float32", "float64", or "as_is", which is float64.
  std::string dtype = "float32";
  /// Leaves out a last training batch that isn't full.
  bool drop_last = false;
  /// Threads that prepare batches ahead.
  int64_t num_workers = 0;
  /// Puts batches into page-locked memory if there is a CUDA device.
  bool pin_memory = false;
  /// Standardises the features by mean and deviation of the training rows.
  bool standardize = false;
};

Fields describe(IrisDataModuleOptions& options);

/// Fisher's irises, which are part of the library: 150 flowers with 4 lengths in cm (sepal length
/// and width, petal length and width) and 3 species of 50 flowers each: 0 setosa, 1 versicolor, 2
/// virginica. Batches are {"input": [batch, 4] float32, "target": [batch] int64}; no file is read.
///
///     levin::IrisDataModule data({.batch_size = 16, .stratify = true});
///     levin::Trainer({.max_epochs = 100}).fit(model, data);
///
/// Source: doi:10.1111/j.1469-1809.1936.tb02137.x; datamodules/data/README.md has the licence.
class IrisDataModule : public ArrayDataModule {
 public:
  using Options = IrisDataModuleOptions;
  /// Doesn't check the options; `setup` and the loaders throw ConfigError for invalid ones.
  explicit IrisDataModule(IrisDataModuleOptions options = {});
  Value hyper_parameters() const override;

 private:
  IrisDataModuleOptions options_;
};

}  // namespace levin
