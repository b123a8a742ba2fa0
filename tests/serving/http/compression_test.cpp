#include <levin/serving/http/compression.h>

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>

#include <levin/serving/http/http_server.h>
#include <levin/serving/protocol/refusal.h>

#include "serving/http/raw_client.h"

#include <zlib.h>

namespace levin::compression_test {
namespace {

using test::get_request;
using test::post_request;
using test::RawClient;

/// Packs with zlib; `window`: 31 gzip, 15 zlib, -15 without a frame.
std::string packed(const std::string& text, int window) {
  z_stream stream{};
  EXPECT_EQ(::deflateInit2(&stream, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string result(::deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  result.resize(stream.total_out);
  ::deflateEnd(&stream);
  return result;
}

/// The status of the Refusal, or 0.
int status_of(const std::string& encoding, const std::string& body, int64_t most) {
  try {
    decompress_body(encoding, body, most);
    return 0;
  } catch (const Refusal& refusal) {
    return refusal.status();
  }
}

std::string random_text(size_t size) {
  std::mt19937 random(5);
  std::string text(size, ' ');
  for (char& letter : text) letter = static_cast<char>('a' + random() % 26);
  return text;
}

TEST(Compression, UnpacksWhatZlibPacks) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{1000}, size_t{300'000}}) {
    const std::string text = random_text(size);
    const auto most = static_cast<int64_t>(size);
    EXPECT_TRUE(decompress_body("gzip", packed(text, 31), most) == text);
    EXPECT_TRUE(decompress_body(" X-GZip ", packed(text, 31), most) == text);
    EXPECT_TRUE(decompress_body("deflate", packed(text, 15), most) == text);
    EXPECT_TRUE(decompress_body("deflate", packed(text, -15), most) == text);
    EXPECT_TRUE(decompress_body("identity", text, most) == text);
    EXPECT_TRUE(decompress_body("gzip", gzip_body(text), most) == text);
    EXPECT_TRUE(decompress_body("gzip", packed(text, 31) + packed("more", 31), most + 4) ==
                text + "more");
  }
}

TEST(Compression, RefusesWhatIsDamagedIncompleteOrTooLarge) {
  const std::string text = random_text(5000);
  for (const int window : {31, 15, -15}) {
    const std::string encoding = window == 31 ? "gzip" : "deflate";
    const std::string body = packed(text, window);
    EXPECT_EQ(status_of(encoding, body, 5000), 0);
    EXPECT_EQ(status_of(encoding, body, 4999), 413);
    for (size_t size = 0; size < body.size(); size += 97) {
      EXPECT_EQ(status_of(encoding, body.substr(0, size), 5000), 400) << size;
    }
    EXPECT_EQ(status_of(encoding, body + "rest", 5000), 400);
  }
  std::string damaged = packed(text, 31);
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 0x55);
  EXPECT_EQ(status_of("gzip", damaged, 5000), 400);
  EXPECT_EQ(status_of("br", text, 5000), 415);
  EXPECT_EQ(status_of("gzip, gzip", text, 5000), 415);
}

TEST(Compression, KnowsWhatAClientAccepts) {
  for (const auto* const yes : {"gzip", "deflate, GZIP;q=0.5", "br,x-gzip", "gzip ; q=1"}) {
    EXPECT_TRUE(accepts_gzip(yes)) << yes;
  }
  for (const auto* const no : {"", "deflate", "gzip;q=0", "gzip; q=0.000", "gzipped", ",;,"}) {
    EXPECT_FALSE(accepts_gzip(no)) << no;
  }
}

TEST(Compression, TheServerUnpacksRequestsAndPacksLargeTexts) {
  HttpOptions options;
  options.port = 0;
  options.max_body = 100'000;
  HttpServer server(options, [](HttpRequest request, const HttpReply& reply) {
    HttpResponse response;
    response.content_type = request.query == "binary" ? "application/octet-stream" : "text/plain";
    response.headers.emplace_back("X-Encoding", header(request.headers, "Content-Encoding"));
    response.body = std::move(request.body);
    reply(std::move(response));
  });
  RawClient client(server.port());
  const std::string text = random_text(50'000);
  const std::string gzip = "Content-Encoding: gzip\r\n";
  const std::string accept = "Accept-Encoding: deflate, gzip\r\n";
  const auto plain = client.ask(post_request("/", packed(text, 31), gzip));
  EXPECT_TRUE(plain.body == text);
  EXPECT_EQ(plain["content-encoding"], "");
  EXPECT_EQ(plain["x-encoding"], "") << "the handler must not unpack once more";
  EXPECT_TRUE(
      client.ask(post_request("/", packed(text, 15), "Content-Encoding: deflate\r\n")).body ==
      text);
  const auto small = client.ask(post_request("/", "small", accept));
  EXPECT_EQ(small.body, "small");
  const auto packed_back = client.ask(post_request("/", text, accept));
  EXPECT_EQ(packed_back["content-encoding"], "gzip");
  EXPECT_LT(packed_back.body.size(), text.size());
  EXPECT_TRUE(decompress_body("gzip", packed_back.body, 50'000) == text);
  EXPECT_EQ(client.ask(post_request("/?binary", text, accept))["content-encoding"], "");

  // A bomb of 200 MB in 200 kB would be larger than max_body as it is; this one of 50 MB isn't.
  const std::string bomb = packed(std::string(50'000'000, '\0'), 31);
  ASSERT_LT(bomb.size(), 100'000u);
  EXPECT_EQ(client.ask(post_request("/", bomb, gzip)).status, 413);
  EXPECT_EQ(client.ask(post_request("/", "no gzip at all", gzip)).status, 400);
  EXPECT_EQ(client.ask(post_request("/", text, "Content-Encoding: br\r\n")).status, 415);
  EXPECT_TRUE(client.ask(post_request("/", packed(text, 31), gzip)).body == text)
      << "the connection goes on";
}

}  // namespace
}  // namespace levin::compression_test
