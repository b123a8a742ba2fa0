#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <levin/datamodules/readers/image.h>

// The decoders behind `decode_image`. Both libraries report errors by longjmp, which must pass over
// no object that has a destructor. All calls of a library are therefore made in functions without
// such objects, and memory is allocated and freed by their callers.
namespace levin::readers {

/// Decode a file that begins as one of the format does. They throw DataError::corrupt.
Image decode_png(std::span<const std::byte> bytes, std::string_view name);
Image decode_jpeg(std::span<const std::byte> bytes, std::string_view name);

/// Throws DataError::corrupt for an image of no or of more than kMostPixels pixels, and for one
/// that is larger than a file of `file_size` bytes can hold if a byte holds at most
/// `most_pixels_a_byte`.
void require_image_size(uint64_t height, uint64_t width, double most_pixels_a_byte,
                        size_t file_size, std::string_view name);

}  // namespace levin::readers
