#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <levin/serving/backend/backend.h>

namespace levin {

/// How the processes of a service meet in Redis. All of them need the same `url` and `prefix`.
struct RedisOptions {
  /// redis://[:PASSWORD@]HOST[:PORT][/DB]
  std::string url = "redis://127.0.0.1:6379/0";
  /// What the names of all keys and channels begin with.
  std::string prefix = "levin";
  /// Seconds for which an answer is kept.
  double result_expiry = 60.0;
  /// Seconds after which the requests of a model process that shows no sign of life are taken again
  /// by another one.
  double claim_after = 2.0;
  /// Requests that may wait in Redis for one model.
  int64_t max_queue = 100000;
  /// Seconds after which a front end gives up waiting for an answer (504).
  double timeout = 30.0;
};

/// The front end's side: puts requests into a stream of Redis and waits for their answers. It needs
/// no model: the model processes write into Redis which they have.
class RedisBackend : public Backend {
 public:
  /// Connects, and connects again whenever the connection is lost. Throws ConfigError if the URL
  /// can't be read; a Redis that can't be reached only makes `is_ready` false and requests refused.
  explicit RedisBackend(RedisOptions options);
  ~RedisBackend() override;

  void infer(InferenceRequest request, Answer answer) override;
  std::vector<ModelMetadata> models() const override;
  bool is_ready() const override;
  std::vector<ModelStatistics> statistics() const override;
  void load(std::string_view model) override;
  void unload(std::string_view model) override;
  void drain() override;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

/// The model process's side: takes requests from Redis in batches, lets `models` answer them, and
/// writes the answers.
class RedisWorker {
 public:
  /// Takes requests from now on, with threads of its own; no more at a time than `batch` requests
  /// for each model. `models` must outlive the worker.
  RedisWorker(RedisOptions options, Backend& models, int64_t batch);
  /// Takes no more requests, answers those that it has taken, and ends.
  ~RedisWorker();
  RedisWorker(const RedisWorker&) = delete;
  RedisWorker& operator=(const RedisWorker&) = delete;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace levin
