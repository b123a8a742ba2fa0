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
  /// redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], without TLS.
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
  /// Bytes of the requests that a front end keeps until they are answered; more are refused (429),
  /// and so is one that alone is larger (413).
  int64_t memory = int64_t{1} << 30;
  /// Seconds after which a front end gives up waiting for an answer (504).
  double timeout = 30.0;
};

/// The front end's side: puts requests into a stream of Redis and waits for their answers. It needs
/// no model: the model processes write into Redis which they have.
///
/// If Redis is lost, new requests are refused with status 503. Those that were taken stay until
/// their deadline, and are put into Redis again when it is back, even if it has forgotten them;
/// each is answered once.
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
  /// Tells the model processes to load or unload a model, and waits until they have, at most ten
  /// seconds. Throws Refusal: 503 if there are none, they need longer, or Redis can't be reached;
  /// what a model process throws.
  void load(std::string_view model) override;
  void unload(std::string_view model) override;
  void drain() override;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

/// The model process's side: takes requests from Redis in batches, lets `models` answer them, and
/// writes the answers. What a model process has in hand when it dies is taken by another one, which
/// runs requests that were in hand twice before one by one; one that was taken five times without
/// an answer is answered with status 500.
///
/// A stream, PREFIX:requests:MODEL, also takes requests of other programs:
///
///     XADD levin:requests:digits * id 7 rows '[[0.5, 1.5]]'
///     GET levin:result:7
///
/// The fields are `rows`, which are answered as the request {"rows": ...} of /predict is, or
/// `body`, a request of the Open Inference Protocol in JSON, whose answer is JSON, too; `id`, under
/// which the answer is kept (if missing, the number of the entry); and `deadline`, milliseconds
/// since 1970 (if missing, `timeout`). What can't be read is answered with an error.
class RedisWorker {
 public:
  /// Takes requests from now on, with threads of its own: at most `batch` at a time for each model,
  /// the next ones while these are computed. `models` must outlive the worker. Throws ConfigError
  /// if an option can't be used.
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
