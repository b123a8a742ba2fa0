#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>

#include <levin/serving/redis/redis_connection.h>
#include <levin/serving/redis/redis_loop.h>
#include <levin/serving/redis/redis_names.h>

namespace levin {

/// An entry of a model's stream that is to be answered.
struct RedisEntry {
  std::string model{};
  /// The number that Redis gave it.
  std::string entry{};
  /// The request's name, under which the answer is found.
  std::string id{};
  /// The front end that waits for it; empty if none does.
  std::string front{};
};

/// The answers of a model process that Redis doesn't have yet.
class WorkerAnswers {
 public:
  WorkerAnswers(RedisNames names, double result_expiry);

  /// Adds an answer; from any thread.
  void add(RedisEntry entry, std::string text);
  /// Writes answers until `stop` is set and all are written. Throws RedisLost; what may not have
  /// been written stays.
  void write(RedisConnection& redis, RedisStop& stop);
  bool is_empty() const;
  /// Whether an entry's answer is among them.
  bool has(std::string_view model, std::string_view entry) const;

 private:
  struct Answer {
    RedisEntry entry{};
    std::string text{};
  };

  void append(RedisConnection& redis, std::string_view script, const Answer& answer) const;

  const RedisNames names_;
  const std::string expiry_;  // milliseconds
  mutable std::mutex mutex_;
  std::condition_variable has_some_;
  std::deque<Answer> answers_;
};

}  // namespace levin
