#include <levin/framework/loggers/mlflow_client.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <filesystem>
#include <initializer_list>

#include <fmt/format.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/flat_settings.h>

namespace levin {
namespace {

constexpr size_t kMetricsAtOnce = 1000;  // MLflow's own limits, like the next
constexpr size_t kSettingsAtOnce = 100;
constexpr size_t kLongestMlflowName = 250;
constexpr size_t kLongestMlflowSetting = 6000;
constexpr double kLongestDelay = 30.0;
constexpr double kDelayAtEnd = 1.0;
constexpr std::string_view kArtifactScheme = "mlflow-artifacts:/";

int64_t milliseconds_now() { return static_cast<int64_t>(files::wall_seconds() * 1e3); }

/// The name as MLflow allows it.
std::string mlflow_name(std::string name) {
  for (char& c : name) {
    const bool is_allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                            (c >= '0' && c <= '9') ||
                            std::string_view("_-. /:").find(c) != std::string_view::npos;
    if (!is_allowed) c = '_';
  }
  return name.substr(0, kLongestMlflowName);
}

/// A number as MLflow's JSON has it.
Value mlflow_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

/// The answer's JSON; null if it isn't JSON.
Value answer_json(const HttpAnswer& answer) {
  try {
    return Value::from_json(answer.body);
  } catch (const CheckpointError&) {
    return {};
  }
}

/// What the server says about an error.
std::string reason_of(const HttpAnswer& answer) {
  if (answer.status == 0) return answer.failure;
  const Value json = answer_json(answer);
  const std::string text = json.contains("message") && json.at("message").is_string()
                               ? json.at("message").as_string()
                               : answer.body;
  return fmt::format("it answered HTTP {}: {}", answer.status, shortened(text));
}

/// A member that is reached by a path of names; an empty text if there is no such text.
std::string text_at(const Value& json, std::initializer_list<std::string_view> path) {
  const Value* at = &json;
  for (const auto name : path) {
    if (!at->contains(name)) return {};
    at = &at->at(name);
  }
  return at->is_string() ? at->as_string() : std::string();
}

}  // namespace

MlflowClient::MlflowClient(MlflowTarget target)
    : target_(std::move(target)),
      server_(target_.timeout, target_.authorization),
      run_id_(target_.run_id),
      thread_([this] { work(); }) {}

MlflowClient::~MlflowClient() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  server_.abort();
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void MlflowClient::add(std::vector<Item> items) {
  bool is_full = false;
  {
    const std::lock_guard lock(mutex_);
    for (Item& item : items) {
      if (is_refused_ || (item.kind != Kind::status && queue_.size() >= target_.queue_size)) {
        is_full = !is_refused_ && left_out_ == 0;
        ++left_out_;
        continue;
      }
      queue_.push_back(std::move(item));
    }
  }
  changed_.notify_all();
  if (is_full) {
    warn(
        fmt::format("{} wait to be sent to MLflow at {}; what comes until there is room again is "
                    "left out",
                    counted(static_cast<int64_t>(target_.queue_size), "value"), target_.uri));
  }
}

void MlflowClient::add_metrics(const std::vector<std::pair<std::string, double>>& metrics,
                               int64_t step) {
  const int64_t now = milliseconds_now();
  std::vector<Item> items;
  items.reserve(metrics.size());
  for (const auto& [name, value] : metrics) {
    items.push_back({Kind::metric, mlflow_name(name), {}, value, step, now});
  }
  add(std::move(items));
}

void MlflowClient::add_settings(const Value& settings) {
  std::vector<Item> items;
  for (const auto& [name, value] : flat_settings(settings)) {
    const std::string text = value.is_string() ? value.as_string() : value.to_json();
    items.push_back({Kind::setting, mlflow_name(name), text.substr(0, kLongestMlflowSetting)});
  }
  add(std::move(items));
}

void MlflowClient::add_file(const std::string& file, const std::string& path) {
  add({{Kind::file, path, file}});
}

void MlflowClient::add_text(const std::string& text, const std::string& path) {
  add({{Kind::text, path, text}});
}

void MlflowClient::finish(bool failed, double timeout) {
  if (!thread_.joinable()) return;
  add({{Kind::status, {}, failed ? "FAILED" : "FINISHED", 0.0, 0, milliseconds_now()}});
  size_t unsent = 0;
  {
    std::unique_lock lock(mutex_);
    is_ending_ = true;
    changed_.notify_all();
    const auto patience = std::chrono::duration<double>(timeout);
    changed_.wait_for(lock, patience, [&] { return is_refused_ || (queue_.empty() && is_idle_); });
    stops_ = true;
  }
  server_.abort();
  changed_.notify_all();
  thread_.join();
  unsent = queue_.size() + left_out_;
  if (unsent > 0) {
    diagnostics::print(fmt::format("warning: MLflow at {} lacks {}, which couldn't be sent\n",
                                   target_.uri,
                                   counted(static_cast<int64_t>(unsent), "logged value")));
  } else if (has_warned_) {
    diagnostics::print(fmt::format("MLflow at {} has got everything after all\n", target_.uri));
  }
}

std::string MlflowClient::run_id() const {
  const std::lock_guard lock(mutex_);
  return run_id_;
}

void MlflowClient::work() {
  double delay = target_.retry_delay;
  std::unique_lock lock(mutex_);
  while (!stops_ && !is_refused_) {
    if (is_ready_ && queue_.empty()) {
      is_idle_ = true;
      changed_.notify_all();
      changed_.wait(lock, [&] { return stops_ || !queue_.empty(); });
      continue;
    }
    is_idle_ = false;
    // The batch stays in the queue until it was sent, so that it counts as waiting.
    std::vector<Item> batch;
    for (const Item& item : queue_) {
      if (!is_ready_ || (!batch.empty() && item.kind != batch.front().kind)) break;
      batch.push_back(item);
      const bool is_many = item.kind == Kind::metric || item.kind == Kind::setting;
      if (batch.size() == (item.kind == Kind::metric ? kMetricsAtOnce : kSettingsAtOnce)) break;
      if (!is_many) break;
    }
    lock.unlock();
    bool is_done = false;
    try {
      is_done = batch.empty() ? make_run() : send(batch);
    } catch (const std::exception& error) {  // such as no memory
      warn(fmt::format("MLflow at {}: {}", target_.uri, error.what()));
    }
    lock.lock();
    if (is_done) {
      queue_.erase(queue_.begin(), queue_.begin() + std::ssize(batch));
      delay = target_.retry_delay;
      continue;
    }
    if (is_refused_) break;
    const double most = is_ending_ ? kDelayAtEnd : kLongestDelay;
    const std::chrono::duration<double> wait(std::min(delay, most));
    const bool was_ending = is_ending_;
    changed_.wait_for(lock, wait, [&] { return stops_ || is_ending_ != was_ending; });
    delay = std::min(delay * 2, kLongestDelay);
  }
  if (is_refused_) left_out_ += queue_.size();
  if (is_refused_) queue_.clear();
  changed_.notify_all();
}

HttpAnswer MlflowClient::post(const std::string& call, const Value& body) {
  return server_.send("POST", target_.uri + "/api/2.0/mlflow/" + call, body.to_json());
}

bool MlflowClient::settles(const HttpAnswer& answer, const std::string& what, size_t items) {
  if (answer.is_ok()) return true;
  {
    const std::lock_guard lock(mutex_);
    if (stops_) return false;
    if (!answer.is_worth_retrying()) left_out_ += items;
  }
  const bool is_retried = answer.is_worth_retrying();
  warn(fmt::format("MLflow at {} didn't take {}: {}; training goes on, and {}", target_.uri, what,
                   reason_of(answer), is_retried ? "this is tried again" : "it is left out"));
  return !is_retried;
}

HttpAnswer MlflowClient::get(const std::string& call) {
  return server_.send("GET", target_.uri + "/api/2.0/mlflow/" + call, "");
}

HttpAnswer MlflowClient::find_experiment(std::string& id) {
  const std::string by_name =
      "experiments/get-by-name?experiment_name=" + HttpConnection::escaped(target_.experiment);
  HttpAnswer answer = get(by_name);
  if (answer.status == 404) {
    answer = post("experiments/create", Value::Object{{"name", target_.experiment}});
    id = text_at(answer_json(answer), {"experiment_id"});
    if (answer.status != 400) return answer;
    answer = get(by_name);  // another run has made it meanwhile
  }
  id = text_at(answer_json(answer), {"experiment", "experiment_id"});
  return answer;
}

HttpAnswer MlflowClient::create_run() {
  std::string experiment;
  HttpAnswer answer = find_experiment(experiment);
  if (!answer.is_ok()) return answer;
  return post("runs/create", Value::Object{{"experiment_id", experiment},
                                           {"run_name", target_.run_name},
                                           {"start_time", milliseconds_now()}});
}

HttpAnswer MlflowClient::reopen_run(const std::string& id) {
  HttpAnswer answer = post("runs/update", Value::Object{{"run_id", id}, {"status", "RUNNING"}});
  if (!answer.is_ok()) return answer;
  return get("runs/get?run_id=" + HttpConnection::escaped(id));
}

bool MlflowClient::make_run() {
  const std::string old_run = run_id();
  HttpAnswer answer = old_run.empty() ? create_run() : reopen_run(old_run);
  const Value json = answer_json(answer);
  const std::string id = text_at(json, {"run", "info", "run_id"});
  if (answer.is_ok() && id.empty()) {  // another kind of server
    answer = {404, "the answer has no run_id, so it isn't MLflow's"};
  }
  if (!answer.is_ok()) {
    const bool is_refused = settles(answer, "the run", 0);
    const std::lock_guard lock(mutex_);
    is_refused_ = is_refused;
    return false;
  }
  const std::string uri = text_at(json, {"run", "info", "artifact_uri"});
  if (uri.starts_with(kArtifactScheme)) artifact_path_ = uri.substr(kArtifactScheme.size());
  is_ready_ = true;
  const std::lock_guard lock(mutex_);
  run_id_ = id;
  return true;
}

bool MlflowClient::send_artifact(const Item& item) {
  if (artifact_path_.empty()) {
    {
      const std::lock_guard lock(mutex_);
      ++left_out_;
    }
    warn(
        fmt::format("MLflow at {} doesn't take files itself, so '{}' and others are left out; "
                    "start it with --serve-artifacts",
                    target_.uri, item.name));
    return true;
  }
  std::string body = item.text;
  if (item.kind == Kind::file) {
    try {
      body = files::read_text(item.text);
    } catch (const CheckpointError& error) {
      {
        const std::lock_guard lock(mutex_);
        ++left_out_;
      }
      warn(fmt::format("{}; it isn't sent to MLflow", error.what()));
      return true;
    }
  }
  std::string url = target_.uri + "/api/2.0/mlflow-artifacts/artifacts/" + artifact_path_;
  for (const auto& part : std::filesystem::path(item.name)) {
    url += "/" + HttpConnection::escaped(part.string());
  }
  return settles(server_.send("PUT", url, body, "application/octet-stream"),
                 "the file '" + item.name + "'", 1);
}

bool MlflowClient::send(const std::vector<Item>& batch) {
  const Item& first = batch.front();
  if (first.kind == Kind::file || first.kind == Kind::text) return send_artifact(first);
  if (first.kind == Kind::status) {
    const auto answer = post("runs/update", Value::Object{{"run_id", run_id()},
                                                          {"status", first.text},
                                                          {"end_time", first.milliseconds}});
    return settles(answer, "the end of the run", 1);
  }
  Value::Array members;
  for (const Item& item : batch) {
    if (item.kind == Kind::metric) {
      members.push_back(Value::Object{{"key", item.name},
                                      {"value", mlflow_number(item.value)},
                                      {"timestamp", item.milliseconds},
                                      {"step", item.step}});
    } else {
      members.push_back(Value::Object{{"key", item.name}, {"value", item.text}});
    }
  }
  const char* const list = first.kind == Kind::metric ? "metrics" : "params";
  const auto answer =
      post("runs/log-batch", Value::Object{{"run_id", run_id()}, {list, std::move(members)}});
  return settles(answer, fmt::format("a batch of {}", list), batch.size());
}

void MlflowClient::warn(const std::string& text) {
  {
    const std::lock_guard lock(mutex_);
    if (has_warned_) return;
    has_warned_ = true;
  }
  diagnostics::print(fmt::format("warning: {}\n", text));
}

}  // namespace levin
