#include <levin/datamodules/readers/download.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include <curl/curl.h>

#include <levin/datamodules/readers/folder_lock.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/small_letters.h>

namespace levin::readers {
namespace {

namespace fs = std::filesystem;

constexpr long kNoStatus = 0;  // file://
constexpr long kOk = 200;
constexpr long kPartialContent = 206;
constexpr long kRangeNotSatisfiable = 416;

/// What a Content-Range header says: "bytes 100-199/1000", "bytes */1000".
struct ContentRange {
  int64_t start = -1;
  int64_t total = -1;
};

std::optional<ContentRange> parse_content_range(std::string_view line) {
  constexpr std::string_view kName = "content-range:";
  const std::string lower = to_small_letters(line);
  if (!lower.starts_with(kName)) return {};
  ContentRange range;
  const size_t digit = lower.find_first_of("0123456789*", kName.size());
  const size_t slash = lower.find('/');
  if (digit == std::string::npos || slash == std::string::npos) return range;
  const char* const end = lower.data() + lower.size();
  std::from_chars(lower.data() + digit, end, range.start);
  std::from_chars(lower.data() + slash + 1, end, range.total);
  return range;
}

/// One request to one mirror, whose answer goes to the part file.
class Transfer {
 public:
  Transfer(CURL* curl, const std::string& url, const fs::path& part, int64_t resume_from,
           const DownloadOptions& options)
      : curl_(curl), url_(url), part_(part), resume_from_(resume_from), options_(options) {}

  /// How a request ended.
  struct Result {
    bool complete = false;
    /// Why it isn't complete, for people.
    std::string reason = {};
    /// Whether the same mirror may deliver more if it is asked again.
    bool worth_retrying = false;
  };

  /// Throws what writing or the caller's progress function throws.
  Result run() {
    char message[CURL_ERROR_SIZE] = {};
    configure(message);
    const CURLcode code = curl_easy_perform(curl_);
    curl_easy_setopt(curl_, CURLOPT_ERRORBUFFER, nullptr);
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status_);
    file_.flush();
    if (failure_) std::rethrow_exception(failure_);
    if (code == CURLE_OK) start_body();  // an empty file has no body
    return judge(code, message[0] ? message : curl_easy_strerror(code));
  }

 private:
  void configure(char* message) {
    CURL* const curl = curl_;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "levin");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 10L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https,file");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS | CURLPROTO_FILE);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, std::lround(options_.connect_timeout * 1e3));
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, std::lround(std::ceil(options_.stall_timeout)));
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Transfer::on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, this);
    const std::string range = std::to_string(resume_from_) + "-";
    // With CURLOPT_RESUME_FROM, libcurl would fail if a server sent the whole file.
    if (resume_from_ > 0) curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  }

  static size_t on_header(char* data, size_t, size_t size, void* self) {
    const std::string_view line(data, size);
    auto& transfer = *static_cast<Transfer*>(self);
    if (line.starts_with("HTTP/")) transfer.range_ = {};  // the next answer after a redirect
    if (const auto range = parse_content_range(line)) transfer.range_ = *range;
    return size;
  }

  /// Exceptions must not pass through libcurl's C code: `run` rethrows them after it has returned.
  static size_t on_body(char* data, size_t, size_t size, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    try {
      return transfer.take({data, size}) ? size : 0;
    } catch (...) {
      transfer.failure_ = std::current_exception();
      return 0;
    }
  }

  bool take(std::string_view data) {
    if (!start_body()) return false;
    file_.append(data);
    received_ += static_cast<int64_t>(data.size());
    if (options_.progress) options_.progress({url_, file_.offset(), total_, false});
    return true;
  }

  /// Opens the part file, to continue it if the answer is the rest of the file, else to replace it.
  /// Returns false if the answer is no part of the file, such as an error page.
  bool start_body() {
    if (file_.is_open()) return true;
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status_);
    const bool continues = status_ == kPartialContent && range_.start == resume_from_;
    if (status_ != kNoStatus && status_ != kOk && !continues) return false;
    file_ = files::AppendFile(part_, continues ? resume_from_ : 0);
    curl_off_t length = -1;
    curl_easy_getinfo(curl_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    total_ = continues ? range_.total : static_cast<int64_t>(length);
    return true;
  }

  Result judge(CURLcode code, const std::string& message) const {
    if (status_ == kRangeNotSatisfiable && resume_from_ > 0) {
      if (range_.total == resume_from_) return {true, {}, false};
      files::remove_file(part_);
      return {false,
              "the " + std::to_string(resume_from_) +
                  " bytes that an earlier download left aren't the start of its file (HTTP 416)",
              true};
    }
    if (status_ == kPartialContent && range_.start != resume_from_) {
      files::remove_file(part_);
      return {false,
              "it was asked for the bytes from " + std::to_string(resume_from_) + " on, but sent " +
                  (range_.start < 0 ? "others" : "those from " + std::to_string(range_.start)),
              true};
    }
    if (status_ != kNoStatus && status_ != kOk && status_ != kPartialContent) {
      return {false, "it answered HTTP " + std::to_string(status_), false};
    }
    if (code != CURLE_OK) return {false, message, received_ > 0};
    if (total_ >= 0 && file_.offset() != total_) {
      const std::string sent = std::to_string(file_.offset()) + " of " + std::to_string(total_);
      return {false, "the file ended after " + sent + " bytes", received_ > 0};
    }
    return {true, {}, false};
  }

  CURL* const curl_;
  const std::string& url_;
  const fs::path& part_;
  const int64_t resume_from_;
  const DownloadOptions& options_;
  files::AppendFile file_;
  ContentRange range_;
  long status_ = 0;
  int64_t received_ = 0;
  int64_t total_ = -1;
  std::exception_ptr failure_;
};

/// Why the file doesn't have the checksum; nothing if it has.
std::optional<std::string> fault(const fs::path& path, const Checksum& checksum) {
  try {
    return checksum_fault(path, checksum);
  } catch (const DataError& error) {
    return error.what();
  }
}

int64_t size_of(const fs::path& path) {
  std::error_code code;
  const auto size = fs::file_size(path, code);
  return code ? 0 : static_cast<int64_t>(size);
}

using CurlHandle = std::unique_ptr<CURL, void (*)(CURL*)>;

CurlHandle open_curl() {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  CurlHandle curl(ready == CURLE_OK ? curl_easy_init() : nullptr, &curl_easy_cleanup);
  if (!curl) throw DataError("libcurl, which downloads files, can't start; check its installation");
  return curl;
}

/// Asks one mirror until it has delivered a file with the right checksum, and returns nothing then;
/// else returns why it didn't.
std::optional<std::string> try_mirror(CURL* curl, const std::string& url, const fs::path& part,
                                      const DownloadOptions& options) {
  // Without a checksum there is no way to tell whether an old part is of this file.
  if (options.checksum.hex.empty()) files::remove_file(part);
  std::string reason;
  for (int attempt = 0; attempt <= options.retries; ++attempt) {
    const bool resumable = !url.starts_with("file:");
    const int64_t resume_from = resumable ? size_of(part) : 0;
    const auto result = Transfer(curl, url, part, resume_from, options).run();
    if (result.complete) {
      const auto wrong = fault(part, options.checksum);
      if (!wrong) return {};
      files::remove_file(part);
      reason = "it sent a wrong file: " + *wrong;
      if (resume_from == 0) break;  // else the fault may lie in the part that was there
    } else {
      reason = result.reason;
      if (!result.worth_retrying) break;
    }
  }
  return reason;
}

void obtain(const std::vector<std::string>& urls, const fs::path& destination,
            const DownloadOptions& options) {
  const fs::path folder = destination.has_parent_path() ? destination.parent_path() : ".";
  files::create_folder(folder);
  const FolderLock lock(folder);
  if (files::exists(destination) && !fault(destination, options.checksum)) return;
  fs::path part = destination;
  part += ".part";
  const CurlHandle curl = open_curl();
  std::string failures;
  for (const std::string& url : urls) {
    const auto failure = try_mirror(curl.get(), url, part, options);
    if (failure) {
      failures += "\n  - " + url + ": " + *failure;
      continue;
    }
    const int64_t size = size_of(part);
    files::move_into_place(part, destination);
    if (options.progress) options.progress({url, size, size, true});
    return;
  }
  throw DataError("can't download '" + destination.string() + "'; each mirror failed:" + failures +
                  "\nCheck the network, or put the file there by hand.");
}

}  // namespace

void download(const std::vector<std::string>& urls, const fs::path& destination,
              const DownloadOptions& options) {
  if (urls.empty()) throw ConfigError::invalid_value("urls", "[]", "must name at least one mirror");
  validate(options.checksum);
  try {
    obtain(urls, destination, options);
  } catch (const CheckpointError& error) {  // a folder or file that can't be written
    throw DataError(error.what());
  }
}

}  // namespace levin::readers
