#pragma once

#include <string>

namespace levin {

/// The OpenAPI 3.0 description of a server's addresses, a JSON document: paths, bodies, answers and
/// errors. A bearer token is named as a way to authorise, which a server may ask for.
std::string openapi_json();

}  // namespace levin
