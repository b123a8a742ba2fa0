// An assertion in basic_parser of Boost 1.74 doesn't hold for a last chunk that comes byte by byte,
// although the code behind it does the right thing.
#define BOOST_DISABLE_ASSERTS

#include <levin/serving/http/http_parser.h>

#include <algorithm>
#include <optional>

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>

#include <levin/framework/core/small_letters.h>
#include <levin/serving/protocol/refusal.h>

namespace levin {
namespace {

namespace http = boost::beast::http;
using BeastView = boost::beast::string_view;
using BeastError = boost::beast::error_code;

std::string small_letters(BeastView text) { return to_small_letters({text.data(), text.size()}); }

Refusal parse_refusal(const BeastError& error) {
  if (error == http::error::header_limit) {
    return {431, "the headers of the request are larger than the server takes"};
  }
  if (error == http::error::body_limit) {
    return Refusal::too_large("the body of the request is larger than the server takes");
  }
  if (error == http::error::bad_content_length || error == http::error::bad_transfer_encoding) {
    return Refusal::malformed(
        "the length of the body is unclear: give either one Content-Length or 'Transfer-Encoding: "
        "chunked'");
  }
  return Refusal::malformed("the request breaks the rules of HTTP/1.1");
}

}  // namespace

/// What a request is besides its HttpRequest.
struct HttpParsedRequest {
  HttpRequest request{};
  std::string expect{};
  int version = 11;
  int hosts = 0;
  bool head = false;
  bool in_trailer = false;
};

class HttpBeastParser final : public http::basic_parser<true> {
 public:
  explicit HttpBeastParser(HttpParsedRequest& parsed) : parsed_(parsed) {}

 private:
  void on_request_impl(http::verb method, BeastView name, BeastView target, int version,
                       BeastError& error) override {
    parsed_.version = version;
    parsed_.head = method == http::verb::head;
    auto& request = parsed_.request;
    constexpr size_t kUsualHeaders = 8;
    request.headers.reserve(kUsualHeaders);
    request.method = parsed_.head ? "GET" : std::string(name.data(), name.size());
    std::string_view rest(target.data(), target.size());
    if (const size_t scheme = rest.find("://"); !rest.starts_with('/') && scheme < rest.size()) {
      // "http://host/path", as a proxy sends it.
      const size_t path = rest.find_first_of("/?", scheme + 3);
      rest = path < rest.size() ? rest.substr(path) : std::string_view("/");
    } else if (!rest.starts_with('/') && rest != "*") {
      error = http::error::bad_target;
      return;
    }
    const size_t mark = rest.find('?');
    request.path = rest.substr(0, mark);
    if (request.path.empty()) request.path = "/";
    if (mark < rest.size()) request.query = rest.substr(mark + 1);
  }

  void on_response_impl(int, BeastView, int, BeastError&) override {}

  void on_field_impl(http::field field, BeastView name, BeastView value,
                     BeastError& error) override {
    if (parsed_.in_trailer) return;
    if (field == http::field::transfer_encoding &&
        (parsed_.version < 11 || small_letters(value) != "chunked")) {
      error = http::error::bad_transfer_encoding;
      return;
    }
    if (field == http::field::host) ++parsed_.hosts;
    if (field == http::field::expect) parsed_.expect = small_letters(value);
    parsed_.request.headers.emplace_back(std::string(name.data(), name.size()),
                                         std::string(value.data(), value.size()));
  }

  // New versions of Boost (1.92, but not 1.83) give fields of the trailer to a function of their
  // own. It has no `override`, because older versions lack it.
  void on_trailer_field_impl(http::field, BeastView, BeastView, BeastError&) {}

  void on_header_impl(BeastError& error) override {
    parsed_.in_trailer = true;  // fields from here on follow the last chunk
    if (parsed_.hosts > 1 || (parsed_.hosts == 0 && parsed_.version == 11)) {
      error = http::error::bad_field;
    }
  }

  void on_body_init_impl(const boost::optional<std::uint64_t>& length, BeastError&) override {
    // A client may announce more than it sends. The rest is what simdjson wants behind its input,
    // which it would copy otherwise.
    constexpr std::uint64_t kMostAhead = std::uint64_t{4} << 20;
    constexpr std::uint64_t kPadding = 64;
    if (length) parsed_.request.body.reserve(std::min(*length, kMostAhead) + kPadding);
  }

  std::size_t on_body_impl(BeastView body, BeastError&) override {
    parsed_.request.body.append(body.data(), body.size());
    return body.size();
  }

  void on_chunk_header_impl(std::uint64_t, BeastView, BeastError&) override {}

  std::size_t on_chunk_body_impl(std::uint64_t, BeastView body, BeastError&) override {
    parsed_.request.body.append(body.data(), body.size());
    return body.size();
  }

  void on_finish_impl(BeastError&) override {}

  HttpParsedRequest& parsed_;
};

class HttpParser::Implementation {
 public:
  Implementation(int64_t max_header, int64_t max_body)
      : max_header_(static_cast<std::uint32_t>(max_header)),
        max_body_(static_cast<std::uint64_t>(max_body)) {
    reset();
  }

  void reset() {
    auto& request = parsed_.request;
    request = HttpRequest();
    parsed_.expect.clear();
    parsed_.version = 11;
    parsed_.hosts = 0;
    parsed_.head = false;
    parsed_.in_trailer = false;
    header_bytes_ = 0;
    beast_.emplace(parsed_);
    beast_->header_limit(max_header_);
    beast_->body_limit(max_body_);
  }

  size_t parse(std::string_view input) {
    size_t skipped = 0;
    if (!beast_->got_some()) {
      // Old clients send an empty line behind a body.
      while (input.substr(skipped).starts_with("\r\n") && skipped < kMostEmptyLines) skipped += 2;
      input.remove_prefix(skipped);
      if (input.empty() || input == "\r") return skipped;
    }
    const bool in_header = !beast_->is_header_done();
    BeastError error;
    const size_t consumed = beast_->put({input.data(), input.size()}, error);
    if (error && error != http::error::need_more) throw parse_refusal(error);
    if (in_header) {
      header_bytes_ += consumed;
      if (header_bytes_ > max_header_) {
        throw parse_refusal(http::make_error_code(http::error::header_limit));
      }
    }
    return skipped + consumed;
  }

  std::uint32_t max_header_;
  std::uint64_t max_body_;
  size_t header_bytes_ = 0;
  HttpParsedRequest parsed_{};
  std::optional<HttpBeastParser> beast_{};

 private:
  static constexpr size_t kMostEmptyLines = 8;
};

HttpParser::HttpParser(int64_t max_header, int64_t max_body)
    : implementation_(std::make_unique<Implementation>(max_header, max_body)) {}

HttpParser::~HttpParser() = default;

void HttpParser::reset() { implementation_->reset(); }

size_t HttpParser::parse(std::string_view input) { return implementation_->parse(input); }

bool HttpParser::header_done() const { return implementation_->beast_->is_header_done(); }

bool HttpParser::done() const { return implementation_->beast_->is_done(); }

int64_t HttpParser::body_left() const {
  if (!header_done() || implementation_->beast_->chunked()) return 0;
  const auto left = implementation_->beast_->content_length_remaining();
  return left ? static_cast<int64_t>(*left) : 0;
}

HttpRequest& HttpParser::request() { return implementation_->parsed_.request; }

bool HttpParser::head() const { return implementation_->parsed_.head; }

bool HttpParser::keep_alive() const {
  return header_done() && implementation_->beast_->keep_alive();
}

bool HttpParser::http_1_0() const { return implementation_->parsed_.version == 10; }

const std::string& HttpParser::expect() const { return implementation_->parsed_.expect; }

}  // namespace levin
