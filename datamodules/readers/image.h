#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include <levin/datamodules/readers/array.h>

namespace levin::readers {

/// A decoded image: a byte for each channel of each pixel.
struct Image {
  int64_t height = 0;
  int64_t width = 0;
  /// 1 for grey values; 3 for red, green and blue.
  int64_t channels = 0;
  /// [height, width, channels].
  Bytes pixels{};
};

/// An image with more pixels than this is refused, so that a small hostile file can't take all
/// memory. Pillow refuses images from a third more on.
inline constexpr int64_t kMostPixels = int64_t{1} << 27;

/// Decodes a PNG or a JPEG file, which its first bytes tell apart. `name` is what errors call it.
///
///     const Image photo = resized(with_channels(decode_image(bytes, "a.jpg"), 3), 224, 224);
///
/// Grey images get one channel, all others three. Palettes and fewer than 8 bits are expanded, of
/// 16 bits the upper 8 are kept, an alpha channel is left out, and CMYK is taken as Adobe's
/// (inverted) and converted, all as Pillow's `Image.convert` does. The one difference: Pillow makes
/// most 16-bit grey values white. Colour profiles, gamma and the orientation in EXIF are ignored.
///
/// Throws DataError::corrupt for any other format, for a truncated or damaged file, for one that
/// claims more pixels than its bytes can hold, and for more than kMostPixels pixels.
Image decode_image(std::span<const std::byte> bytes, std::string_view name);
/// Does the same with a file. Throws what read_file throws, too.
Image read_image(const std::filesystem::path& path);

/// Returns the image with 1 or 3 channels: grey values are repeated, and colours become the
/// luminance of ITU-R 601, 0.299 red + 0.587 green + 0.114 blue. Pillow: Image.convert.
Image with_channels(Image image, int64_t channels);

/// Returns the image in another size, which must not be 0. Each pixel is the mean of the pixels
/// around its place with weights that fall off linearly, over at least as many pixels as it stands
/// for (bilinear, with antialias). The width is changed first. Bytes are those of Pillow:
/// Image.resize(BILINEAR), and of torchvision: Resize((height, width)) of a PIL image; up to one
/// grey level if Pillow changes the height first, as version 13 does for some sizes.
Image resized(Image image, int64_t height, int64_t width);

}  // namespace levin::readers
