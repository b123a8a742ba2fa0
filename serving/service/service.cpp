#include <levin/serving/service/service.h>

#include <cmath>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/number_in.h>
#include <levin/serving/backend/capacity.h>
#include <levin/serving/backend/statistics_text.h>
#include <levin/serving/http/http_response.h>
#include <levin/serving/protocol/infer_messages.h>
#include <levin/serving/protocol/json_document.h>
#include <levin/serving/protocol/metadata_json.h>
#include <levin/serving/protocol/openapi.h>
#include <levin/serving/protocol/predict_rows.h>
#include <levin/serving/protocol/reading_memory.h>
#include <levin/serving/service/addresses.h>
#include <levin/serving/service/page.h>
#include <levin/serving/service/slow_work.h>

namespace levin {
namespace {

/// The longest time that a client may ask to wait, in seconds.
constexpr double kLongestTimeout = 86400.0;
/// Reading a text of this size takes little memory, whatever it says.
constexpr size_t kSmallText = size_t{64} << 10;

HttpResponse service_json(std::string body, int status = 200) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

/// What Triton answers with 400 and an empty body, and KServe with a body. Load balancers look at
/// the status, and of 4xx and 5xx only 503 says that it will pass.
HttpResponse state_answer(std::string_view name, bool holds) {
  return service_json(fmt::format("{{\"{}\":{}}}", name, holds), holds ? 200 : 503);
}

HttpResponse wrong_method(const ServiceRoute& route) {
  const std::string_view allowed = route.takes_post ? "POST" : "GET, HEAD";
  auto response = error_response(Refusal(405, fmt::format("this address takes {} only", allowed)));
  response.headers.emplace_back("Allow", allowed);
  return response;
}

/// A host without its port: "[::1]" of "[::1]:8000".
std::string_view host_of(std::string_view authority) {
  const size_t bracket = authority.rfind(']');
  const size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  return authority.substr(0, colon);
}

/// Browsers say from where a page sends a request. A page of another site must not use a service
/// that its reader can reach.
bool comes_from_another_site(const HttpRequest& request) {
  const auto site = header(request.headers, "Sec-Fetch-Site");
  if (!site.empty()) return site == "cross-site" || site == "same-site";
  // Browsers leave Sec-Fetch-Site out if the address is neither https nor loopback.
  const auto origin = header(request.headers, "Origin");
  if (origin.empty()) return false;
  const size_t scheme = origin.find("://");
  if (scheme == std::string_view::npos) return true;  // "null": a file, or a page in a sandbox
  // Proxies may pass on the host without its port.
  return !equals_ignoring_case(host_of(origin.substr(scheme + 3)),
                               host_of(header(request.headers, "Host")));
}

/// Whether a request for the index asks for models that are ready alone.
bool wants_ready_only(const std::string& body) {
  if (body.empty()) return false;
  const JsonDocument document(body, body.size());
  bool ready = false;
  JsonObject(document.object(), "").find("ready", ready);
  return ready;
}

/// Refuses a configuration of the client's own for a model that is to be loaded (400), which would
/// have no effect.
void check_load_parameters(const std::string& body) {
  if (body.empty()) return;
  const JsonDocument document(body, body.size());
  const JsonObject root(document.object(), "");
  simdjson::dom::object parameters;
  if (!root.find("parameters", parameters)) return;
  for (const auto parameter : parameters) {
    if (parameter.key != "config" && !parameter.key.starts_with("file:")) continue;
    throw Refusal::malformed(
        fmt::format("parameters.{}: models are loaded from the files of the server alone; send no "
                    "configuration and no files",
                    parameter.key.substr(0, 64)));
  }
}

/// Takes the header X-Request-Timeout, in seconds, for the deadline of a request that doesn't
/// have a shorter one. Throws Refusal (400).
void apply_timeout(const HttpRequest& request, InferenceRequest& inference) {
  const auto text = header(request.headers, "X-Request-Timeout");
  if (text.empty()) return;
  const double seconds = number_in<double>(text).value_or(0.0);
  if (!(seconds > 0.0) || seconds > kLongestTimeout) {
    throw Refusal::malformed(
        "X-Request-Timeout must be a number of seconds above 0, at most 86400");
  }
  const auto microseconds = static_cast<int64_t>(std::ceil(seconds * 1e6));
  if (!inference.timeout_us || *inference.timeout_us > microseconds) {
    inference.timeout_us = microseconds;
  }
}

class Service {
 public:
  Service(Backend& backend, int64_t memory) : backend_(backend), memory_(memory) {}

  void answer(HttpRequest request, const HttpReply& reply) {
    const ServiceAddress address = find_address(request.path);
    const ServiceRoute& route = *address.route;
    const bool reads = request.method == "GET" || request.method == "HEAD";
    if (route.takes_post ? request.method != "POST" : !reads) return reply(wrong_method(route));
    if (route.takes_post && comes_from_another_site(request)) {
      throw Refusal(403, "pages of other sites can't use this service");
    }
    if (route.action == ServiceAction::load || route.action == ServiceAction::unload) {
      if (route.action == ServiceAction::load) check_load_parameters(request.body);
      return change_models(address, reply);
    }
    if (route.action == ServiceAction::infer) return infer(address, std::move(request), reply);
    if (route.action == ServiceAction::predict) return predict(address, std::move(request), reply);
    reply(answer_at_once(address, request.body));
  }

 private:
  HttpResponse answer_at_once(const ServiceAddress& address, const std::string& body);
  HttpResponse answer_about_model(const ServiceAddress& address);
  void change_models(const ServiceAddress& address, const HttpReply& reply);
  std::vector<ModelStatistics> statistics_of(const ServiceAddress& address) const;
  void infer(const ServiceAddress& address, HttpRequest request, const HttpReply& reply);
  void predict(const ServiceAddress& address, HttpRequest request, const HttpReply& reply);
  /// Asks the backend, and replies with what `write` makes of its answer.
  template <class Write>
  void ask(InferenceRequest request, const HttpReply& reply, Write write);

  HeldMemory hold_reading(std::string_view text);

  Backend& backend_;
  MemoryBudget memory_;
  ProcessMeter meter_{};
  SlowWork slow_work_{};  // the last member, because its work uses the others
};

/// Returns what `make` returns; if it throws, the error.
template <class Make>
HttpResponse response_or_error(const Make& make) {
  try {
    return make();
  } catch (const Refusal& refusal) {
    return error_response(refusal);
  } catch (const std::exception& error) {
    diagnostics::print(fmt::format("warning: a request can't be answered: {}\n", error.what()));
    return error_response(Refusal::failed());
  }
}

template <class Write>
void Service::ask(InferenceRequest request, const HttpReply& reply, Write write) {
  backend_.infer(std::move(request), [reply, write = std::move(write)](InferenceOutcome outcome) {
    reply(response_or_error([&] {
      if (const auto* refusal = std::get_if<Refusal>(&outcome)) throw *refusal;
      return write(std::get<InferenceResponse>(std::move(outcome)));
    }));
  });
}

/// Loads or unloads a model, without keeping the threads of the server from their work.
void Service::change_models(const ServiceAddress& address, const HttpReply& reply) {
  const bool loads = address.route->action == ServiceAction::load;
  const bool is_taken = slow_work_.run([this, reply, loads, model = std::string(address.model)] {
    reply(response_or_error([&] {
      loads ? backend_.load(model) : backend_.unload(model);
      return service_json("{}");
    }));
  });
  if (!is_taken) throw Refusal::overloaded("other models are being loaded", 1);
}

/// Takes the memory that the reading of a text needs, if that is much.
HeldMemory Service::hold_reading(std::string_view text) {
  if (text.size() <= kSmallText) return {};
  const int64_t bytes = reading_memory(text);
  if (bytes > memory_.limit()) {
    throw Refusal::too_large(
        "the server doesn't have the memory to read so many numbers; send fewer rows at a time, or "
        "binary tensors");
  }
  auto held = memory_.take(bytes);
  if (!held) throw Refusal::overloaded("the server reads as many requests as it can", 1);
  return held;
}

void Service::infer(const ServiceAddress& address, HttpRequest request, const HttpReply& reply) {
  const auto json_length = header(request.headers, kJsonLengthHeader);
  std::shared_ptr<const ModelMetadata> model;
  if (json_length == "0") {  // only the model's metadata say what the bytes are
    model = backend_.find(address.model, address.version);
  }
  auto held = hold_reading(std::string_view(request.body)
                               .substr(0, json_length.empty()
                                              ? request.body.size()
                                              : number_in<size_t>(json_length).value_or(0)));
  InferenceRequest inference =
      parse_infer_request(std::move(request.body), json_length, model.get());
  held = {};
  inference.model = address.model;
  inference.version = address.version;
  apply_timeout(request, inference);

  InferenceRequest wanted;
  wanted.outputs = inference.outputs;
  wanted.binary_outputs = inference.binary_outputs;
  std::vector<std::string> labels;
  for (const auto& output : inference.outputs) {
    if (output.classification == 0 || !labels.empty()) continue;
    labels = backend_.find(address.model, address.version)->class_names;
  }
  ask(std::move(inference), reply,
      [wanted = std::move(wanted), labels = std::move(labels)](InferenceResponse response) {
        InferBody body = write_infer_response(response, wanted, labels);
        HttpResponse answer;
        answer.content_type = body.content_type();
        if (body.is_binary()) {
          answer.headers.emplace_back(kJsonLengthHeader, std::to_string(body.json_bytes));
        }
        answer.body = std::move(body.body);
        return answer;
      });
}

HttpResponse Service::answer_at_once(const ServiceAddress& address, const std::string& body) {
  switch (address.route->action) {
    case ServiceAction::live:
      return state_answer("live", true);
    case ServiceAction::ready:
      return state_answer("ready", backend_.is_ready());
    case ServiceAction::page_models:
      return service_json(page_models(backend_.models()));
    case ServiceAction::page:
    case ServiceAction::page_style:
    case ServiceAction::page_script:
      return page_file(address.route->action);
    case ServiceAction::server:
      return service_json(server_metadata_json());
    case ServiceAction::index:
      return service_json(repository_index_json(backend_.models(), wants_ready_only(body)
                                                                       ? std::vector<std::string>()
                                                                       : backend_.unloaded()));
    case ServiceAction::openapi:
      return service_json(openapi_json());
    case ServiceAction::statistics:
      return service_json(statistics_json(backend_.statistics()));
    case ServiceAction::metrics: {
      HttpResponse response = service_json(prometheus_text(backend_.statistics(), meter_.read()));
      response.content_type = kPrometheusType;
      return response;
    }
    default:
      return answer_about_model(address);
  }
}

HttpResponse Service::answer_about_model(const ServiceAddress& address) {
  const auto found = backend_.find(address.model, address.version);
  const ModelMetadata& model = *found;
  switch (address.route->action) {
    case ServiceAction::model:
      return service_json(model_metadata_json(model, versions_of(backend_.models(), model.name)));
    case ServiceAction::model_config:
      return service_json(model_config_json(model));
    case ServiceAction::model_statistics:
      return service_json(statistics_json(statistics_of(address)));
    default:  // model_ready: a model is among them only when it can be asked
      return state_answer("ready", true);
  }
}

std::vector<ModelStatistics> Service::statistics_of(const ServiceAddress& address) const {
  std::vector<ModelStatistics> found;
  for (auto& each : backend_.statistics()) {
    const bool is_asked = address.version.empty() || each.version == address.version;
    if (each.model == address.model && is_asked) found.push_back(std::move(each));
  }
  return found;
}

void Service::predict(const ServiceAddress& address, HttpRequest request, const HttpReply& reply) {
  auto model = backend_.find(address.model, address.version);
  auto held = hold_reading(request.body);
  InferenceRequest inference =
      parse_predict_rows(header(request.headers, "Content-Type"), request.body, *model);
  held = {};
  inference.model = model->name;
  inference.version = address.version;
  apply_timeout(request, inference);
  std::string accept(header(request.headers, "Accept"));
  ask(std::move(inference), reply,
      [model = std::move(model), accept = std::move(accept)](InferenceResponse response) {
        PredictAnswer written = write_predict_answer(response, *model, accept);
        HttpResponse answer;
        answer.content_type = std::move(written.content_type);
        answer.body = std::move(written.body);
        return answer;
      });
}

}  // namespace

HttpHandler service(Backend& backend, int64_t memory) {
  return [service = std::make_shared<Service>(backend, memory)](
             HttpRequest request, HttpReply reply) { service->answer(std::move(request), reply); };
}

}  // namespace levin
