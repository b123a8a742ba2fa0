#include <levin/datamodules/readers/image.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/image_formats.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

constexpr unsigned char kPngStart[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr unsigned char kJpegStart[] = {0xff, 0xd8, 0xff};

bool begins_with(std::span<const std::byte> bytes, std::span<const unsigned char> start) {
  return bytes.size() >= start.size() &&
         std::equal(start.begin(), start.end(), bytes.begin(), [](unsigned char a, std::byte b) {
           return a == std::to_integer<unsigned char>(b);
         });
}

/// Weights are whole numbers: so many parts of 2^22, as in Pillow.
constexpr int kWeightBits = 22;

/// Which pixels of a line make each pixel of the resized line, and with which weights.
struct LineWeights {
  struct Sum {
    int64_t first = 0;  // the first pixel
    std::vector<int32_t> weights{};
  };
  std::vector<Sum> sums{};

  LineWeights(int64_t from, int64_t to) {
    const double scale = static_cast<double>(from) / static_cast<double>(to);
    const double radius = std::max(scale, 1.0);
    sums.reserve(static_cast<size_t>(to));
    std::vector<double> shares;
    // Reciprocals, because the last bit of a weight can decide which byte a sum is rounded to.
    for (int64_t i = 0; i < to; ++i) {
      const double center = (static_cast<double>(i) + 0.5) * scale;
      const auto first = std::max(static_cast<int64_t>(center - radius + 0.5), int64_t{0});
      const auto end = std::min(static_cast<int64_t>(center + radius + 0.5), from);
      shares.clear();
      double total = 0.0;
      for (int64_t pixel = first; pixel < end; ++pixel) {
        const double distance =
            std::abs(static_cast<double>(pixel) - center + 0.5) * (1.0 / radius);
        shares.push_back(std::max(1.0 - distance, 0.0));
        total += shares.back();
      }
      Sum sum{.first = first};
      for (const double share : shares) {
        sum.weights.push_back(static_cast<int32_t>(
            0.5 + share * (1.0 / total) * static_cast<double>(1 << kWeightBits)));
      }
      sums.push_back(std::move(sum));
    }
  }
};

/// Sums bytes that lie `stride` apart.
std::byte weighted_byte(const std::byte* from, size_t stride, const LineWeights::Sum& sum) {
  int32_t total = 1 << (kWeightBits - 1);
  for (const int32_t weight : sum.weights) {
    total += weight * std::to_integer<int32_t>(*from);
    from += stride;
  }
  return static_cast<std::byte>(std::clamp(total >> kWeightBits, 0, 255));
}

Image with_width(const Image& image, int64_t width) {
  const auto channels = static_cast<size_t>(image.channels);
  const auto old_row = static_cast<size_t>(image.width) * channels;
  Image out{.height = image.height, .width = width, .channels = image.channels};
  out.pixels.resize(static_cast<size_t>(image.height * width) * channels);
  const LineWeights line(image.width, width);
  auto* to = out.pixels.data();
  for (size_t y = 0; y < static_cast<size_t>(image.height); ++y) {
    const std::byte* const row = image.pixels.data() + y * old_row;
    for (const auto& sum : line.sums) {
      const std::byte* const from = row + static_cast<size_t>(sum.first) * channels;
      for (size_t c = 0; c < channels; ++c) *to++ = weighted_byte(from + c, channels, sum);
    }
  }
  return out;
}

Image with_height(const Image& image, int64_t height) {
  const auto row = static_cast<size_t>(image.width * image.channels);
  Image out{.height = height, .width = image.width, .channels = image.channels};
  out.pixels.resize(static_cast<size_t>(height) * row);
  const LineWeights line(image.height, height);
  auto* to = out.pixels.data();
  for (const auto& sum : line.sums) {
    const std::byte* const from = image.pixels.data() + static_cast<size_t>(sum.first) * row;
    for (size_t x = 0; x < row; ++x) *to++ = weighted_byte(from + x, row, sum);
  }
  return out;
}

}  // namespace

void require_image_size(uint64_t height, uint64_t width, double most_pixels_a_byte,
                        size_t file_size, std::string_view name) {
  if (height == 0 || width == 0) throw DataError::corrupt(name, "it has no pixels");
  if (height > static_cast<uint64_t>(kMostPixels) / width) {
    throw DataError::corrupt(name, fmt::format("its header says {}x{} pixels (width x height), but "
                                               "at most {} pixels are read; make it smaller",
                                               width, height, kMostPixels));
  }
  const double pixels = static_cast<double>(height) * static_cast<double>(width);
  if (pixels > most_pixels_a_byte * static_cast<double>(file_size)) {
    throw DataError::corrupt(
        name, fmt::format("its header says {}x{} pixels (width x height), which a file of {} bytes "
                          "can't hold",
                          width, height, file_size));
  }
}

Image decode_image(std::span<const std::byte> bytes, std::string_view name) {
  if (bytes.empty()) throw DataError::corrupt(name, "it is empty");
  if (begins_with(bytes, kPngStart)) return decode_png(bytes, name);
  if (begins_with(bytes, kJpegStart)) return decode_jpeg(bytes, name);
  throw DataError::corrupt(name, "it begins neither as a PNG nor as a JPEG file does");
}

Image read_image(const std::filesystem::path& path) {
  return decode_image(read_file(path), path.string());
}

Image with_channels(Image image, int64_t channels) {
  if (image.channels == channels) return image;
  const auto pixels = static_cast<size_t>(image.height * image.width);
  Bytes out(pixels * static_cast<size_t>(channels));
  const auto value = [&](size_t i) { return std::to_integer<uint32_t>(image.pixels[i]); };
  for (size_t i = 0; i < pixels; ++i) {
    if (channels == 1) {  // the weights of Pillow, in parts of 2^16
      out[i] = static_cast<std::byte>(
          (19595 * value(3 * i) + 38470 * value(3 * i + 1) + 7471 * value(3 * i + 2) + 0x8000) >>
          16);
    } else {
      std::fill_n(out.begin() + static_cast<std::ptrdiff_t>(3 * i), 3, image.pixels[i]);
    }
  }
  image.pixels = std::move(out);
  image.channels = channels;
  return image;
}

Image resized(Image image, int64_t height, int64_t width) {
  if (image.width != width) image = with_width(image, width);
  if (image.height != height) image = with_height(image, height);
  return image;
}

}  // namespace levin::readers
