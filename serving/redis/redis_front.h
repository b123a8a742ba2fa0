#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/serving/backend/backend.h>
#include <levin/serving/redis/redis_backend.h>
#include <levin/serving/redis/redis_connection.h>
#include <levin/serving/redis/redis_loop.h>
#include <levin/serving/redis/redis_names.h>

namespace levin {

/// Returns the options. Throws ConfigError if one of them can't be used.
RedisOptions checked_redis_options(RedisOptions options);

/// The requests of a front end that wait for their answers.
class FrontRequests {
 public:
  /// Gets why a request that was taken has failed here, and not in a model process.
  using Failed = std::function<void(ModelStatistics::Reason)>;

  explicit FrontRequests(const RedisOptions& options);

  /// Keeps a request, and sends it soon. Throws Refusal (413, 429, 503), and then doesn't
  /// call `answer`.
  void take(InferenceRequest request, Backend::Answer answer, Failed failed);
  /// Sends requests until `stop` is set; first those that may have been lost. Throws RedisLost.
  void send(RedisConnection& redis, RedisStop& stop);
  /// Gives answers to those who wait, and news of models to `heed`, until `stop` is set. Throws
  /// RedisLost.
  void receive(RedisConnection& redis, RedisStop& stop,
               const std::function<void(std::string_view)>& heed);
  /// Lets `send` look at its RedisStop at once.
  void wake();
  /// Answers those whose deadline has passed (504).
  void expire();
  /// Answers all that wait with status 503.
  void refuse_all();

  /// Refuses further requests.
  void drain() { is_draining_ = true; }
  void set_sending(bool is_sending) { is_sending_ = is_sending; }
  void set_receiving(bool is_receiving) { is_receiving_ = is_receiving; }
  bool is_ready() const { return is_sending_ && is_receiving_ && !is_draining_; }

 private:
  // Ordered by their numbers, so that requests that are sent again keep their order.
  using Number = uint64_t;
  // What is sent. It stays while it is sent, even if the request is answered meanwhile.
  struct Content {
    std::string id{};
    std::string model{};
    std::string body{};
    int64_t deadline = 0;  // unix_milliseconds
  };
  struct Waiting {
    std::shared_ptr<const Content> content{};
    std::string client_id{};
    Backend::Answer answer{};
    Failed failed{};
  };
  using Sent = std::pair<Number, std::shared_ptr<const Content>>;

  std::vector<Sent> next_to_send(const RedisStop& stop);
  void send_all(RedisConnection& redis, const std::vector<Sent>& batch, std::string_view script,
                int64_t clock_ahead);
  void send_again();
  void heed_answer(std::string_view text);
  void complete(Number number, InferenceOutcome outcome, ModelStatistics::Reason reason);

  const RedisOptions options_;
  const RedisNames names_;
  const std::string front_;
  const std::string channel_;
  std::atomic<bool> is_sending_ = false;
  std::atomic<bool> is_receiving_ = false;
  std::atomic<bool> is_draining_ = false;

  std::mutex mutex_;
  std::condition_variable has_outgoing_;
  Number next_ = 0;
  std::map<Number, Waiting> waiting_;
  std::set<std::pair<int64_t, Number>> deadlines_;
  std::deque<Number> outgoing_;
  int64_t bytes_ = 0;
};

}  // namespace levin
