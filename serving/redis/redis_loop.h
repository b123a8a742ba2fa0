#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <levin/serving/redis/redis_connection.h>

namespace levin {

/// Tells threads to end.
class RedisStop {
 public:
  void stop();
  bool is_set() const { return is_set_; }
  /// Waits; returns at once, with true, if the threads are to end.
  bool wait_for(std::chrono::milliseconds time);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> is_set_ = false;
};

/// Calls `work` with an open connection, again with a new one whenever it throws RedisLost or
/// returns, until `stop` is set. `lost`, if given, gets the reason each time that a connection was
/// lost or couldn't be made; further attempts wait longer, up to a second.
void keep_connected(const RedisAddress& address, RedisStop& stop,
                    const std::function<void(RedisConnection&)>& work,
                    const std::function<void(const std::string& reason)>& lost = {});

/// Gives the messages of the channels that a connection has subscribed to, to `heed`, until `stop`
/// is set. Throws RedisLost if the connection breaks, and if Redis is silent for five seconds: it
/// is asked for a sign of life after the first.
void read_messages(
    RedisConnection& redis, RedisStop& stop,
    const std::function<void(std::string_view channel, std::string_view text)>& heed);

/// Prints once that Redis can't be reached, and once that it answers again.
class RedisNews {
 public:
  explicit RedisNews(std::string place) : place_(std::move(place)) {}
  void lost(const std::string& reason);
  void found();

 private:
  std::string place_;
  std::mutex mutex_;
  bool is_lost_ = false;
};

/// Returns 16 random hexadecimal digits.
std::string random_member_name();

}  // namespace levin
