#pragma once

#include <string_view>

#include <ATen/core/Tensor.h>

#include <levin/framework/formats/tensorboard_events.h>

namespace levin {

/// Returns an image, as Logger::log_image takes it, as a PNG file with its sizes. Floats are
/// clamped to 0 to 1, and NaN is 0. Throws ModuleError, which names `tag`, for another shape or
/// type.
events::Image image_file(std::string_view tag, const at::Tensor& image);

}  // namespace levin
