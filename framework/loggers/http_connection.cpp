#include <levin/framework/loggers/http_connection.h>

#include <cmath>
#include <string_view>
#include <utility>

#include <curl/curl.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

size_t take_answer(char* data, size_t, size_t size, void* body) {
  try {
    static_cast<std::string*>(body)->append(data, size);
    return size;
  } catch (...) {  // no memory: exceptions must not pass through libcurl's C code
    return 0;
  }
}

int ask_aborted(void* aborted, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return *static_cast<const std::atomic<bool>*>(aborted) ? 1 : 0;
}

}  // namespace

struct HttpConnection::Handle {
  CURL* curl = nullptr;
  ~Handle() {
    if (curl != nullptr) curl_easy_cleanup(curl);
  }
};

HttpConnection::HttpConnection(double timeout, std::string authorization)
    : handle_(std::make_unique<Handle>()),
      timeout_(timeout),
      authorization_(std::move(authorization)) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready == CURLE_OK) handle_->curl = curl_easy_init();
  if (handle_->curl == nullptr) {
    throw ConfigError(
        "libcurl, which sends requests to servers, can't start; check its "
        "installation");
  }
}

HttpConnection::~HttpConnection() = default;

HttpAnswer HttpConnection::send(const std::string& method, const std::string& url,
                                const std::string& body, const std::string& content_type) {
  HttpAnswer answer;
  if (aborted_) {
    answer.failure = "the request was given up";
    return answer;
  }
  CURL* const curl = handle_->curl;
  char message[CURL_ERROR_SIZE] = {};
  curl_easy_reset(curl);  // the connection stays open
  curl_slist* headers = curl_slist_append(nullptr, ("Content-Type: " + content_type).c_str());
  headers = curl_slist_append(headers, "Expect:");  // don't wait for "100 Continue"
  if (!authorization_.empty()) {
    headers = curl_slist_append(headers, ("Authorization: " + authorization_).c_str());
  }
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "levin");
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, std::lround(timeout_ * 1e3));
  if (method != "GET") {
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method.c_str());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.c_str());
  }
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &take_answer);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer.body);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &ask_aborted);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &aborted_);
  const CURLcode code = curl_easy_perform(curl);
  if (code == CURLE_OK) {
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
  } else {
    answer.failure = message[0] != '\0' ? message : curl_easy_strerror(code);
  }
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, nullptr);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, nullptr);
  curl_slist_free_all(headers);
  return answer;
}

std::string HttpConnection::escaped(const std::string& text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') ||
                          std::string_view("-._~").find(c) != std::string_view::npos;
    if (is_plain) {
      result += c;
    } else {
      result += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return result;
}

}  // namespace levin
