#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>

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
/// returns, until `stop` is set. `lost` gets the reason each time that a connection was lost or
/// couldn't be made; further attempts wait longer, up to a second.
void keep_connected(const RedisAddress& address, RedisStop& stop,
                    const std::function<void(RedisConnection&)>& work,
                    const std::function<void(const std::string& reason)>& lost);

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
