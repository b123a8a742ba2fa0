#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace levin {

/// Returns an image as a PNG file of 8 bits a channel. `pixels` are rows from the top, each of
/// `width` pixels from the left, each of `channels` bytes: 1 (grey), 3 (RGB) or 4 (RGBA). Its size
/// has to be `width` * `height` * `channels`, and neither may be 0.
///
/// Source: ISO/IEC 15948, https://www.w3.org/TR/png.
std::string png_image(std::span<const uint8_t> pixels, uint32_t width, uint32_t height,
                      uint32_t channels);

}  // namespace levin
