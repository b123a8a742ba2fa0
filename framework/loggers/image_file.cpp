#include <levin/framework/loggers/image_file.h>

#include <cstdint>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/error.h>
#include <levin/framework/formats/png.h>

namespace levin {

events::Image image_file(std::string_view tag, const at::Tensor& image) {
  const bool is_bytes = image.defined() && image.scalar_type() == at::kByte;
  const bool has_shape = image.defined() && image.dim() == 3 && image.numel() > 0 &&
                         (image.size(0) == 1 || image.size(0) == 3 || image.size(0) == 4);
  if (!has_shape || (!is_bytes && !image.is_floating_point())) {
    const std::string found =
        image.defined() ? fmt::format("a tensor [{}] of {}", fmt::join(image.sizes(), ", "),
                                      c10::toString(image.scalar_type()))
                        : "an undefined tensor";
    throw ModuleError::contract("log_image", fmt::format("got {} as '{}'", found, tag),
                                "it takes [channels, height, width] with 1, 3 or 4 channels, of "
                                "uint8, or of floats from 0 to 1");
  }
  at::Tensor pixels = image.detach().cpu();
  if (!is_bytes) {
    pixels = pixels.to(at::kFloat).nan_to_num(0.0).clamp(0.0, 1.0).mul(255.0).round();
  }
  pixels = pixels.to(at::kByte).permute({1, 2, 0}).contiguous();
  events::Image result;
  result.height = static_cast<uint32_t>(pixels.size(0));
  result.width = static_cast<uint32_t>(pixels.size(1));
  result.channels = static_cast<uint32_t>(pixels.size(2));
  result.png = png_image({pixels.const_data_ptr<uint8_t>(), static_cast<size_t>(pixels.numel())},
                         result.width, result.height, result.channels);
  return result;
}

}  // namespace levin
