#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/serving/backend/backend.h>
#include <levin/serving/protocol/inference.h>
#include <levin/serving/protocol/model_metadata.h>
#include <levin/serving/redis/redis_answers.h>
#include <levin/serving/redis/redis_connection.h>

namespace levin {

/// A request as a model process finds it in Redis.
struct RedisRequest {
  InferenceRequest inference{};
  /// Milliseconds until its deadline.
  int64_t left_ms = 0;
  /// Whether a front end, or a client that sent binary tensors, reads the answer.
  bool is_binary = false;
  /// The model that the rows of the field `rows` are for; their answer is that of /predict.
  std::optional<ModelMetadata> rows_for{};
};

/// Returns who is to get the answer to an entry of a stream, [entry, [field, value ...]]. An `id`
/// that isn't 1 to 256 printable characters is replaced by the entry's.
RedisEntry entry_of(std::string_view model, const RedisReply& reply);

/// Returns the request that the fields of an entry for `model` of `backend` stand for; `now` is
/// Redis's time in milliseconds since 1970, and `timeout` the seconds of a request without a
/// deadline. Throws Refusal: whoever reaches Redis can write anything there.
RedisRequest request_of(const std::vector<RedisReply>& fields, const Backend& backend,
                        std::string_view model, int64_t now, double timeout);

/// Returns the text that Redis keeps of an outcome: as `to_wire`, or as JSON alone. `request`
/// needs no inputs.
std::string outcome_text(const InferenceOutcome& outcome, const RedisRequest& request);

}  // namespace levin
