#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/data/datamodule.h>

namespace levin {

/// Bolts' names.
struct MNISTDataModuleOptions {
  /// The folder of the four IDX files, plain or .gz; downloads go there.
  std::string data_dir = "data/mnist";
  /// Obtain the files that aren't there, from the first of `mirrors` that delivers.
  bool download = true;
  std::vector<std::string> mirrors = {"https://ossci-datasets.s3.amazonaws.com/mnist/",
                                      "https://storage.googleapis.com/cvdf-datasets/mnist/"};
  /// Validation images of the 60,000: an int counts, a float is a share, rounded down.
  CountOrFraction val_split = 0.2;
  /// Rows a step.
  int64_t batch_size = 32;
  /// Of the split: the same sets on every machine. The order of batches follows seed_everything.
  int64_t seed = 42;
  /// The training images in another order in each epoch.
  bool shuffle = true;
  /// Map pixels (which are from 0 to 1) to (pixel - mean) / std: with Bolts' numbers to -1 to 1.
  /// Those of the training images are mean 0.1307, std 0.3081.
  bool normalize = false;
  double mean = 0.5;
  double std = 0.5;
  /// Images as [784] instead of [1, 28, 28]; Levin's models flatten them anyway.
  bool flatten = false;
  /// What images are kept as: "uint8", a quarter of the memory, converted when batches are made, or
  /// "float32". Batches are the same, to the last bit or two.
  std::string storage = "uint8";
  /// Leave out a last training batch that isn't full.
  bool drop_last = false;
  /// Threads that prepare batches ahead.
  int64_t num_workers = 0;
  /// Page-locked batches, where a CUDA device is there.
  bool pin_memory = false;
};

Fields describe(MNISTDataModuleOptions& options);

/// 70,000 handwritten digits of 28x28 pixels: 60,000 to train and validate on, split by seed, and
/// 10,000 to test on, which prediction goes over as well. Batches are {"input": [batch, 1, 28, 28]
/// float32 from 0 to 1, "target": [batch] int64}.
///
/// The uncompressed bytes of every file must have the published SHA-256, wherever they came from.
/// Bolts: MNISTDataModule. Source: LeCun, Cortes, Burges; CC BY-SA 3.0.
class MNISTDataModule : public DataModule {
 public:
  using Options = MNISTDataModuleOptions;
  /// Throws ConfigError for options that can't be.
  explicit MNISTDataModule(MNISTDataModuleOptions options = {});

  /// Downloads what is missing, with a progress bar on stderr; goes on with what an interrupted
  /// download left. Throws DataError where no mirror delivers, or where a file is missing and
  /// `download` is off.
  void prepare_data() override;
  /// Loads and splits. Throws DataError for a file that is missing, truncated or altered.
  void setup(Stage stage) override;
  DataLoaders train_dataloader() override;
  DataLoaders val_dataloader() override;
  DataLoaders test_dataloader() override;
  DataLoaders predict_dataloader() override;
  /// "0" to "9".
  std::vector<std::string> class_names() override;
  Value hyper_parameters() const override;

  /// The shape of one image: {1, 28, 28}, or {784} where flattened.
  std::vector<int64_t> dims() const;
  int64_t num_classes() const { return 10; }

 private:
  DataLoaders loader(const std::shared_ptr<const Dataset>& dataset, bool is_train) const;

  MNISTDataModuleOptions options_;
  std::shared_ptr<const Dataset> train_set_;
  std::shared_ptr<const Dataset> val_set_;
  std::shared_ptr<const Dataset> test_set_;
};

}  // namespace levin
