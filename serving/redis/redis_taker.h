#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <levin/serving/backend/backend.h>
#include <levin/serving/redis/redis_answers.h>
#include <levin/serving/redis/redis_backend.h>
#include <levin/serving/redis/redis_loop.h>
#include <levin/serving/redis/redis_names.h>
#include <levin/serving/redis/redis_requests.h>

namespace levin {

/// The thread of a model process that takes the requests for one model from Redis, also those that
/// dead processes had in hand, and gives them to the model.
class RedisTaker {
 public:
  RedisTaker(const RedisOptions& options, std::string worker, std::string model, Backend& backend,
             WorkerAnswers& answers, int64_t batch);
  /// Takes no more, and returns when all that was taken has an answer.
  ~RedisTaker();
  RedisTaker(const RedisTaker&) = delete;
  RedisTaker& operator=(const RedisTaker&) = delete;

 private:
  // How often an entry may be taken: then it runs alone, and then it is answered without the model.
  static constexpr int64_t kTogether = 2;
  static constexpr int64_t kAlone = 5;

  void run(RedisConnection& redis);
  void make_group(RedisConnection& redis);
  void take_lost(RedisConnection& redis);
  void take_new(RedisConnection& redis, int64_t most);
  void take_from_dead(RedisConnection& redis);
  void claim(RedisConnection& redis, const std::string& consumer, const std::string& script);
  std::vector<RedisReply> claimed(RedisConnection& redis, const std::vector<std::string>& entries);
  void take(RedisConnection& redis, const RedisReply& entry);
  void infer(RedisConnection& redis, const RedisEntry& entry,
             const std::vector<RedisReply>& fields);
  void give(const RedisEntry& entry, RedisRequest request);
  bool has_version(const InferenceRequest& request) const;
  bool is_elsewhere(RedisConnection& redis, const std::string& version) const;
  void look_at_postponed();
  void finish(const RedisEntry& entry, std::optional<std::string> text);
  /// Waits until no more than `most` are in hand that aren't postponed; false if the thread is to
  /// end.
  bool wait_for_room(int64_t most);

  const RedisOptions& options_;
  const RedisAddress address_;
  const RedisNames names_;
  const std::string worker_;
  const std::string model_;
  const std::string stream_;
  Backend& backend_;
  WorkerAnswers& answers_;
  const int64_t batch_;
  int64_t clock_ahead_ = 0;

  // Requests for a version that another model process has, and this one perhaps soon.
  struct Postponed {
    RedisEntry entry{};
    RedisRequest request{};
    std::chrono::steady_clock::time_point since{};
  };
  std::vector<Postponed> postponed_;  // of the thread

  std::mutex mutex_;
  std::condition_variable has_room_;
  std::set<std::string> in_hand_;  // entries whose answer the model owes
  RedisStop stop_;
  std::thread thread_;
};

}  // namespace levin
