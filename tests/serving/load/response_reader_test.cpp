#include <levin/serving/load/response_reader.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <levin/framework/core/error.h>

namespace levin::response_reader_test {

using Responses = std::vector<std::string>;  // "STATUS closes? BODY"

std::string written(const ResponseReader::Response& response, const std::string& body) {
  return std::to_string(response.status) + (response.closes ? " closes " : " ") + body;
}

/// Reads `text` in pieces of `size` bytes, and then the end of the connection.
Responses read_in_pieces(const std::string& text, size_t size) {
  ResponseReader reader(true);
  Responses seen;
  for (size_t at = 0; at < text.size(); at += size) {
    std::string_view piece = std::string_view(text).substr(at, size);
    while (!piece.empty()) {
      if (const auto response = reader.take(piece)) {
        seen.push_back(written(*response, reader.body()));
      }
    }
  }
  if (const auto last = reader.end()) seen.push_back(written(*last, reader.body()));
  return seen;
}

TEST(ResponseReader, finds_every_response_however_its_bytes_come) {
  const std::string text =
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello"
      "HTTP/1.1 100 Continue\r\n\r\n"
      "HTTP/1.1 204 No Content\r\n\r\n"
      "HTTP/1.1 503 Busy\r\ncontent-length:0\r\nRetry-After: 3\r\nConnection: close\r\n\r\n"
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
      "5;name=value\r\nhello\r\n00c\r\n to the\r\nall\r\n0\r\nTrailer: 1\r\n\r\n"
      "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx"
      "HTTP/1.0 200 OK\r\n\r\nuntil the end";
  const Responses expected = {"200 hello",   "204 ",
                              "503 closes ", "200 hello to the\r\nall",
                              "200 x",       "200 closes until the end"};
  for (size_t size = 1; size <= text.size(); size += size < 20 ? 1 : 37) {
    ASSERT_EQ(read_in_pieces(text, size), expected) << "pieces of " << size;
  }
}

TEST(ResponseReader, knows_retry_after) {
  ResponseReader reader;
  std::string_view bytes = "HTTP/1.1 429 No\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}rest";
  const auto response = reader.take(bytes);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 429);
  EXPECT_EQ(response->retry_after, 7);
  EXPECT_EQ(bytes, "rest");
  EXPECT_FALSE(reader.is_within());
}

TEST(ResponseReader, refuses_what_is_not_http) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"SSH-2.0-OpenSSH_9.2 Debian\r\n\r\n", "it begins with 'SSH-2.0"},
      {"HTTP/1.1 abc Reason\r\n\r\n", "the status is 'abc'"},
      {"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "Content-Length is 'many'"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the size of a chunk"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n", "longer than its size"},
      {"HTTP/1.1 200 OK\r\nX: " + std::string(200000, 'x'), "its head doesn't end"},
  };
  for (const auto& [text, part] : cases) {
    try {
      read_in_pieces(text, 1000);
      ADD_FAILURE() << "nothing was thrown: " << part;
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }
}

}  // namespace levin::response_reader_test
