#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/datamodules/image_files.h>
#include <levin/datamodules/split_datamodule.h>
#include <levin/datamodules/standardization.h>
#include <levin/framework/core/options.h>

namespace levin {

/// What a data module of images is made from, besides the options of its loaders. Data modules of
/// published sets have options of the same names.
struct ImageSetSettings {
  std::string data_dir{};
  bool download = true;
  std::vector<std::string> mirrors{};
  CountOrFraction val_split = 0.2;
  int64_t seed = 42;
  bool normalize = false;
  double mean = 0.0;
  double std = 1.0;
  bool flatten = false;
  /// "uint8" or "float32".
  std::string storage = "uint8";
  bool standardize = false;
  std::string sampling{};
  std::vector<NamedSettings> transforms{};
};

/// Throws ConfigError: mean or std is set, but normalize isn't.
[[noreturn]] void refuse_idle_pixels();

/// Copies the settings from the options of a data module, as far as it has them. Throws ConfigError
/// if mean or std is set without normalize.
template <class Options>
ImageSetSettings image_set_settings(const Options& o) {
  ImageSetSettings settings{.data_dir = o.data_dir,
                            .download = o.download,
                            .mirrors = o.mirrors,
                            .val_split = o.val_split,
                            .seed = o.seed,
                            .flatten = o.flatten,
                            .standardize = o.standardize,
                            .sampling = o.sampling,
                            .transforms = o.transforms};
  if constexpr (requires { o.normalize; }) {
    const bool is_set = o.mean != Options().mean || o.std != Options().std;
    if (is_set && !o.normalize) refuse_idle_pixels();
    settings.normalize = o.normalize;
    settings.mean = o.mean;
    settings.std = o.std;
    settings.storage = o.storage;
  }
  return settings;
}

/// Describes an option that data modules of images share: mirrors, val_split, batch_size, shuffle,
/// normalize, mean, std, storage or standardize. See shared_option for others.
Field image_option(const std::string& name, FieldPointer value);

/// The common part of data modules of published images: MNIST, FashionMNIST, CIFAR-10, CIFAR-100.
/// It has the images in memory as bytes, splits the training images by seed, and predicts for the
/// test images. Batches are {"input": [batch, channels, height, width] float32 from 0 to 1,
/// "target": [batch] int64}.
///
/// For a set of your own in one of the formats, derive from it:
///
///     struct Kuzushiji : levin::ImageSetDataModule {
///       Kuzushiji() : ImageSetDataModule({.key = "kuzushiji", .train_rows = 60000,
///           .shape = {1, 28, 28}, .files = std::make_shared<levin::IdxImageFiles>(...)},
///           {.data_dir = "data/kuzushiji"}, {.batch_size = 128, .shuffle = true}) {}
///       std::vector<std::string> class_names() override { return {"o", "ki", ...}; }
///     };
class ImageSetDataModule : public SplitDataModule {
 public:
  /// What is known of a set before its files are read.
  struct Description {
    /// The name of the set in checkpoints, such as "mnist".
    std::string key{};
    /// The number of training images.
    int64_t train_rows = 0;
    /// Channels, height and width of an image.
    std::vector<int64_t> shape{};
    std::shared_ptr<const ImageFiles> files{};
  };

  /// Downloads the missing files, with a progress bar on stderr, and continues an interrupted
  /// download. Throws DataError if no mirror delivers a file, or if one is missing and `download`
  /// is off.
  void prepare_data() override;
  /// Loads and splits. Throws DataError for a file that is missing, truncated or altered.
  void setup(Stage stage) override;
  /// The mean and std that the pixels are normalized by (0 and 1 if they aren't), under the key of
  /// the set; with `standardize` also what Standardization saves, and the statistics of transforms.
  StateDict fitted_state() override;
  /// Throws ConfigError if the model was trained on pixels that were normalized differently, or
  /// that weren't standardised although `standardize` is set, or with other transforms that have
  /// statistics.
  void load_fitted_state(const StateDict& state) override;
  /// Keeps the images as they are in the files from now on, beside standardised ones.
  void keep_what_is_read() override { keeps_images_ = true; }
  /// The shape of one image before transforms: [channels, height, width], or one number with
  /// `flatten`.
  std::vector<int64_t> dims() const;

 protected:
  /// Throws ConfigError for invalid settings.
  ImageSetDataModule(Description description, ImageSetSettings settings, DataLoaderOptions loader);
  const ImageSetSettings& settings() const { return settings_; }
  void learn_anew() override;

 private:
  int64_t val_rows() const;
  void check_settings() const;
  void setup_training();
  std::shared_ptr<const TensorDataset> load_set(bool is_test) const;
  std::shared_ptr<const TensorDataset> kept_or_loaded(bool is_test);
  std::shared_ptr<const Dataset> standardized(std::shared_ptr<const TensorDataset> set) const;

  Description set_;
  ImageSetSettings settings_;
  std::optional<Standardization> taken_;            // by load_fitted_state
  std::optional<Standardization> standardization_;  // of the data that were loaded
  bool keeps_images_ = false;
  std::shared_ptr<const TensorDataset> kept_train_;  // as they were loaded, if they are kept
  std::shared_ptr<const TensorDataset> kept_test_;
};

}  // namespace levin
