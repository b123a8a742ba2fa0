#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace levin {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

/// Whether two texts are equal but for capital and small letters of ASCII, as the names of headers
/// are compared.
bool equals_ignoring_case(std::string_view a, std::string_view b);

/// Returns the value of a header, whose name may be in capital or small letters; "" if it isn't
/// there.
std::string_view header(const HttpHeaders& headers, std::string_view name);

/// A request as the handler gets it: whole, within the server's limits, its body decompressed, in
/// which case the headers Content-Encoding and Content-Length are gone.
struct HttpRequest {
  /// "GET", "POST" ... HEAD comes as GET; the server leaves the body of the answer away.
  std::string method{};
  /// The path without the query, as sent: percent signs aren't decoded.
  std::string path{};
  /// What follows the question mark, "" if nothing does.
  std::string query{};
  HttpHeaders headers{};
  std::string body{};
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  /// Besides Content-Type, Content-Length, Connection and Date, which the server writes.
  HttpHeaders headers{};
  std::string body{};
};

/// Sends the response. Called exactly once for each request, from any thread; after the connection
/// has ended, it does nothing. If all copies go without a call, the answer has status 500.
using HttpReply = std::function<void(HttpResponse)>;
/// Answers requests: calls `reply`, now or later, from any thread. It runs on the server's threads
/// and must not block. A Refusal that it throws is answered with its status; anything else with
/// status 500.
using HttpHandler = std::function<void(HttpRequest request, HttpReply reply)>;

}  // namespace levin
