#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/datamodules/image_set.h>
#include <levin/framework/core/options.h>

namespace levin {

/// Options of CIFAR10DataModule, with Lightning Bolts' names.
struct CIFAR10DataModuleOptions {
  /// The folder of cifar-10-binary.tar.gz or of the files in it.
  std::string data_dir = "data/cifar10";
  /// Downloads the archive if it is missing, from the first of `mirrors` that delivers it.
  bool download = true;
  std::vector<std::string> mirrors = {"https://www.cs.toronto.edu/~kriz/"};
  /// How many of the 50,000 training images to validate on: an int is their number, a float their
  /// share, rounded down.
  CountOrFraction val_split = 0.2;
  /// Images of a batch on each device.
  int64_t batch_size = 32;
  /// The seed of the split, which is the same on every machine. The order of batches depends on
  /// seed_everything instead.
  int64_t seed = 42;
  /// Puts the training images in another order in each epoch.
  bool shuffle = true;
  /// Makes images [3072] instead of [3, 32, 32]; Levin's models flatten them anyway.
  bool flatten = false;
  /// Leaves out a last training batch that isn't full.
  bool drop_last = false;
  /// Threads that prepare batches ahead.
  int64_t num_workers = 0;
  /// Puts batches into page-locked memory if there is a CUDA device.
  bool pin_memory = false;
  /// Standardises each pixel by its mean and deviation in the training images. The images are
  /// float32 in memory then. Checkpoints have both numbers: see
  /// ArrayDataModuleOptions::standardize.
  bool standardize = false;
  /// Chooses training rows in another way than `shuffle`: "stratified" gives each batch the classes
  /// in their shares; "balanced" draws with replacement, each class equally often.
  std::string sampling{};
  /// What changes whole batches, in this order: normalize, flatten, pad, random_crop,
  /// random_horizontal_flip, one_hot (transforms.h). Random ones change training batches alone.
  std::vector<NamedSettings> transforms{};
};

Fields describe(CIFAR10DataModuleOptions& options);

/// 60,000 coloured images of 32x32 pixels in 10 classes: 50,000 to train and validate on, split by
/// seed, and 10,000 to test on, which prediction goes over as well. Batches are {"input": [batch,
/// 3, 32, 32] float32 from 0 to 1, "target": [batch] int64}; in memory the images are bytes.
///
///     levin::CIFAR10DataModule data({.data_dir = "data/cifar10", .batch_size = 128});
///     levin::Trainer({.max_epochs = 5}).fit(model, data);
///
/// The files are those of the "binary version", read from the archive or unpacked, and must have
/// the published SHA-256. Bolts: CIFAR10DataModule. Source: Krizhevsky 2009, Learning Multiple
/// Layers of Features from Tiny Images.
class CIFAR10DataModule : public ImageSetDataModule {
 public:
  using Options = CIFAR10DataModuleOptions;
  /// Throws ConfigError for invalid options.
  explicit CIFAR10DataModule(CIFAR10DataModuleOptions options = {});

  /// "airplane" to "truck".
  std::vector<std::string> class_names() override;
  Value hyper_parameters() const override;
  int64_t num_classes() override { return 10; }

 private:
  CIFAR10DataModuleOptions options_;
};

/// Options of CIFAR100DataModule, with Lightning Bolts' names.
struct CIFAR100DataModuleOptions {
  /// The folder of cifar-100-binary.tar.gz or of the files in it.
  std::string data_dir = "data/cifar100";
  /// Downloads the archive if it is missing, from the first of `mirrors` that delivers it.
  bool download = true;
  std::vector<std::string> mirrors = {"https://www.cs.toronto.edu/~kriz/"};
  /// How many of the 50,000 training images to validate on: an int is their number, a float their
  /// share, rounded down.
  CountOrFraction val_split = 0.2;
  /// Images of a batch on each device.
  int64_t batch_size = 32;
  /// The seed of the split, which is the same on every machine. The order of batches depends on
  /// seed_everything instead.
  int64_t seed = 42;
  /// Puts the training images in another order in each epoch.
  bool shuffle = true;
  /// Makes images [3072] instead of [3, 32, 32]; Levin's models flatten them anyway.
  bool flatten = false;
  /// Numbers the images by their 20 superclasses instead of the 100 classes.
  bool coarse_labels = false;
  /// Leaves out a last training batch that isn't full.
  bool drop_last = false;
  /// Threads that prepare batches ahead.
  int64_t num_workers = 0;
  /// Puts batches into page-locked memory if there is a CUDA device.
  bool pin_memory = false;
  /// Standardises each pixel by its mean and deviation in the training images. The images are
  /// float32 in memory then. Checkpoints have both numbers: see
  /// ArrayDataModuleOptions::standardize.
  bool standardize = false;
  /// Chooses training rows in another way than `shuffle`: "stratified" gives each batch the classes
  /// in their shares; "balanced" draws with replacement, each class equally often.
  std::string sampling{};
  /// What changes whole batches, in this order: normalize, flatten, pad, random_crop,
  /// random_horizontal_flip, one_hot (transforms.h). Random ones change training batches alone.
  std::vector<NamedSettings> transforms{};
};

Fields describe(CIFAR100DataModuleOptions& options);

/// The same as CIFAR10DataModule with 600 images of each of 100 classes, or of 20 superclasses.
///
///     levin::CIFAR100DataModule data({.batch_size = 128, .coarse_labels = true});
class CIFAR100DataModule : public ImageSetDataModule {
 public:
  using Options = CIFAR100DataModuleOptions;
  /// Throws ConfigError for invalid options.
  explicit CIFAR100DataModule(CIFAR100DataModuleOptions options = {});

  /// "apple" to "worm", or "aquatic_mammals" to "vehicles_2".
  std::vector<std::string> class_names() override;
  Value hyper_parameters() const override;
  int64_t num_classes() override { return options_.coarse_labels ? 20 : 100; }

 private:
  CIFAR100DataModuleOptions options_;
};

}  // namespace levin
