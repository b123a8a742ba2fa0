#include <levin/datamodules/readers/image_formats.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <vector>

#include <png.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

/// What libpng works with. The destructor frees its memory, also after an error.
struct PngDecoder {
  explicit PngDecoder(std::span<const std::byte> file) : bytes(file) {}
  ~PngDecoder() { png_destroy_read_struct(&png, &info, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  std::span<const std::byte> bytes;
  size_t position = 0;
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::jmp_buf on_error = {};
  char message[160] = "libpng has no memory";
};

[[noreturn]] void png_failed(png_structp png, png_const_charp message) {
  auto* const decoder = static_cast<PngDecoder*>(png_get_error_ptr(png));
  std::snprintf(decoder->message, sizeof decoder->message, "%s", message);
  std::longjmp(decoder->on_error, 1);
}

void png_warned(png_structp /*png*/, png_const_charp /*message*/) {}

void png_read_bytes(png_structp png, png_bytep to, size_t size) {
  auto* const decoder = static_cast<PngDecoder*>(png_get_io_ptr(png));
  if (size > decoder->bytes.size() - decoder->position) png_error(png, "the file is truncated");
  std::memcpy(to, decoder->bytes.data() + decoder->position, size);
  decoder->position += size;
}

/// Reads what comes before the pixels, and asks for 8 bits and no alpha. False after an error.
bool read_png_header(PngDecoder& decoder) noexcept {
  if (setjmp(decoder.on_error) != 0) return false;
  decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, png_failed, png_warned);
  if (decoder.png == nullptr) return false;
  decoder.info = png_create_info_struct(decoder.png);
  if (decoder.info == nullptr) return false;
  png_set_read_fn(decoder.png, &decoder, png_read_bytes);
  png_read_info(decoder.png, decoder.info);
  return true;
}

bool choose_png_conversions(PngDecoder& decoder) noexcept {
  if (setjmp(decoder.on_error) != 0) return false;
  png_set_palette_to_rgb(decoder.png);
  png_set_expand_gray_1_2_4_to_8(decoder.png);
  png_set_strip_16(decoder.png);
  png_set_strip_alpha(decoder.png);
  png_set_interlace_handling(decoder.png);
  png_read_update_info(decoder.png, decoder.info);
  return true;
}

bool read_png_rows(PngDecoder& decoder, png_bytepp rows) noexcept {
  if (setjmp(decoder.on_error) != 0) return false;
  png_read_image(decoder.png, rows);
  png_read_end(decoder.png, nullptr);
  return true;
}

}  // namespace

Image decode_png(std::span<const std::byte> bytes, std::string_view name) {
  PngDecoder decoder(bytes);
  const auto require = [&](bool done) {
    if (!done) throw DataError::corrupt(name, decoder.message);
  };
  require(read_png_header(decoder));
  const auto height = png_get_image_height(decoder.png, decoder.info);
  const auto width = png_get_image_width(decoder.png, decoder.info);
  const int bits =
      png_get_bit_depth(decoder.png, decoder.info) * png_get_channels(decoder.png, decoder.info);
  // Deflate makes at most 1032 bytes of one.
  require_image_size(height, width, 1032.0 * 8 / bits, bytes.size(), name);

  const bool is_palette = png_get_color_type(decoder.png, decoder.info) == PNG_COLOR_TYPE_PALETTE;
  if (is_palette && png_get_valid(decoder.png, decoder.info, PNG_INFO_PLTE) == 0) {
    throw DataError::corrupt(name, "it has no palette, which its pixels are numbers of");
  }
  require(choose_png_conversions(decoder));
  Image image{
      .height = height, .width = width, .channels = png_get_channels(decoder.png, decoder.info)};
  const size_t row_size = png_get_rowbytes(decoder.png, decoder.info);
  if (row_size != static_cast<size_t>(image.width * image.channels)) {
    throw DataError::corrupt(name, "libpng can't convert its pixels to 8 bits");
  }
  grow(image.pixels, row_size * height, name);
  std::vector<png_bytep> rows;
  rows.reserve(height);
  for (size_t y = 0; y < height; ++y) {
    rows.push_back(reinterpret_cast<png_bytep>(image.pixels.data() + y * row_size));
  }
  require(read_png_rows(decoder, rows.data()));
  return image;
}

}  // namespace levin::readers
