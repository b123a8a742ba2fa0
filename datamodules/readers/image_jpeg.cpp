#include <levin/datamodules/readers/image_formats.h>

#include <csetjmp>
#include <cstdio>
#include <limits>

#include <jpeglib.h>

#include <jerror.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

/// A progressive file with more scans is refused: each of them costs the time of a whole image.
constexpr int kMostScans = 200;
/// Bytes that libjpeg may take for the coefficients of a progressive file.
constexpr long kMostJpegMemory = 1L << 30;

/// What libjpeg works with. The destructor frees its memory, also after an error.
struct JpegDecoder {
  JpegDecoder() = default;
  ~JpegDecoder() { jpeg_destroy_decompress(&jpeg); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  jpeg_decompress_struct jpeg = {};
  jpeg_error_mgr errors = {};
  jpeg_progress_mgr progress = {};
  std::jmp_buf on_error = {};
  char message[JMSG_LENGTH_MAX] = "";
};

[[noreturn]] void jpeg_failed(j_common_ptr jpeg) {
  auto* const decoder = static_cast<JpegDecoder*>(jpeg->client_data);
  jpeg->err->format_message(jpeg, decoder->message);
  std::longjmp(decoder->on_error, 1);
}

/// Ends the decoding at a warning that pixels are missing or damaged.
void jpeg_warned(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  switch (jpeg->err->msg_code) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
      jpeg_failed(jpeg);
    default:
      return;
  }
}

void jpeg_printed(j_common_ptr /*jpeg*/) {}

void jpeg_advanced(j_common_ptr jpeg) {
  auto* const decoder = static_cast<JpegDecoder*>(jpeg->client_data);
  if (decoder->jpeg.input_scan_number <= kMostScans) return;
  std::snprintf(decoder->message, sizeof decoder->message, "it has more than %d scans", kMostScans);
  std::longjmp(decoder->on_error, 1);
}

/// Reads what comes before the pixels, and chooses their form. False after an error.
bool read_jpeg_header(JpegDecoder& decoder, const unsigned char* bytes,
                      unsigned long size) noexcept {
  auto& jpeg = decoder.jpeg;
  jpeg.err = jpeg_std_error(&decoder.errors);
  decoder.errors.error_exit = jpeg_failed;
  decoder.errors.emit_message = jpeg_warned;
  decoder.errors.output_message = jpeg_printed;
  jpeg.client_data = &decoder;
  if (setjmp(decoder.on_error) != 0) return false;
  jpeg_create_decompress(&decoder.jpeg);  // keeps err and client_data
  decoder.progress.progress_monitor = jpeg_advanced;
  decoder.jpeg.progress = &decoder.progress;
  decoder.jpeg.mem->max_memory_to_use = kMostJpegMemory;
  jpeg_mem_src(&decoder.jpeg, bytes, size);
  jpeg_read_header(&decoder.jpeg, TRUE);
  switch (decoder.jpeg.jpeg_color_space) {
    case JCS_GRAYSCALE:
      decoder.jpeg.out_color_space = JCS_GRAYSCALE;
      break;
    case JCS_CMYK:
    case JCS_YCCK:
      decoder.jpeg.out_color_space = JCS_CMYK;
      break;
    default:
      decoder.jpeg.out_color_space = JCS_RGB;
  }
  return true;
}

bool start_jpeg(JpegDecoder& decoder) noexcept {
  if (setjmp(decoder.on_error) != 0) return false;
  jpeg_start_decompress(&decoder.jpeg);
  return true;
}

bool read_jpeg_rows(JpegDecoder& decoder, unsigned char* pixels, size_t row_size) noexcept {
  if (setjmp(decoder.on_error) != 0) return false;
  while (decoder.jpeg.output_scanline < decoder.jpeg.output_height) {
    JSAMPROW row = pixels + row_size * decoder.jpeg.output_scanline;
    jpeg_read_scanlines(&decoder.jpeg, &row, 1);
  }
  jpeg_finish_decompress(&decoder.jpeg);
  return true;
}

/// a * b / 255, rounded.
unsigned scaled_byte(unsigned a, unsigned b) { return (a * b + 127) / 255; }

/// Makes [pixels, 3] colours of [pixels, 4] inverted CMYK.
Bytes rgb_of_cmyk(const Bytes& cmyk) {
  Bytes rgb(cmyk.size() / 4 * 3);
  for (size_t pixel = 0; pixel < cmyk.size() / 4; ++pixel) {
    const auto light = std::to_integer<unsigned>(cmyk[4 * pixel + 3]);
    for (size_t c = 0; c < 3; ++c) {
      const auto ink = 255 - std::to_integer<unsigned>(cmyk[4 * pixel + c]);
      rgb[3 * pixel + c] = static_cast<std::byte>(light - scaled_byte(ink, light));
    }
  }
  return rgb;
}

}  // namespace

Image decode_jpeg(std::span<const std::byte> bytes, std::string_view name) {
  JpegDecoder decoder;
  const auto require = [&](bool done) {
    if (!done) throw DataError::corrupt(name, decoder.message);
  };
  require(read_jpeg_header(decoder, reinterpret_cast<const unsigned char*>(bytes.data()),
                           static_cast<unsigned long>(bytes.size())));
  const auto& jpeg = decoder.jpeg;
  // A Huffman code has at least one bit, and there is at least one for each block of 64 pixels.
  const double most = jpeg.arith_code != 0 ? std::numeric_limits<double>::infinity() : 8.0 * 64;
  require_image_size(jpeg.image_height, jpeg.image_width, most, bytes.size(), name);
  require(start_jpeg(decoder));
  Image image{
      .height = jpeg.output_height, .width = jpeg.output_width, .channels = jpeg.output_components};
  const size_t row_size = static_cast<size_t>(image.width * image.channels);
  grow(image.pixels, row_size * static_cast<size_t>(image.height), name);
  require(read_jpeg_rows(decoder, reinterpret_cast<unsigned char*>(image.pixels.data()), row_size));
  if (image.channels == 4) {
    image.pixels = rgb_of_cmyk(image.pixels);
    image.channels = 3;
  }
  return image;
}

}  // namespace levin::readers
