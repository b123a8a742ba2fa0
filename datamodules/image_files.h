#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Images and their classes, as the files hold them.
struct LabelledImages {
  /// uint8 [rows, channels, height, width].
  torch::Tensor pixels;
  /// int64 [rows].
  torch::Tensor labels;
};

/// The files of a published set of images: where they are looked for, how they are downloaded,
/// verified and read. ImageSetDataModule is made from one. Objects don't change, so that several
/// data modules may share one.
class ImageFiles {
 public:
  virtual ~ImageFiles() = default;
  /// Downloads the files that `folder` lacks, from the first of `mirrors` that delivers them, or
  /// throws DataError, which names the first that is missing, if `download` is false.
  virtual void obtain(const std::filesystem::path& folder, const std::vector<std::string>& mirrors,
                      bool download) const = 0;
  /// Reads the training images or the test images. Throws DataError for a file that is missing,
  /// truncated or altered.
  virtual LabelledImages load(const std::filesystem::path& folder, bool is_test) const = 0;
};

/// A file of IDX format, MNIST's, which may be gzipped.
struct IdxImageFile {
  /// Its name without .gz.
  std::string name{};
  /// The SHA-256 of the uncompressed bytes, which are the same on every mirror; empty if it isn't
  /// published. Then only `archive_sha256` is looked at.
  std::string sha256{};
  /// The SHA-256 of the gzipped file; empty if the mirrors have different ones. A file that isn't
  /// gzipped is checked by its header and size alone if `sha256` is empty.
  std::string archive_sha256{};
};

/// Four IDX files: images and labels to train on, and images and labels to test on. They are looked
/// for in the folder itself and in `torchvision_folder` under it, also by the names with a dot
/// before "idx" (train-images.idx3-ubyte) that other archives use.
class IdxImageFiles : public ImageFiles {
 public:
  /// `title` is what errors call the set, such as "MNIST".
  IdxImageFiles(std::string title, std::filesystem::path torchvision_folder,
                IdxImageFile train_images, IdxImageFile train_labels, IdxImageFile test_images,
                IdxImageFile test_labels)
      : title_(std::move(title)),
        torchvision_folder_(std::move(torchvision_folder)),
        files_{std::move(train_images), std::move(train_labels), std::move(test_images),
               std::move(test_labels)} {}
  void obtain(const std::filesystem::path& folder, const std::vector<std::string>& mirrors,
              bool download) const override;
  LabelledImages load(const std::filesystem::path& folder, bool is_test) const override;

 private:
  std::string title_;
  std::filesystem::path torchvision_folder_;  // relative to the folder that is searched
  std::vector<IdxImageFile> files_;
};

/// A file of a set in CIFAR's binary format.
struct CifarFile {
  std::string name{};
  std::string sha256{};
};

/// What is known of a set in CIFAR's binary format, whose files are in one .tar.gz archive.
struct CifarDescription {
  /// What errors call the set, such as "CIFAR-10".
  std::string title{};
  /// The archive's name and SHA-256, and the folder that it has its files in.
  std::string archive{};
  std::string archive_sha256{};
  std::string folder{};
  std::vector<CifarFile> train{};
  std::vector<CifarFile> test{};
  /// The bytes before the pixels of an image, which are the numbers of its classes, and which of
  /// them is taken.
  int64_t label_bytes = 1;
  int64_t label_index = 0;
  /// Labels must be below it.
  int64_t num_classes = 10;
};

/// Images of 3x32x32 pixels in CIFAR's binary format: for each image the numbers of its classes and
/// 3,072 bytes, red, green and blue. The files are read from `folder` of the description, from the
/// folder that contains it, or else from the archive, which is not unpacked on disk. Every file
/// must have its SHA-256. Source: https://www.cs.toronto.edu/~kriz/cifar.html, "Binary version".
class CifarFiles : public ImageFiles {
 public:
  explicit CifarFiles(CifarDescription description) : set_(std::move(description)) {}
  void obtain(const std::filesystem::path& folder, const std::vector<std::string>& mirrors,
              bool download) const override;
  LabelledImages load(const std::filesystem::path& folder, bool is_test) const override;

 private:
  CifarDescription set_;
};

}  // namespace levin
