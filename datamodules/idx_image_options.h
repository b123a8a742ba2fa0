#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/datamodules/image_set.h>
#include <levin/framework/core/options.h>

namespace levin {

/// Options of data modules of 70,000 images in MNIST's format, with Lightning Bolts' names. `Set`
/// says what differs from set to set: its name, where its files are and where they come from.
///
///     struct MNISTFiles {
///       static constexpr const char* kName = "MNIST";
///       static constexpr const char* kFolder = "data/mnist";
///       static std::vector<std::string> mirrors();
///     };
///     using MNISTDataModuleOptions = IdxImageOptions<MNISTFiles>;
template <class Set>
struct IdxImageOptions {
  /// The folder of the four IDX files, plain or .gz: train-images-idx3-ubyte and so on, or
  /// train-images.idx3-ubyte. They are looked for in the folder itself and in its MNIST/raw, or
  /// FashionMNIST/raw, where torchvision puts them; downloads go into the folder itself.
  std::string data_dir = Set::kFolder;
  /// Downloads the files that are missing, from the first of `mirrors` that delivers them.
  bool download = true;
  std::vector<std::string> mirrors = Set::mirrors();
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
  /// -1 to 1; the training images of MNIST have mean 0.1307 and std 0.3081, those of FashionMNIST
  /// 0.2860 and 0.3530.
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

template <class Set>
Fields describe(IdxImageOptions<Set>& o) {
  return fields_of<IdxImageOptions<Set>>({
      {"data_dir", &o.data_dir,
       std::string("folder of ") + Set::kName + "'s four files, plain or .gz"},
      {"download", &o.download, "download the files that are missing"},
      image_option("mirrors", &o.mirrors),
      image_option("val_split", &o.val_split),
      image_option("batch_size", &o.batch_size),
      shared_option("seed", &o.seed),
      image_option("shuffle", &o.shuffle),
      image_option("normalize", &o.normalize),
      image_option("mean", &o.mean),
      image_option("std", &o.std),
      {"flatten", &o.flatten, "images as [784] instead of [1, 28, 28]"},
      image_option("storage", &o.storage),
      shared_option("drop_last", &o.drop_last),
      shared_option("num_workers", &o.num_workers),
      shared_option("pin_memory", &o.pin_memory),
      image_option("standardize", &o.standardize),
      shared_option("sampling", &o.sampling),
      shared_option("transforms", &o.transforms),
  });
}

}  // namespace levin
