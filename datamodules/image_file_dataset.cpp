#include <levin/datamodules/image_file_dataset.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>
#include <tuple>
#include <utility>

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <levin/datamodules/readers/image.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/rows.h>
#include <levin/framework/tensor/buffer.h>

namespace levin {
namespace {

/// [height, width, channels] becomes [channels, height, width].
void put_channels_first(const readers::Image& image, std::span<std::byte> to) {
  const auto channels = static_cast<size_t>(image.channels);
  const auto pixels = static_cast<size_t>(image.height * image.width);
  for (size_t c = 0; c < channels; ++c) {
    const std::byte* from = image.pixels.data() + c;
    for (size_t i = 0; i < pixels; ++i) to[c * pixels + i] = from[i * channels];
  }
}

std::span<std::byte> bytes_of_image(const torch::Tensor& images, int64_t row,
                                    const ImageShape& shape) {
  auto* const all = static_cast<std::byte*>(images.mutable_data_ptr());
  return {all + row * shape.bytes(), static_cast<size_t>(shape.bytes())};
}

}  // namespace

void read_image_into(const std::filesystem::path& path, const ImageShape& shape,
                     std::span<std::byte> to) {
  auto image = readers::with_channels(readers::read_image(path), shape.channels);
  if (shape.resizes) {
    image = readers::resized(std::move(image), shape.height, shape.width);
  } else if (image.height != shape.height || image.width != shape.width) {
    throw DataError::bad_value(
        "the size of the image", fmt::format("{}x{} (width x height)", image.width, image.height),
        path.string(),
        fmt::format("the images before it have {}x{}; set image_size, so that all are resized",
                    shape.width, shape.height));
  }
  put_channels_first(image, to);
}

torch::Tensor read_images(const std::vector<std::filesystem::path>& files, const ImageShape& shape,
                          int64_t threads) {
  const auto images = empty_in_huge_pages(
      {static_cast<int64_t>(files.size()), shape.channels, shape.height, shape.width}, at::kByte);
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  size_t failed = files.size();  // the first file that can't be read
  std::exception_ptr failure;
  const auto read = [&] {
    // A file before the one that failed may be in the hands of another thread, which goes on.
    for (size_t i = next++; i < files.size(); i = next++) {
      try {
        read_image_into(files[i], shape, bytes_of_image(images, static_cast<int64_t>(i), shape));
      } catch (...) {
        const std::lock_guard lock(mutex);
        next = files.size();
        if (i < failed) std::tie(failed, failure) = std::pair(i, std::current_exception());
      }
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (int64_t i = 1; i < threads; ++i) helpers.emplace_back(read);
    read();
  }
  if (failure) std::rethrow_exception(failure);
  return images;
}

ImageFileDataset::ImageFileDataset(readers::ImageTree tree, ImageShape shape)
    : tree_(std::move(tree)), shape_(shape) {}

void ImageFileDataset::get_batch(std::span<const int64_t> rows, Batch& out) const {
  require_rows_in_range(rows, *size());
  const auto count = static_cast<int64_t>(rows.size());
  const auto images = at::empty({count, shape_.channels, shape_.height, shape_.width}, at::kByte);
  for (int64_t i = 0; i < count; ++i) {
    const auto row = static_cast<size_t>(rows[static_cast<size_t>(i)]);
    read_image_into(tree_.files[row], shape_, bytes_of_image(images, i, shape_));
  }
  auto& entries = out.entries();
  const bool has_labels = !tree_.labels.empty();
  entries.resize(has_labels ? 2 : 1);
  entries[0].first = "input";
  std::vector<int64_t> all(rows.size());
  std::iota(all.begin(), all.end(), int64_t{0});
  Rows(images, ByteScale{}).gather(all, entries[0].second);
  if (!has_labels) return;
  entries[1].first = "target";
  auto* const to = entries[1].second.allocate(count, {}, at::kLong).mutable_data_ptr<int64_t>();
  for (size_t i = 0; i < rows.size(); ++i) to[i] = tree_.labels[static_cast<size_t>(rows[i])];
}

}  // namespace levin
