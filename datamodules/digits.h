#pragma once

#include <cstdint>
#include <string>

#include <levin/datamodules/array.h>

namespace levin {

/// Options of DigitsDataModule. All but `scale` mean the same as those of ArrayDataModuleOptions,
/// with the same defaults; there are none for files, because the data is part of the library.
struct DigitsDataModuleOptions {
  /// Rows of a batch on each device.
  int64_t batch_size = 32;
  /// The shares of the 1,797 rows to validate and to test on; 0 for no such set.
  double val_split = 0.1;
  double test_split = 0.1;
  /// Shuffles the rows before they are split, and the training rows again in each epoch.
  bool shuffle = true;
  /// Splits so that every digit has its share of each set.
  bool stratify = false;
  /// The seed of the split, which is the same on every machine.
  int64_t seed = 42;
  /// Divides the pixels by 16, so that they are from 0 to 1 instead of from 0 to 16.
  bool scale = true;
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

Fields describe(DigitsDataModuleOptions& options);

/// Handwritten digits, which are part of the library: 1,797 images of 8x8 pixels, each a row of 64
/// numbers, in the classes 0 to 9. Batches are {"input": [batch, 64] float32, "target": [batch]
/// int64}; no file is read. Larger images are in MNISTDataModule.
///
///     levin::DigitsDataModule data({.batch_size = 64});
///     levin::Trainer({.max_epochs = 20}).fit(model, data);
///
/// Source: doi:10.24432/C50P49; datamodules/data/README.md has the licence.
class DigitsDataModule : public ArrayDataModule {
 public:
  using Options = DigitsDataModuleOptions;
  /// Doesn't check the options; `setup` and the loaders throw ConfigError for invalid ones.
  explicit DigitsDataModule(DigitsDataModuleOptions options = {});
  Value hyper_parameters() const override;
  /// Adds `scale` to that of ArrayDataModule, as "digits".
  StateDict fitted_state() override;
  /// Throws ConfigError if the model was trained with another `scale`.
  void load_fitted_state(const StateDict& state) override;

 private:
  DigitsDataModuleOptions options_;
};

}  // namespace levin
