#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/datamodules/image_file_dataset.h>
#include <levin/datamodules/row_split.h>
#include <levin/datamodules/split_datamodule.h>
#include <levin/framework/core/options.h>
#include <levin/framework/data/row_keys.h>

namespace levin {

/// Options of ImageFolderDataModule.
struct ImageFolderDataModuleOptions {
  /// The folder with the folders train, and perhaps val, test and predict; or else with a folder of
  /// images for each class, of which val_split and test_split are set apart.
  std::string data_dir{};
  /// A folder of images without classes to predict; by default `predict` in data_dir, or data_dir
  /// itself if it has images and no classes, or else the test images.
  std::string predict_dir{};
  /// Height and width that images are resized to, or one number for both. By default they must have
  /// one size already, that of the first image.
  std::vector<int64_t> image_size{};
  /// 3 for colours, 1 for grey values. Images of the other kind are converted.
  int64_t channels = 3;
  /// The shares of the training images to validate and to test on. They don't count if there is a
  /// folder val, or test.
  double val_split = 0.1;
  double test_split = 0.0;
  /// Splits so that every class has its share of each set.
  bool stratify = false;
  /// The seed of the split, which is the same on every machine. The order of batches depends on
  /// seed_everything instead.
  int64_t seed = 42;
  /// Images of a batch on each device.
  int64_t batch_size = 32;
  /// Puts the training images in another order in each epoch.
  bool shuffle = true;
  /// Leaves out a last training batch that isn't full.
  bool drop_last = false;
  /// Threads that prepare batches ahead, and that decode images for the cache.
  int64_t num_workers = 0;
  /// Puts batches into page-locked memory if there is a CUDA device.
  bool pin_memory = false;
  /// MiB of memory for decoded images in each process. A set (of training, validation ...) that
  /// fits is decoded once and kept as bytes; images of one that doesn't are decoded each time that
  /// they are read. 0 keeps none. Batches are the same either way.
  int64_t cache_mb = 2048;
  /// Chooses training rows in another way than `shuffle`: "stratified" gives each batch the classes
  /// in their shares; "balanced" draws with replacement, each class equally often.
  std::string sampling{};
  /// What changes whole batches, in this order: normalize, flatten, pad, random_crop,
  /// random_horizontal_flip, one_hot (transforms.h). Random ones change training batches alone.
  std::vector<NamedSettings> transforms{};
};

Fields describe(ImageFolderDataModuleOptions& options);

/// PNG and JPEG files in folders, a folder for each class:
///
///     photos/train/cat/1.jpg   photos/val/cat/7.jpg   photos/test/cat/9.png
///     photos/train/dog/2.jpg   photos/val/dog/8.jpg   photos/test/dog/10.png
///
///     levin::ImageFolderDataModule data({.data_dir = "photos", .image_size = {64}});
///     levin::Trainer({.max_epochs = 5}).fit(model, data);
///
/// Classes are the sorted names of the folders in train, and those of val and test must be among
/// them. Images may lie at any depth of a class's folder, in files that end in .png, .jpg or .jpeg;
/// others are passed over. Batches are {"input": [batch, channels, height, width] float32 from 0 to
/// 1, "target": [batch] int64}. How files are decoded and resized says readers/image.h: as Pillow
/// does it, and so torchvision's ImageFolder with Resize((height, width)). Orientations in EXIF are
/// ignored, as there. A damaged file ends the run with its name.
///
/// Checkpoints have the classes, the channels and the size, with which a trained model is
/// validated, tested and asked for predictions. `levin predict` writes the names of the files.
class ImageFolderDataModule : public SplitDataModule, public HasRowKeys {
 public:
  using Options = ImageFolderDataModuleOptions;
  /// Throws ConfigError for invalid options.
  explicit ImageFolderDataModule(ImageFolderDataModuleOptions options);

  /// Lists the files that the stage needs, and decodes them if they fit into the cache. Throws
  /// DataError for a folder that is missing or has no images, for a class that training didn't
  /// have, and for a file that can't be decoded or has another size, by name.
  void setup(Stage stage) override;
  std::vector<std::string> class_names() override { return classes_.value_or(Names{}); }
  StateDict fitted_state() override;
  /// Throws ConfigError if the model was trained on images of other channels or another size.
  void load_fitted_state(const StateDict& state) override;
  Value hyper_parameters() const override;
  /// The paths of the files to predict, below the folder that they were looked for in, as "file".
  RowKeys prediction_keys() override;

 protected:
  void adapt_loader(const Dataset& set, bool is_train, DataLoaderOptions& loader) const override;

 private:
  using Names = std::vector<std::string>;
  void check_options() const;
  bool has_folder(const char* name) const;
  bool has_sets() const;
  RowSplit row_split() const;
  const readers::ImageTree& training();
  const Split& split();
  void set_up_prediction();
  void make_held_out(std::shared_ptr<const Dataset>& set, const char* name, Stage stage);
  readers::ImageTree listed(const std::filesystem::path& folder);
  void find_shape(const std::filesystem::path& first_file);
  std::shared_ptr<const Dataset> dataset(readers::ImageTree tree);
  void reset();

  ImageFolderDataModuleOptions options_;
  std::filesystem::path root_;
  std::optional<Names> taken_classes_;     // by load_fitted_state
  std::optional<ImageShape> taken_shape_;  // likewise
  Value trained_split_;                    // likewise
  std::optional<Names> classes_;           // of the data that were listed
  std::optional<ImageShape> shape_;        // likewise
  std::optional<readers::ImageTree> training_;
  std::optional<Split> split_;
  std::vector<int64_t> train_labels_;
  std::vector<std::filesystem::path> test_files_;
  std::vector<std::string> predicted_;
  int64_t cached_bytes_ = 0;
  bool split_is_noted_ = false;
};

}  // namespace levin
