#include <levin/serving/load/response_reader.h>

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>
#include <levin/serving/http/http_message.h>

namespace levin {
namespace {

constexpr size_t kMostHead = size_t{64} << 10;

DataError not_http(std::string_view what) {
  return DataError(fmt::format(
      "the server's response isn't HTTP/1.1: {}; check that the address is that of an HTTP server",
      what));
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) {
    text.remove_suffix(1);
  }
  return text;
}

template <class T>
T whole_number(std::string_view text, int base, std::string_view what) {
  T value{};
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || stop == text.data()) {
    throw not_http(fmt::format("{} is '{}'", what, shortened(text, 40)));
  }
  return value;
}

}  // namespace

std::optional<ResponseReader::Response> ResponseReader::take(std::string_view& bytes) {
  while (true) {
    switch (state_) {
      case State::head: {
        if (bytes.empty()) return std::nullopt;
        std::string_view head;
        if (head_.empty()) {  // usually all of it is there
          const size_t end = bytes.find("\r\n\r\n");
          if (end != std::string_view::npos) {
            head = bytes.substr(0, end + 2);
            bytes.remove_prefix(end + 4);
            read_head(head);
            break;
          }
        }
        const size_t before = head_.size();
        head_.append(bytes.substr(0, kMostHead));
        const size_t end = head_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
        if (end == std::string::npos) {
          if (head_.size() >= kMostHead) throw not_http("its head doesn't end");
          bytes = {};
          return std::nullopt;
        }
        bytes.remove_prefix(end + 4 - before);
        const std::string whole = head_.substr(0, end + 2);
        head_.clear();
        read_head(whole);
        break;
      }
      case State::body:
        take_body(bytes);
        if (left_ > 0) return std::nullopt;
        return finish();
      case State::until_end:
        left_ = bytes.size();
        take_body(bytes);
        return std::nullopt;
      case State::chunk_size: {
        const auto line = take_line(bytes);
        if (!line) return std::nullopt;
        left_ = whole_number<uint64_t>(*line, 16, "the size of a chunk");
        state_ = left_ == 0 ? State::trailer : State::chunk;
        break;
      }
      case State::chunk:
        take_body(bytes);
        if (left_ > 0) return std::nullopt;
        state_ = State::chunk_end;
        break;
      case State::chunk_end: {
        const auto line = take_line(bytes);
        if (!line) return std::nullopt;
        if (!line->empty()) throw not_http("a chunk is longer than its size");
        state_ = State::chunk_size;
        break;
      }
      case State::trailer: {
        const auto line = take_line(bytes);
        if (!line) return std::nullopt;
        if (line->empty()) return finish();
        break;
      }
    }
    if (state_ == State::body && left_ == 0) return finish();
  }
}

std::optional<ResponseReader::Response> ResponseReader::end() {
  if (state_ != State::until_end) return std::nullopt;
  response_.closes = true;
  return finish();
}

ResponseReader::Response ResponseReader::finish() {
  state_ = State::head;
  head_.clear();
  line_is_complete_ = false;
  return response_;
}

std::optional<std::string_view> ResponseReader::take_line(std::string_view& bytes) {
  if (line_is_complete_) {
    head_.clear();
    line_is_complete_ = false;
  }
  const size_t end = bytes.find('\n');
  if (end == std::string_view::npos) {
    head_.append(bytes);
    bytes = {};
    if (head_.size() >= kMostHead) throw not_http("a line doesn't end");
    return std::nullopt;
  }
  std::string_view line = bytes.substr(0, end);
  bytes.remove_prefix(end + 1);
  if (!head_.empty()) {
    head_.append(line);
    line_is_complete_ = true;
    line = head_;
  }
  return trimmed(line);
}

void ResponseReader::take_body(std::string_view& bytes) {
  const size_t count = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size()));
  if (keeps_bodies_) body_.append(bytes.substr(0, count));
  bytes.remove_prefix(count);
  left_ -= count;
}

void ResponseReader::read_head(std::string_view head) {
  head_.clear();
  line_is_complete_ = false;
  response_ = {};
  length_ = {};
  is_chunked_ = false;
  body_.clear();
  if (!head.starts_with("HTTP/1.") || head.size() < 12) {
    throw not_http(fmt::format("it begins with '{}'", shortened(head.substr(0, 20))));
  }
  response_.closes = head[7] == '0';
  response_.status = whole_number<int>(head.substr(9, 3), 10, "the status");
  size_t at = head.find("\r\n") + 2;
  while (at < head.size()) {
    const size_t end = std::min(head.find("\r\n", at), head.size());
    const std::string_view line = head.substr(at, end - at);
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos) {
      read_header(line.substr(0, colon), trimmed(line.substr(colon + 1)));
    }
    at = end + 2;
  }
  const int status = response_.status;
  if (status >= 100 && status < 200) {
    state_ = State::head;
  } else if (status == 204 || status == 304) {
    state_ = State::body;
    left_ = 0;
  } else if (is_chunked_) {
    state_ = State::chunk_size;
  } else if (length_) {
    state_ = State::body;
    left_ = *length_;
  } else {
    state_ = State::until_end;
  }
}

void ResponseReader::read_header(std::string_view name, std::string_view value) {
  if (equals_ignoring_case(name, "content-length")) {
    length_ = whole_number<uint64_t>(value, 10, "Content-Length");
  } else if (equals_ignoring_case(name, "transfer-encoding")) {
    is_chunked_ = equals_ignoring_case(value, "chunked");
  } else if (equals_ignoring_case(name, "connection")) {
    if (equals_ignoring_case(value, "close")) response_.closes = true;
    if (equals_ignoring_case(value, "keep-alive")) response_.closes = false;
  } else if (equals_ignoring_case(name, "retry-after")) {
    response_.retry_after = number_in<int>(value).value_or(0);  // it may be a date
  }
}

}  // namespace levin
