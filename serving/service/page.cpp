#include <levin/serving/service/page.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>

#include <nlohmann/json.hpp>

namespace levin {
namespace data {

// cmake/embed.cmake makes these of the files in page/.
std::string_view service_page();
std::string_view service_page_style();
std::string_view service_page_script();

}  // namespace data

namespace {

using nlohmann::json;

constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct ImageSize {
  int64_t width = 0;
  int64_t height = 0;
  int64_t channels = 1;
};

/// The size of the images that an input of shape [rows, ...] holds, if they have one or three
/// channels and a fixed size.
std::optional<ImageSize> image_size(const std::vector<int64_t>& shape) {
  ImageSize size;
  if (shape.size() == 2) {  // flat, and square
    size.width = size.height = std::llround(std::sqrt(static_cast<double>(shape[1])));
    if (size.width * size.height != shape[1]) return {};
  } else if (shape.size() == 3) {
    size = {shape[2], shape[1], 1};
  } else if (shape.size() == 4) {
    size = {shape[3], shape[2], shape[1]};
  } else {
    return {};
  }
  const bool is_drawable = size.width > 0 && size.height > 0 && size.width <= 1024 &&
                           size.height <= 1024 && (size.channels == 1 || size.channels == 3);
  if (!is_drawable) return {};
  return size;
}

bool is_integer(WireType type) {
  return type != WireType::fp16 && type != WireType::bf16 && type != WireType::fp32 &&
         type != WireType::fp64;
}

json page_model(const ModelMetadata& model) {
  json entry = {{"name", model.name},
                {"version", model.version},
                {"kind", model.kind == InputKind::table ? "table" : "numbers"},
                {"class_names", model.class_names},
                {"columns", model.columns},
                {"features", 0}};
  if (model.inputs.empty()) return entry;
  const TensorMetadata& input = model.inputs.front();
  int64_t features = 1;
  for (size_t i = 1; i < input.shape.size(); ++i) {
    features = input.shape[i] < 0 ? 0 : features * input.shape[i];
  }
  entry["features"] = features;
  if (model.kind != InputKind::image) return entry;
  if (const auto size = image_size(input.shape)) {
    entry["kind"] = "image";
    entry["image"] = {{"width", size->width},
                      {"height", size->height},
                      {"channels", size->channels},
                      {"scale", is_integer(input.type) ? 1.0 : 1.0 / 255.0}};
  }
  return entry;
}

}  // namespace

HttpResponse page_file(ServiceAction action) {
  HttpResponse response;
  response.headers = {{"Content-Security-Policy", std::string(kPolicy)},
                      {"X-Content-Type-Options", "nosniff"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Cache-Control", "no-cache"}};
  if (action == ServiceAction::page_style) {
    response.content_type = "text/css; charset=utf-8";
    response.body = data::service_page_style();
  } else if (action == ServiceAction::page_script) {
    response.content_type = "text/javascript; charset=utf-8";
    response.body = data::service_page_script();
  } else {
    response.content_type = "text/html; charset=utf-8";
    response.body = data::service_page();
  }
  return response;
}

std::string page_models(const std::vector<ModelMetadata>& models) {
  json list = json::array();
  for (const auto& each : models) list.push_back(page_model(each));
  // Names that aren't UTF-8 are shown with replacement characters.
  return json{{"models", std::move(list)}}.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace levin
