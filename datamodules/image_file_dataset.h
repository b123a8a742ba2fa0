#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include <levin/datamodules/readers/image_tree.h>
#include <levin/framework/data/dataset.h>
#include <levin/framework/data/source_files.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// The size that images are brought to.
struct ImageShape {
  /// 1 or 3; see readers::with_channels.
  int64_t channels = 3;
  int64_t height = 0;
  int64_t width = 0;
  /// Whether images of another height or width are resized; else they are refused.
  bool resizes = false;

  /// The bytes of one image.
  int64_t bytes() const { return channels * height * width; }
};

/// Reads an image as bytes into `to`, [channels, height, width]. Throws DataError, which names the
/// file, if it is damaged or has another size and isn't to be resized.
void read_image_into(const std::filesystem::path& path, const ImageShape& shape,
                     std::span<std::byte> to);

/// Reads all files into one tensor, uint8 [files, channels, height, width], on `threads` threads.
/// Throws what read_image_into throws for the first file that can't be read.
torch::Tensor read_images(const std::vector<std::filesystem::path>& files, const ImageShape& shape,
                          int64_t threads);

/// Images in files, each decoded anew whenever it is read: on the workers of a loader, or else on
/// the thread that trains. Batches are {"input": [batch, channels, height, width] float32 from 0 to
/// 1, "target": [batch] int64}, without "target" if the tree has no classes; they have the same
/// bits as those of a TensorDataset of `read_images` with the scale 1 / 255.
///
///     const auto tree = levin::readers::list_image_classes("photos");
///     auto photos = std::make_shared<levin::ImageFileDataset>(
///         tree, levin::ImageShape{.height = 224, .width = 224, .resizes = true});
///     levin::DataLoader loader(photos, {.batch_size = 64, .shuffle = true, .num_workers = 4});
class ImageFileDataset : public Dataset, public HasSourceFiles {
 public:
  ImageFileDataset(readers::ImageTree tree, ImageShape shape);
  std::optional<int64_t> size() const override { return static_cast<int64_t>(tree_.files.size()); }
  /// Throws DataError for a number that isn't in [0, size), and what read_image_into throws.
  void get_batch(std::span<const int64_t> rows, Batch& out) const override;
  std::vector<std::filesystem::path> source_files() const override { return tree_.files; }

 private:
  readers::ImageTree tree_;
  ImageShape shape_;
};

}  // namespace levin
