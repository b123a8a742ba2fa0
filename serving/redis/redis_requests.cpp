#include <levin/serving/redis/redis_requests.h>

#include <algorithm>
#include <optional>

#include <levin/framework/core/number_in.h>
#include <levin/serving/protocol/infer_messages.h>
#include <levin/serving/protocol/predict_rows.h>

namespace levin {
namespace {

constexpr size_t kLongestId = 256;

std::string_view field_of(const std::vector<RedisReply>& fields, std::string_view name) {
  for (size_t i = 0; i + 1 < fields.size(); i += 2) {
    if (fields[i].text == name) return fields[i + 1].text;
  }
  return {};
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c != '\x7f'; });
}

int64_t number_field(std::string_view text, const char* problem) {
  const auto number = number_in<int64_t>(text);
  if (!number || *number < 0) throw Refusal::malformed(problem);
  return *number;
}

}  // namespace

RedisEntry entry_of(std::string_view model, const RedisReply& reply) {
  RedisEntry entry{std::string(model), reply.elements.at(0).text};
  const auto& fields = reply.elements.at(1).elements;
  const std::string_view id = field_of(fields, "id");
  const bool is_usable = !id.empty() && id.size() <= kLongestId && is_printable(id);
  entry.id = is_usable ? std::string(id) : entry.entry;
  const std::string_view front = field_of(fields, "front");
  if (front.size() <= kLongestId && is_printable(front)) entry.front = std::string(front);
  return entry;
}

RedisRequest request_of(const std::vector<RedisReply>& fields, const Backend& backend,
                        std::string_view model, int64_t now, double timeout) {
  RedisRequest request;
  request.left_ms = static_cast<int64_t>(timeout * 1000);
  if (const auto text = field_of(fields, "deadline"); !text.empty()) {
    const int64_t deadline = number_field(text, "the deadline isn't a number of milliseconds");
    request.left_ms = std::min(request.left_ms, deadline - now);
  }
  const std::string_view body = field_of(fields, "body");
  const std::string_view rows = field_of(fields, "rows");
  if (!body.empty()) {
    request.inference = request_from_wire(std::string(body));
    request.is_binary = body.front() >= '0' && body.front() <= '9';
  } else if (!rows.empty()) {
    request.rows_for = find_model(backend.models(), model, "");
    std::string json = "{\"rows\":";
    json.append(rows).append("}");
    request.inference = parse_predict_rows("application/json", json, *request.rows_for);
  } else {
    throw Refusal::malformed("the request has neither a body nor rows");
  }
  if (const auto timeout_us = request.inference.timeout_us) {
    request.left_ms = std::min(request.left_ms, (*timeout_us + 999) / 1000);
  }
  request.inference.model = std::string(model);
  return request;
}

std::string outcome_text(const InferenceOutcome& outcome, const RedisRequest& request) {
  const auto* response = std::get_if<InferenceResponse>(&outcome);
  if (request.is_binary || response == nullptr) return to_wire(outcome);
  try {
    if (request.rows_for) return write_predict_answer(*response, *request.rows_for).body;
    InferenceRequest as_json = request.inference;
    as_json.binary_outputs = false;
    for (auto& output : as_json.outputs) output.binary = false;
    return write_infer_response(*response, as_json).body;
  } catch (const Refusal& refusal) {
    return to_wire(refusal);
  }
}

}  // namespace levin
