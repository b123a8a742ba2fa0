#include <levin/serving/http/http_response.h>

#include <array>
#include <charconv>
#include <ctime>
#include <ostream>  // before Beast, which forgets it
#include <string_view>

#include <fmt/format.h>
#include <boost/beast/http/status.hpp>
#include <nlohmann/json.hpp>

namespace levin {
namespace {

/// The header Date, which changes once a second.
std::string_view date_header() {
  thread_local std::time_t written = -1;
  thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != written) {
    constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed",
                                                       "Thu", "Fri", "Sat"};
    constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::tm utc{};
    ::gmtime_r(&now, &utc);
    text = fmt::format("Date: {}, {:02} {} {} {:02}:{:02}:{:02} GMT\r\n",
                       kDays[static_cast<size_t>(utc.tm_wday)], utc.tm_mday,
                       kMonths[static_cast<size_t>(utc.tm_mon)], utc.tm_year + 1900, utc.tm_hour,
                       utc.tm_min, utc.tm_sec);
    written = now;
  }
  return text;
}

void append_number(std::string& text, size_t number) {
  std::array<char, 24> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  text.append(digits.data(), end);
}

/// Appends what a header may hold: no control characters, so that no text can add a header.
void append_clean(std::string& text, std::string_view part) {
  for (const char letter : part) {
    const auto code = static_cast<unsigned char>(letter);
    if ((code >= 0x20 && code != 0x7f) || letter == '\t') text += letter;
  }
}

void append_header(std::string& text, std::string_view name, std::string_view value) {
  append_clean(text, name);
  text += ": ";
  append_clean(text, value);
  text += "\r\n";
}

}  // namespace

HttpResponse error_response(const Refusal& refusal) {
  HttpResponse response;
  response.status = refusal.status();
  if (refusal.retry_after() > 0) {
    response.headers.emplace_back("Retry-After", std::to_string(refusal.retry_after()));
  }
  if (refusal.status() == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  // A name that the client sent, and the text repeats, may not be UTF-8.
  const auto text =
      nlohmann::json(refusal.what()).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  response.body = "{\"error\": " + text + "}";
  return response;
}

void write_response_header(std::string& text, const HttpResponse& response,
                           const ResponseFraming& framing) {
  text = "HTTP/1.1 ";
  append_number(text, static_cast<size_t>(response.status));
  text += ' ';
  const auto reason = boost::beast::http::obsolete_reason(
      boost::beast::http::int_to_status(static_cast<unsigned>(response.status)));
  text.append(reason.data(), reason.size());
  text += "\r\n";
  if (!response.content_type.empty()) append_header(text, "Content-Type", response.content_type);
  if (response.status != 204 && response.status != 304) {
    text += "Content-Length: ";
    append_number(text, response.body.size());
    text += "\r\n";
  }
  for (const auto& entry : response.headers) append_header(text, entry.first, entry.second);
  if (!framing.keep_alive) {
    text += "Connection: close\r\n";
  } else if (framing.say_keep_alive) {
    text += "Connection: keep-alive\r\n";
  }
  text += date_header();
  text += "\r\n";
}

}  // namespace levin
