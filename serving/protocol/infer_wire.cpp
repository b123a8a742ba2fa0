#include <levin/serving/protocol/infer_messages.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <variant>

#include <fmt/format.h>

#include <levin/serving/protocol/json_document.h>
#include <levin/serving/protocol/json_text.h>

namespace levin {

namespace {

std::string joined(const InferBody& written) {
  if (!written.is_binary()) return written.body;
  return fmt::format("{}\n", written.json_bytes) + written.body;
}

/// The two parts of what `joined` returns: the value of kJsonLengthHeader, "" if all is JSON, and
/// the body.
struct WireParts {
  std::string json_length{};
  std::string body{};
};

WireParts parts_of(const std::string& text) {
  constexpr size_t kMostDigits = 20;
  const size_t digits = text.find_first_not_of("0123456789");
  if (digits == 0 || digits == std::string::npos || digits > kMostDigits || text[digits] != '\n') {
    return {{}, text};
  }
  return {text.substr(0, digits), text.substr(digits + 1)};
}

}  // namespace

std::string to_wire(const InferenceRequest& request) {
  return joined(write_infer_request(request));
}

std::string to_wire(const InferenceOutcome& outcome) {
  if (const auto* response = std::get_if<InferenceResponse>(&outcome)) {
    return joined(write_infer_response(*response));
  }
  const auto& refusal = std::get<Refusal>(outcome);
  std::string json = "{\"error\":";
  append_json(json, std::string_view(refusal.what()));
  json +=
      fmt::format(",\"status\":{},\"retry_after\":{}}}", refusal.status(), refusal.retry_after());
  return json;
}

InferenceRequest request_from_wire(const std::string& text) {
  const auto parts = parts_of(text);
  return parse_infer_request(parts.body, parts.json_length);
}

InferenceOutcome outcome_from_wire(const std::string& text) {
  const auto parts = parts_of(text);
  if (parts.json_length.empty()) {
    const JsonDocument document(parts.body, parts.body.size());
    const JsonObject root(document.object(), "");
    if (std::string message; root.find("error", message)) {
      int64_t status = 500;
      int64_t retry_after = 0;
      root.find("status", status);
      root.find("retry_after", retry_after);
      const bool is_error = status >= 400 && status <= 599;
      return Refusal(is_error ? static_cast<int>(status) : 500, message,
                     static_cast<int>(std::min<int64_t>(retry_after, 3600)));
    }
  }
  return parse_infer_response(parts.body, parts.json_length);
}

}  // namespace levin
