#include <levin/framework/loggers/mlflow_api.h>

#include <cmath>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

namespace levin {
namespace {

constexpr std::string_view kArtifactScheme = "mlflow-artifacts:/";
constexpr const char* kTokenTag = "levin.run";

/// A number as MLflow's JSON has it.
Value mlflow_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

/// The number that MLflow's JSON has.
double number_from_mlflow(const Value& value) {
  if (value.is_int() || value.is_double()) return value.as_double();
  if (!value.is_string()) return 0.0;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (value.as_string() == "Infinity") return kInfinity;
  if (value.as_string() == "-Infinity") return -kInfinity;
  return std::numeric_limits<double>::quiet_NaN();
}

/// The answer's JSON; null if it isn't JSON.
Value answer_json(const HttpAnswer& answer) {
  try {
    return Value::from_json(answer.body);
  } catch (const CheckpointError&) {
    return {};
  }
}

/// A member that is reached by a path of names; null if there is none.
Value member_at(const Value& json, std::initializer_list<std::string_view> path) {
  const Value* at = &json;
  for (const auto name : path) {
    if (!at->contains(name)) return {};
    at = &at->at(name);
  }
  return *at;
}

/// The same for a text; empty if there is no such text.
std::string text_at(const Value& json, std::initializer_list<std::string_view> path) {
  const Value found = member_at(json, path);
  return found.is_string() ? found.as_string() : std::string();
}

/// The run that an answer describes. The answer becomes an error if it describes none.
MlflowRun run_in(HttpAnswer& answer) {
  const Value json = answer_json(answer);
  MlflowRun run{.id = text_at(json, {"run", "info", "run_id"})};
  if (answer.is_ok() && run.id.empty()) {  // another kind of server
    answer = {404, "the answer has no run_id, so it isn't MLflow's"};
  }
  const std::string uri = text_at(json, {"run", "info", "artifact_uri"});
  if (uri.starts_with(kArtifactScheme)) run.artifact_path = uri.substr(kArtifactScheme.size());
  return run;
}

}  // namespace

MlflowApi::MlflowApi(std::string uri, double timeout, std::string authorization)
    : uri_(std::move(uri)), server_(timeout, std::move(authorization)) {}

std::string MlflowApi::reason_of(const HttpAnswer& answer) {
  if (answer.status == 0) return answer.failure;
  const std::string message = text_at(answer_json(answer), {"message"});
  return fmt::format("it answered HTTP {}: {}", answer.status,
                     shortened(message.empty() ? answer.body : message));
}

HttpAnswer MlflowApi::get(const std::string& call) {
  return server_.send("GET", uri_ + "/api/2.0/mlflow/" + call, "");
}

HttpAnswer MlflowApi::post(const std::string& call, const Value& body) {
  return server_.send("POST", uri_ + "/api/2.0/mlflow/" + call, body.to_json());
}

HttpAnswer MlflowApi::find_experiment(const std::string& name, std::string& id) {
  const std::string by_name =
      "experiments/get-by-name?experiment_name=" + HttpConnection::escaped(name);
  HttpAnswer answer = get(by_name);
  if (answer.status == 404) {
    answer = post("experiments/create", Value::Object{{"name", name}});
    id = text_at(answer_json(answer), {"experiment_id"});
    if (answer.status != 400) return answer;
    answer = get(by_name);  // another run has made it meanwhile
  }
  id = text_at(answer_json(answer), {"experiment", "experiment_id"});
  return answer;
}

HttpAnswer MlflowApi::make_run(const std::string& experiment, const std::string& name,
                               const std::string& token, bool may_exist, MlflowRun& run) {
  std::string id;
  HttpAnswer answer = find_experiment(experiment, id);
  if (!answer.is_ok()) return answer;
  if (may_exist) {
    answer = post("runs/search",
                  Value::Object{{"experiment_ids", Value::Array{id}},
                                {"filter", fmt::format("tags.`{}` = '{}'", kTokenTag, token)},
                                {"max_results", 1}});
    if (!answer.is_ok()) return answer;
    const Value runs = member_at(answer_json(answer), {"runs"});
    if (runs.is_array() && !runs.as_array().empty()) {
      return reopen_run(text_at(runs.as_array().front(), {"info", "run_id"}), run);
    }
  }
  const Value tag = Value::Object{{"key", kTokenTag}, {"value", token}};
  answer = post("runs/create",
                Value::Object{{"experiment_id", id},
                              {"run_name", name},
                              {"start_time", static_cast<int64_t>(files::wall_seconds() * 1e3)},
                              {"tags", Value::Array{tag}}});
  run = run_in(answer);
  return answer;
}

HttpAnswer MlflowApi::reopen_run(const std::string& id, MlflowRun& run) {
  HttpAnswer answer = post("runs/update", Value::Object{{"run_id", id}, {"status", "RUNNING"}});
  if (!answer.is_ok()) return answer;
  answer = get("runs/get?run_id=" + HttpConnection::escaped(id));
  run = run_in(answer);
  return answer;
}

HttpAnswer MlflowApi::history(const std::string& run_id, const std::string& name,
                              std::vector<MlflowItem>& points) {
  const std::string call =
      "metrics/get-history?max_results=20000&run_id=" + HttpConnection::escaped(run_id) +
      "&metric_key=" + HttpConnection::escaped(name);
  std::string page;
  for (;;) {
    HttpAnswer answer = get(page.empty() ? call : call + "&page_token=" + page);
    if (!answer.is_ok()) return answer;
    const Value json = answer_json(answer);
    const Value found = member_at(json, {"metrics"});  // there is none if the metric is unknown
    if (found.is_array()) {
      for (const Value& point : found.as_array()) {
        const auto whole = [&](const char* member) {
          const Value value = member_at(point, {member});
          return value.is_int() ? value.as_int() : 0;
        };
        points.push_back({MlflowItem::Kind::metric,
                          name,
                          {},
                          number_from_mlflow(member_at(point, {"value"})),
                          whole("step"),
                          whole("timestamp")});
      }
    }
    page = HttpConnection::escaped(text_at(json, {"next_page_token"}));
    if (page.empty()) return answer;
  }
}

HttpAnswer MlflowApi::log_batch(const std::string& run_id, const std::vector<MlflowItem>& items) {
  Value::Array members;
  for (const MlflowItem& item : items) {
    if (item.kind == MlflowItem::Kind::metric) {
      members.push_back(Value::Object{{"key", item.name},
                                      {"value", mlflow_number(item.value)},
                                      {"timestamp", item.milliseconds},
                                      {"step", item.step}});
    } else {
      members.push_back(Value::Object{{"key", item.name}, {"value", item.text}});
    }
  }
  const bool are_metrics = items.front().kind == MlflowItem::Kind::metric;
  return post(
      "runs/log-batch",
      Value::Object{{"run_id", run_id}, {are_metrics ? "metrics" : "params", std::move(members)}});
}

HttpAnswer MlflowApi::end_run(const std::string& run_id, const MlflowItem& status) {
  return post("runs/update",
              Value::Object{
                  {"run_id", run_id}, {"status", status.text}, {"end_time", status.milliseconds}});
}

HttpAnswer MlflowApi::put_file(const std::string& artifact_path, const std::string& name,
                               const std::string& content) {
  std::string url = uri_ + "/api/2.0/mlflow-artifacts/artifacts/" + artifact_path;
  for (const auto& part : std::filesystem::path(name)) {
    url += "/" + HttpConnection::escaped(part.string());
  }
  return server_.send("PUT", url, content, "application/octet-stream");
}

}  // namespace levin
