#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include <levin/serving/http/compression.h>
#include <levin/serving/http/http_server.h>

#include "serving/http/raw_client.h"
#include "serving/http/request_mutator.h"

namespace levin::http_fuzz_test {
namespace {

using test::get_request;
using test::post_request;
using test::RawClient;
using test::RequestMutator;

HttpOptions small_server() {
  HttpOptions options;
  options.port = 0;
  options.max_header = 2000;
  options.max_body = 20'000;
  return options;
}

void echo(HttpRequest request, const HttpReply& reply) {
  HttpResponse response;
  response.content_type = "text/plain";
  response.headers.emplace_back("X-Path", request.path);
  response.headers.emplace_back("X-Injected", header(request.headers, "X-Injected"));
  response.body = std::move(request.body);
  reply(std::move(response));
}

TEST(HttpFuzz, TenThousandMalformedRequestsHarmNobody) {
  HttpServer server(small_server(), echo);
  const std::string text = "{\"inputs\": [{\"name\": \"x\", \"shape\": [1, 2], \"data\": [1, 2]}]}";
  const std::string chunked =
      "POST /c HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\nabcd\r\n0\r\n\r\n";
  RequestMutator mutator(
      1, {get_request("/v2/health/ready?x=1", "Accept: */*\r\n"),
          post_request("/v2/models/m/infer", text, "Content-Type: application/json\r\n"),
          post_request("/z", gzip_body(text), "Content-Encoding: gzip\r\n"), chunked,
          "GET /old HTTP/1.0\r\n\r\n"});
  RawClient valid(server.port());
  std::array<int, 600> answers = {};
  for (int i = 0; i < 10'000; ++i) {
    const std::string request = mutator.next();
    {
      RawClient client(server.port());
      client.send(request);
      client.shut_down_sending();
      // A request of which a part is missing gets no answer, one followed by others gets several.
      for (auto response = client.response(request.starts_with("HEAD")); response.status != 0;
           response = client.response()) {
        ASSERT_TRUE(response.status == 100 || response.status == 200 ||
                    (response.status >= 400 && response.status < 500))
            << response.head << "for: " << testing::PrintToString(request);
        ASSERT_EQ(header(response.headers, "Set-Cookie"), "") << response.head;
        ++answers[static_cast<size_t>(response.status)];
      }
      if (i % 5 != 0) continue;
    }
    const std::string body = "valid " + std::to_string(i);
    const auto right = valid.ask(post_request("/valid", body));
    ASSERT_EQ(right.status, 200);
    ASSERT_EQ(right.body, body);
  }
  // The mutator does reach the server's rules.
  EXPECT_GT(answers[400], 3000);
  EXPECT_GT(answers[413], 10);
  EXPECT_GT(answers[415], 10);
  EXPECT_GT(answers[417], 10);
}

TEST(HttpFuzz, RequestsThatTwoServersWouldReadDifferentlyAreRefused) {
  HttpServer server(small_server(), echo);
  const std::string hidden = get_request("/hidden");
  const auto post = [&](const std::string& headers) {
    return "POST / HTTP/1.1\r\nHost: t\r\n" + headers + "\r\n\r\n0\r\n\r\n" + hidden;
  };
  for (const std::string& request :
       {post("Content-Length: 5\r\nTransfer-Encoding: chunked"),
        post("Transfer-Encoding: chunked\r\nContent-Length: 5"),
        post("Content-Length: 5\r\nContent-Length: 0"), post("Content-Length: 5, 0"),
        post("Content-Length: +5"), post("Content-Length: 5x"), post("Content-Length: 0x5"),
        post("Content-Length : 5"), post("Transfer-Encoding: identity"),
        post("Transfer-Encoding: gzip, chunked"), post("Transfer-Encoding: chunked, chunked"),
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        post("Transfer-Encoding : chunked"), post("Transfer-Encoding: \vchunked"),
        post("X: y\nTransfer-Encoding: chunked"), post("X: y\rTransfer-Encoding: chunked"),
        std::string("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") + hidden,
        std::string("GET / HTTP/1.1\r\n\r\n") + hidden,
        std::string("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n") + hidden}) {
    RawClient client(server.port());
    const auto response = client.ask(request);
    EXPECT_EQ(response.status, 400) << request;
    EXPECT_EQ(response["x-path"], "");
    EXPECT_TRUE(client.ended()) << "what follows isn't a request: " << request;
  }
}

}  // namespace
}  // namespace levin::http_fuzz_test
