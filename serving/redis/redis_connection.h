#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

struct redisContext;

namespace levin {

/// Where a Redis is, and how to log in there.
struct RedisAddress {
  std::string host = "127.0.0.1";
  int port = 6379;
  /// Empty: the default user; empty password: no login.
  std::string user{};
  std::string password{};
  int database = 0;

  /// HOST:PORT, for messages.
  std::string text() const;
};

/// Returns the parts of redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], in which percent signs are
/// decoded. Throws ConfigError if it isn't such a URL; the message doesn't repeat the password.
RedisAddress parse_redis_url(std::string_view url);

/// The connection to Redis can't be made or was lost, or Redis can't do its work for now: it loads
/// its data, has no memory, or has forgotten a script. What was asked may or may not have happened.
class RedisLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What Redis has answered to a command.
struct RedisReply {
  enum class Kind : uint8_t { nil, text, integer, array, error };
  Kind kind = Kind::nil;
  /// A text, a status such as OK, or the message of an error.
  std::string text{};
  int64_t integer = 0;
  std::vector<RedisReply> elements{};

  bool is_nil() const { return kind == Kind::nil; }
  bool is_error() const { return kind == Kind::error; }
  bool is_text() const { return kind == Kind::text; }
  bool is_array() const { return kind == Kind::array; }
};

/// A connection to Redis, used by one thread at a time. Commands may be put together, so that one
/// round trip carries all of them:
///
///     for (const auto& id : ids) connection.append({"GET", id});
///     for (size_t i = 0; i < ids.size(); ++i) RedisReply reply = connection.read();
///
/// All functions that talk to Redis throw RedisLost.
class RedisConnection {
 public:
  using Arguments = std::vector<std::string_view>;

  explicit RedisConnection(RedisAddress address);
  ~RedisConnection();
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;

  /// Connects anew, logs in, chooses the database, and makes sure that Redis answers and is new
  /// enough (5.0).
  void open();
  void close() noexcept;

  /// Adds a command to those that are sent by the next read.
  void append(const Arguments& arguments);
  /// Sends what was added, and returns the next reply. Errors that Redis reports are replies, other
  /// than those of which RedisLost speaks.
  RedisReply read();
  /// append and read.
  RedisReply ask(const Arguments& arguments);
  /// Sends what was added and waits up to `milliseconds` for a reply; nothing if none came.
  std::optional<RedisReply> read_for(int milliseconds);

  /// Returns the digest of a script that Redis now knows (EVALSHA).
  std::string load_script(std::string_view script);
  /// Returns the milliseconds by which Redis's clock is ahead of this machine's.
  int64_t clock_ahead();

 private:
  struct Free {
    void operator()(redisContext* context) const;
  };

  void require_version();
  void flush();
  [[noreturn]] void fail();
  RedisReply checked(RedisReply reply);

  RedisAddress address_;
  std::unique_ptr<redisContext, Free> context_;
};

/// Milliseconds since 1970 by this machine's clock.
int64_t unix_milliseconds();

}  // namespace levin
