#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace levin {

/// What a service does at an address.
enum class ServiceAction : uint8_t {
  infer,
  predict,
  server,
  live,
  ready,
  model,
  model_ready,
  model_config,
  model_statistics,
  statistics,
  index,
  load,
  unload,
  metrics,
  openapi,
  page,
  page_style,
  page_script,
  page_models,
};

/// An address of a service: its path, in which {model} and {version} stand for names, and whether
/// it takes POST; otherwise it takes GET and HEAD.
struct ServiceRoute {
  std::string_view path;
  ServiceAction action;
  bool takes_post = false;
};

/// Returns all addresses of a service.
const std::vector<ServiceRoute>& service_routes();

/// The address of a request, with the names in it decoded; `version` is empty if the path has none.
struct ServiceAddress {
  const ServiceRoute* route = nullptr;
  std::string model{};
  std::string version{};
};

/// Finds the address that a path means: the path of a request, as sent, without the query. One
/// slash at its end doesn't count. Throws Refusal: 404 if there is no such address, 414 for more
/// than 2048 bytes, and 400 if percent signs aren't followed by two hexadecimal digits, or a name
/// contains a slash or control characters.
ServiceAddress find_address(std::string_view path);

}  // namespace levin
