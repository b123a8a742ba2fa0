#include <levin/serving/redis/redis_connection.h>

#include <fmt/format.h>
#include <hiredis/hiredis.h>
#include <poll.h>

#include <array>
#include <chrono>
#include <utility>

#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>

namespace levin {
namespace {

constexpr timeval kConnectTimeout = {2, 0};
// A reply takes longer only if Redis hangs or the network is gone.
constexpr timeval kReplyTimeout = {10, 0};

[[noreturn]] void refuse_url(std::string_view problem) {
  throw ConfigError(
      fmt::format("the URL of Redis {}; expected redis://[:PASSWORD@]HOST[:PORT][/DB], such as "
                  "redis://127.0.0.1:6379/0",
                  problem));
}

int url_number(std::string_view text, std::string_view what, int most) {
  const auto number = number_in<int>(text);
  if (!number || *number < 0 || *number > most) {
    refuse_url(fmt::format("has '{}' as its {}", shortened(text, 40), what));
  }
  return *number;
}

std::string percent_decoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const auto byte = number_in<uint8_t>(text.substr(i + 1, 2), 16);
    if (i + 2 >= text.size() || !byte) {
      refuse_url("has a percent sign without two hexadecimal digits");
    }
    decoded += static_cast<char>(*byte);
    i += 2;
  }
  return decoded;
}

RedisReply reply_of(const redisReply& from) {
  RedisReply reply;
  switch (from.type) {
    case REDIS_REPLY_INTEGER:
      reply.kind = RedisReply::Kind::integer;
      reply.integer = from.integer;
      break;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
      reply.kind = RedisReply::Kind::text;
      reply.text.assign(from.str, from.len);
      break;
    case REDIS_REPLY_ERROR:
      reply.kind = RedisReply::Kind::error;
      reply.text.assign(from.str, from.len);
      break;
    case REDIS_REPLY_ARRAY:
      reply.kind = RedisReply::Kind::array;
      reply.elements.reserve(from.elements);
      for (size_t i = 0; i < from.elements; ++i) {
        reply.elements.push_back(reply_of(*from.element[i]));
      }
      break;
    default:
      break;
  }
  return reply;
}

// Whether an error that Redis reports is one of its state, which may be another one soon.
bool passes(std::string_view error) {
  constexpr std::array<std::string_view, 11> kStates = {
      "LOADING",    "BUSY ",  "MASTERDOWN", "READONLY",    "MISCONF", "OOM",
      "NOREPLICAS", "NOAUTH", "NOSCRIPT",   "CLUSTERDOWN", "TRYAGAIN"};
  for (const auto state : kStates) {
    if (error.substr(0, state.size()) == state) return true;
  }
  // A script reports errors of its commands in a text of its own.
  return error.find("OOM command not allowed") != std::string_view::npos ||
         error.find("MISCONF") != std::string_view::npos ||
         error.find("READONLY") != std::string_view::npos;
}

}  // namespace

std::string RedisAddress::text() const { return fmt::format("{}:{}", host, port); }

RedisAddress parse_redis_url(std::string_view url) {
  constexpr std::string_view kScheme = "redis://";
  if (url.substr(0, 9) == "rediss://") {
    refuse_url("asks for TLS, which Levin doesn't speak to Redis");
  }
  if (url.substr(0, kScheme.size()) != kScheme) refuse_url("doesn't begin with redis://");
  url.remove_prefix(kScheme.size());
  RedisAddress address;
  if (const size_t at = url.rfind('@'); at != std::string_view::npos) {
    const std::string_view login = url.substr(0, at);
    url.remove_prefix(at + 1);
    const size_t colon = login.find(':');
    if (colon == std::string_view::npos) refuse_url("has no ':' before its password");
    address.user = percent_decoded(login.substr(0, colon));
    address.password = percent_decoded(login.substr(colon + 1));
  }
  if (const size_t slash = url.find('/'); slash != std::string_view::npos) {
    const std::string_view database = url.substr(slash + 1);
    if (!database.empty()) address.database = url_number(database, "database", 1 << 20);
    url = url.substr(0, slash);
  }
  size_t colon = url.rfind(':');
  if (!url.empty() && url.front() == '[') {  // an IPv6 address
    const size_t end = url.find(']');
    if (end == std::string_view::npos) refuse_url("has no ']' after its host");
    colon = end + 1 < url.size() && url[end + 1] == ':' ? end + 1 : std::string_view::npos;
    address.host = std::string(url.substr(1, end - 1));
  } else {
    address.host = std::string(url.substr(0, colon));
  }
  if (colon != std::string_view::npos) {
    address.port = url_number(url.substr(colon + 1), "port", 65535);
  }
  if (address.host.empty()) refuse_url("names no host");
  return address;
}

void RedisConnection::Free::operator()(redisContext* context) const { redisFree(context); }

RedisConnection::RedisConnection(RedisAddress address) : address_(std::move(address)) {}

RedisConnection::~RedisConnection() = default;

void RedisConnection::open() {
  close();
  context_.reset(redisConnectWithTimeout(address_.host.c_str(), address_.port, kConnectTimeout));
  if (context_ == nullptr) throw RedisLost("no memory for a connection");
  if (context_->err != 0) fail();
  redisSetTimeout(context_.get(), kReplyTimeout);
  redisEnableKeepAlive(context_.get());
  if (!address_.password.empty()) {
    Arguments login = {"AUTH"};
    if (!address_.user.empty()) login.push_back(address_.user);
    login.push_back(address_.password);
    if (ask(login).is_error()) {
      close();
      throw RedisLost("it refuses the password of the URL");
    }
  }
  if (address_.database != 0) {
    const std::string database = std::to_string(address_.database);
    if (ask({"SELECT", database}).is_error()) {
      close();
      throw RedisLost(fmt::format("it has no database {}", database));
    }
  }
  if (const auto pong = ask({"PING"}); pong.is_error()) {
    close();
    throw RedisLost(shortened(pong.text, 100));
  }
  require_version();
}

// Streams are there from version 5.0 on. A user who may not ask for the version is believed.
void RedisConnection::require_version() {
  constexpr std::string_view kBefore = "redis_version:";
  constexpr int kLeast = 5;
  const RedisReply info = ask({"INFO", "server"});
  const size_t at = info.text.find(kBefore);
  if (!info.is_text() || at == std::string::npos) return;
  const std::string version = info.text.substr(
      at + kBefore.size(), info.text.find_first_of("\r\n", at) - at - kBefore.size());
  int major = kLeast;
  std::from_chars(version.data(), version.data() + version.size(), major);
  if (major >= kLeast) return;
  close();
  throw RedisLost(fmt::format("it is version {}, but Levin needs {}.0 or newer",
                              shortened(version, 20), kLeast));
}

void RedisConnection::close() noexcept { context_.reset(); }

void RedisConnection::append(const Arguments& arguments) {
  if (context_ == nullptr) throw RedisLost("there is no connection");
  std::vector<const char*> texts;
  std::vector<size_t> sizes;
  texts.reserve(arguments.size());
  sizes.reserve(arguments.size());
  for (const auto each : arguments) {
    texts.push_back(each.data() == nullptr ? "" : each.data());
    sizes.push_back(each.size());
  }
  if (redisAppendCommandArgv(context_.get(), static_cast<int>(arguments.size()), texts.data(),
                             sizes.data()) != REDIS_OK) {
    fail();
  }
}

RedisReply RedisConnection::read() {
  if (context_ == nullptr) throw RedisLost("there is no connection");
  void* got = nullptr;
  if (redisGetReply(context_.get(), &got) != REDIS_OK || got == nullptr) fail();
  const std::unique_ptr<void, void (*)(void*)> reply(got, freeReplyObject);
  return checked(reply_of(*static_cast<const redisReply*>(got)));
}

RedisReply RedisConnection::ask(const Arguments& arguments) {
  append(arguments);
  return read();
}

std::optional<RedisReply> RedisConnection::read_for(int milliseconds) {
  if (context_ == nullptr) throw RedisLost("there is no connection");
  flush();
  for (bool has_read = false;; has_read = true) {
    void* got = nullptr;
    if (redisGetReplyFromReader(context_.get(), &got) != REDIS_OK) fail();
    if (got != nullptr) {
      const std::unique_ptr<void, void (*)(void*)> reply(got, freeReplyObject);
      return checked(reply_of(*static_cast<const redisReply*>(got)));
    }
    // The rest of a long reply arrives in parts, each of which has its own time.
    pollfd event = {context_->fd, POLLIN, 0};
    if (::poll(&event, 1, has_read ? milliseconds + 1000 : milliseconds) <= 0) return std::nullopt;
    if (redisBufferRead(context_.get()) != REDIS_OK) fail();
  }
}

std::string RedisConnection::load_script(std::string_view script) {
  RedisReply reply = ask({"SCRIPT", "LOAD", script});
  if (!reply.is_text()) {
    close();
    throw RedisLost("it takes no scripts: " + shortened(reply.text, 100));
  }
  return std::move(reply.text);
}

int64_t RedisConnection::clock_ahead() {
  const RedisReply reply = ask({"TIME"});
  if (!reply.is_array() || reply.elements.size() != 2) return 0;
  const auto seconds = number_in<int64_t>(reply.elements[0].text).value_or(0);
  const auto microseconds = number_in<int64_t>(reply.elements[1].text).value_or(0);
  return seconds * 1000 + microseconds / 1000 - unix_milliseconds();
}

void RedisConnection::flush() {
  for (int done = 0; done == 0;) {
    if (redisBufferWrite(context_.get(), &done) != REDIS_OK) fail();
  }
}

void RedisConnection::fail() {
  std::string reason = context_ == nullptr ? "" : context_->errstr;
  close();
  throw RedisLost(reason.empty() ? "the connection was lost" : reason);
}

RedisReply RedisConnection::checked(RedisReply reply) {
  if (reply.is_error() && passes(reply.text)) {
    close();
    throw RedisLost(shortened(reply.text, 100));
  }
  return reply;
}

int64_t unix_milliseconds() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
}

}  // namespace levin
