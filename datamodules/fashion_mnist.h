#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/datamodules/image_set.h>
#include <levin/framework/core/options.h>

namespace levin {

/// Options of FashionMNISTDataModule: those of MNISTDataModuleOptions, with other places.
struct FashionMNISTDataModuleOptions {
  /// The folder of the four IDX files, plain or .gz: train-images-idx3-ubyte and so on, or
  /// train-images.idx3-ubyte. They are looked for in the folder itself and in its FashionMNIST/raw,
  /// where torchvision puts them; downloads go into the folder itself.
  std::string data_dir = "data/fashion_mnist";
  /// Downloads the files that are missing, from the first of `mirrors` that delivers them.
  bool download = true;
  std::vector<std::string> mirrors = {
      "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
      "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"};
  /// How many of the 60,000 training images to validate on: an int is their number, a float their
  /// share, rounded down.
  CountOrFraction val_split = 0.2;
  /// Images of a batch on each device.
  int64_t batch_size = 32;
  /// The seed of the split, which is the same on every machine. The order of batches depends on
  /// seed_everything instead.
  int64_t seed = 42;
  /// Puts the training images in another order in each epoch.
  bool shuffle = true;
  /// Maps pixels, which are from 0 to 1, to (pixel - mean) / std. The defaults are Bolts' and give
  /// -1 to 1; the training images themselves have mean 0.2860 and std 0.3530.
  bool normalize = false;
  double mean = 0.5;
  double std = 0.5;
  /// Makes images [784] instead of [1, 28, 28]; Levin's models flatten them anyway.
  bool flatten = false;
  /// The type of the images in memory: "uint8" takes a quarter of the memory and is converted when
  /// batches are made; "float32" is converted once. Batches are equal but for the last bit or two.
  std::string storage = "uint8";
  /// Leaves out a last training batch that isn't full.
  bool drop_last = false;
  /// Threads that prepare batches ahead.
  int64_t num_workers = 0;
  /// Puts batches into page-locked memory if there is a CUDA device.
  bool pin_memory = false;
  /// Standardises each pixel by its mean and deviation in the training images; pixels that are the
  /// same in all of them are only shifted. The images are float32 in memory then, whatever
  /// `storage` is. Checkpoints have both numbers: see ArrayDataModuleOptions::standardize.
  bool standardize = false;
  /// Chooses training rows in another way than `shuffle`: "stratified" gives each batch the classes
  /// in their shares; "balanced" draws with replacement, each class equally often.
  std::string sampling{};
  /// What changes whole batches, in this order: normalize, flatten, pad, random_crop,
  /// random_horizontal_flip, one_hot (transforms.h). Random ones change training batches alone.
  std::vector<NamedSettings> transforms{};
};

Fields describe(FashionMNISTDataModuleOptions& options);

/// 70,000 images of clothes, 28x28 pixels in grey, in 10 classes: 60,000 to train and validate on,
/// split by seed, and 10,000 to test on, which prediction goes over as well. Batches are {"input":
/// [batch, 1, 28, 28] float32 from 0 to 1, "target": [batch] int64}.
///
///     levin::FashionMNISTDataModule data({.batch_size = 128});
///     levin::Trainer({.max_epochs = 5}).fit(model, data);
///
/// Gzipped files must have the published SHA-256; of files that aren't, the numbers, sizes and
/// labels of images are checked. Bolts: FashionMNISTDataModule. Source: Xiao, Rasul, Vollgraf 2017,
/// arXiv:1708.07747; MIT.
class FashionMNISTDataModule : public ImageSetDataModule {
 public:
  using Options = FashionMNISTDataModuleOptions;
  /// Throws ConfigError for invalid options.
  explicit FashionMNISTDataModule(FashionMNISTDataModuleOptions options = {});

  /// "T-shirt/top" to "Ankle boot".
  std::vector<std::string> class_names() override;
  Value hyper_parameters() const override;
  int64_t num_classes() override { return 10; }

 private:
  FashionMNISTDataModuleOptions options_;
};

}  // namespace levin
