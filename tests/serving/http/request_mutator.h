#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace levin::test {

/// Damages valid requests in the ways that a broken or hostile client would. The same seed gives
/// the same requests.
///
///     RequestMutator mutator(7, {get_request("/"), post_request("/predict", rows)});
///     client.send(mutator.next());
///
/// What comes out is malformed most of the time, but not always: an answer may also be the one that
/// the request deserves. It is never right to answer with a 5xx, or to end.
class RequestMutator {
 public:
  RequestMutator(uint32_t seed, std::vector<std::string> valid)
      : random_(seed), valid_(std::move(valid)) {}

  std::string next() {
    std::string request = pick(valid_);
    for (size_t times = 1 + below(3); times > 0; --times) damage(request);
    return request;
  }

 private:
  size_t below(size_t bound) { return static_cast<size_t>(random_() % bound); }

  const std::string& pick(const std::vector<std::string>& among) {
    return among[below(among.size())];
  }

  std::string junk(size_t most) {
    std::string bytes(1 + below(most), '\0');
    for (char& byte : bytes) byte = static_cast<char>(below(256));
    return bytes;
  }

  /// The begin of a line of the header, or the request line.
  size_t line_begin(const std::string& request) {
    std::vector<size_t> begins = {0};
    const size_t end = request.find("\r\n\r\n");
    for (size_t at = request.find("\r\n"); at < end; at = request.find("\r\n", at + 2)) {
      begins.push_back(at + 2);
    }
    return begins[below(begins.size())];
  }

  void insert_header(std::string& request, const std::string& line) {
    const size_t first = request.find("\r\n");
    if (first < request.size()) request.insert(first + 2, line + "\r\n");
  }

  void damage(std::string& request) {
    static const std::vector<std::string> kHeaders = {"Content-Length: -1",
                                                      "Content-Length: 99999999999999999999999",
                                                      "Content-Length: 0x10",
                                                      "Content-Length: 5, 6",
                                                      "Content-Length: +3",
                                                      "Content-Length:",
                                                      "Content-Length: 3",
                                                      "Content-Length : 3",
                                                      "Transfer-Encoding: chunked",
                                                      "Transfer-Encoding: gzip, chunked",
                                                      "Transfer-Encoding: chunked, identity",
                                                      "Transfer-Encoding: \vchunked",
                                                      "Transfer-Encoding: xchunked",
                                                      "Transfer-Encoding : chunked",
                                                      "Host: other",
                                                      "Host:",
                                                      "Content-Encoding: gzip",
                                                      "Content-Encoding: deflate",
                                                      "Content-Encoding: br",
                                                      "Expect: 100-continue",
                                                      "Expect: nothing",
                                                      "Connection: close, \x01",
                                                      "Inference-Header-Content-Length: 99999999",
                                                      "Inference-Header-Content-Length: -5",
                                                      "Content-Type: application/json; charset=\"",
                                                      "Accept-Encoding: gzip;q=x,,,",
                                                      " folded: line",
                                                      "no colon at all",
                                                      ": without a name",
                                                      "X-Injected: a\rSet-Cookie: b",
                                                      "X-Injected: a\nSet-Cookie: b",
                                                      std::string("X-Zero: a\0b", 11),
                                                      "Upgrade: h2c"};
    static const std::vector<std::string> kLines = {"",
                                                    " ",
                                                    "GET",
                                                    "GET /",
                                                    "GET / HTTP/2.0",
                                                    "GET / HTTP/1.9",
                                                    "GET / http/1.1",
                                                    "GET  / HTTP/1.1",
                                                    "GET / / HTTP/1.1",
                                                    "GET\t/ HTTP/1.1",
                                                    "G\x01T / HTTP/1.1",
                                                    "GET http:// HTTP/1.1",
                                                    "GET relative HTTP/1.1",
                                                    "CONNECT host:80 HTTP/1.1",
                                                    "PRI * HTTP/2.0",
                                                    "\x16\x03\x01\x02",
                                                    "GET /%00%ff%zz/../../etc/passwd HTTP/1.1",
                                                    "DELETE / HTTP/1.1",
                                                    "TRACE / HTTP/1.1",
                                                    "OPTIONS * HTTP/1.1"};
    static const std::vector<std::string> kChunks = {"ffffffffffffffff\r\n",
                                                     "10000000000000000\r\n",
                                                     "-1\r\nx\r\n",
                                                     "zz\r\n",
                                                     "0\r\n",
                                                     "5\r\nabc\r\n0\r\n\r\n",
                                                     "3\r\nabcd\r\n0\r\n\r\n",
                                                     "3;x=\"\r\nabc\r\n",
                                                     "\r\n\r\n",
                                                     "3\nabc\n0\n\n",
                                                     "0\r\nContent-Length: 4\r\n\r\n"};
    switch (below(12)) {
      case 0:  // truncated
        request.resize(below(request.size() + 1));
        break;
      case 1:  // a byte is another
        if (!request.empty()) request[below(request.size())] = static_cast<char>(below(256));
        break;
      case 2:  // bytes are missing
        if (!request.empty()) request.erase(below(request.size()), 1 + below(20));
        break;
      case 3:  // junk in the midst
        request.insert(below(request.size() + 1), junk(50));
        break;
      case 4:  // a line comes twice
      {
        const size_t begin = line_begin(request);
        const size_t end = request.find("\r\n", begin);
        if (end < request.size()) request.insert(begin, request.substr(begin, end + 2 - begin));
        break;
      }
      case 5:  // a header that is wrong, or contradicts another
      case 6:
        insert_header(request, pick(kHeaders));
        break;
      case 7:  // another request line
      {
        const size_t end = request.find("\r\n");
        if (end < request.size()) request.replace(0, end, pick(kLines));
        break;
      }
      case 8:  // a wrong length
      {
        const size_t digits = request.find("Content-Length: ");
        if (digits < request.size()) {
          const size_t end = request.find("\r\n", digits);
          request.replace(digits + 16, end < request.size() ? end - digits - 16 : 0,
                          std::to_string(below(200)));
        }
        break;
      }
      case 9:  // chunks that aren't
      {
        const size_t body = request.find("\r\n\r\n");
        if (body < request.size()) request.resize(body + 4);
        if (below(2) == 0) insert_header(request, "Transfer-Encoding: chunked");
        request += pick(kChunks);
        break;
      }
      case 10:  // a body of junk
      {
        const size_t body = request.find("\r\n\r\n");
        if (body < request.size()) {
          for (size_t i = body + 4; i < request.size(); ++i) {
            request[i] = static_cast<char>(below(256));
          }
        }
        break;
      }
      default:  // other ends of lines
        for (size_t at = request.find("\r\n"); at < request.size(); at = request.find("\r\n", at)) {
          request.replace(at, 2, below(2) == 0 ? "\n" : "\r");
        }
    }
  }

  std::mt19937 random_;
  std::vector<std::string> valid_;
};

}  // namespace levin::test
