#pragma once

#include <string>

#include <levin/serving/http/http_message.h>
#include <levin/serving/protocol/refusal.h>

namespace levin {

/// The response {"error": text} for a request that isn't answered, with Retry-After if the refusal
/// says when to try again.
HttpResponse error_response(const Refusal& refusal);

/// What belongs to a response besides itself.
struct ResponseFraming {
  bool keep_alive = true;
  /// Whether a client of HTTP/1.0 must be told that the connection stays open.
  bool say_keep_alive = false;
};

/// Writes the status line and all headers, with Content-Length, into `text`, whose memory is used
/// again. Characters that would end a header are left out.
void write_response_header(std::string& text, const HttpResponse& response,
                           const ResponseFraming& framing);

}  // namespace levin
