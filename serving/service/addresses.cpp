#include <levin/serving/service/addresses.h>

#include <algorithm>
#include <cstddef>
#include <optional>

#include <levin/serving/protocol/refusal.h>

namespace levin {
namespace {

constexpr size_t kLongestPath = 2048;

/// Takes the part of `path` before the first slash off it.
std::string_view take_segment(std::string_view& path) {
  const size_t slash = path.find('/');
  const std::string_view segment = path.substr(0, slash);
  path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  return segment;
}

int hexadecimal(char letter) {
  if (letter >= '0' && letter <= '9') return letter - '0';
  if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
  if (letter >= 'A' && letter <= 'F') return letter - 'A' + 10;
  return -1;
}

bool stands_for_itself(char c) {
  const auto code = static_cast<unsigned char>(c);
  return code >= 0x20 && code != 0x7f && c != '%';
}

std::string decoded_name(std::string_view segment) {
  if (std::all_of(segment.begin(), segment.end(), stands_for_itself)) return std::string(segment);
  std::string name;
  name.reserve(segment.size());
  for (size_t i = 0; i < segment.size(); ++i) {
    int code = static_cast<unsigned char>(segment[i]);
    if (code == '%') {
      const int high = i + 1 < segment.size() ? hexadecimal(segment[i + 1]) : -1;
      const int low = i + 2 < segment.size() ? hexadecimal(segment[i + 2]) : -1;
      if (high < 0 || low < 0) {
        throw Refusal::malformed(
            "a percent sign in the path isn't followed by two hexadecimal digits");
      }
      code = high * 16 + low;
      i += 2;
    }
    if (code < 0x20 || code == 0x7f || code == '/') {
      throw Refusal::malformed("a name in the path contains a slash or a control character");
    }
    name += static_cast<char>(code);
  }
  return name;
}

/// The address if `path` has the form of the route.
std::optional<ServiceAddress> matched(const ServiceRoute& route, std::string_view path) {
  ServiceAddress address{&route, {}, {}};
  std::string_view form = route.path.substr(1);
  std::string_view model;
  std::string_view version;
  while (!form.empty() && !path.empty()) {
    const std::string_view wanted = take_segment(form);
    const std::string_view segment = take_segment(path);
    if (wanted == "{model}") {
      model = segment;
    } else if (wanted == "{version}") {
      version = segment;
    } else if (wanted != segment) {
      return {};
    }
    if (segment.empty()) return {};
  }
  if (!form.empty() || !path.empty()) return {};
  address.model = decoded_name(model);
  address.version = decoded_name(version);
  return address;
}

}  // namespace

const std::vector<ServiceRoute>& service_routes() {
  using enum ServiceAction;
  // The busiest ones come first. A fixed name comes before a model of that name.
  static const std::vector<ServiceRoute> routes = {
      {"/v2/models/{model}/infer", infer, true},
      {"/v2/models/{model}/versions/{version}/infer", infer, true},
      {"/predict", predict, true},
      {"/models/{model}/predict", predict, true},
      {"/models/{model}/versions/{version}/predict", predict, true},
      {"/v2", server},
      {"/v2/health/live", live},
      {"/v2/health/ready", ready},
      {"/v2/models/stats", statistics},
      {"/v2/models/{model}", model},
      {"/v2/models/{model}/ready", model_ready},
      {"/v2/models/{model}/config", model_config},
      {"/v2/models/{model}/stats", model_statistics},
      {"/v2/models/{model}/versions/{version}", model},
      {"/v2/models/{model}/versions/{version}/ready", model_ready},
      {"/v2/models/{model}/versions/{version}/config", model_config},
      {"/v2/models/{model}/versions/{version}/stats", model_statistics},
      {"/v2/repository/index", index, true},
      {"/v2/repository/models/{model}/load", load, true},
      {"/v2/repository/models/{model}/unload", unload, true},
      {"/metrics", metrics},
      {"/openapi.json", openapi},
      {"/", page},
      {"/page.css", page_style},
      {"/page.js", page_script},
      {"/models", page_models},
  };
  return routes;
}

ServiceAddress find_address(std::string_view path) {
  if (path.size() > kLongestPath) throw Refusal(414, "the path is longer than 2048 bytes");
  if (path.empty() || path.front() != '/') throw Refusal::not_found("there is no such address");
  path.remove_prefix(1);
  if (!path.empty() && path.back() == '/') path.remove_suffix(1);
  for (const auto& route : service_routes()) {
    if (auto address = matched(route, path)) return *std::move(address);
  }
  throw Refusal::not_found("there is no such address; GET /openapi.json lists those there are");
}

}  // namespace levin
