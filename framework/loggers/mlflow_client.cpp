#include <levin/framework/loggers/mlflow_client.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <random>

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

/// 128 random bits. They don't come from the generators that training draws from.
std::string random_token() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

}  // namespace

MlflowClient::MlflowClient(MlflowTarget target)
    : target_(std::move(target)), server_(target_.uri, target_.timeout, target_.authorization) {
  if (target_.state) {
    const Value& values = target_.state->values;
    run_id_ = values.at("run_id").as_string();
    if (values.contains("token")) token_ = values.at("token").as_string();
    may_exist_ = !token_.empty();
    if (values.contains("time")) {
      const int64_t time = values.at("time").as_int();
      const auto unsent = items_of_state(target_.state->child("unsent"));
      time_ = time + 1;
      history_.emplace(time, unsent);
      queue_.assign(unsent.begin(), unsent.end());
    }
  }
  if (token_.empty()) token_ = random_token();
  thread_ = std::thread([this] { work(); });
}

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

int64_t MlflowClient::next_time() { return time_ = std::max(time_, milliseconds_now()); }

StateDict MlflowClient::state_dict() {
  const std::lock_guard lock(mutex_);
  StateDict state;
  state.values["run_id"] = run_id_;
  state.values["token"] = token_;
  state.values["time"] = next_time();
  ++time_;
  state.add("unsent", state_of_items({queue_.begin(), queue_.end()}));
  return state;
}

void MlflowClient::add_metrics(const std::vector<std::pair<std::string, double>>& metrics,
                               int64_t step) {
  int64_t now = 0;
  {
    const std::lock_guard lock(mutex_);
    now = next_time();
  }
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

bool MlflowClient::settles(const HttpAnswer& answer, const std::string& what, size_t items) {
  if (answer.is_ok()) return true;
  {
    const std::lock_guard lock(mutex_);
    if (stops_) return false;
    if (!answer.is_worth_retrying()) left_out_ += items;
  }
  const bool is_retried = answer.is_worth_retrying();
  warn(fmt::format("MLflow at {} didn't take {}: {}; training goes on, and {}", target_.uri, what,
                   MlflowApi::reason_of(answer),
                   is_retried ? "this is tried again" : "it is left out"));
  return !is_retried;
}

bool MlflowClient::make_run() {
  const std::string old_run = run_id();
  MlflowRun run;
  const HttpAnswer answer = old_run.empty()
                                ? server_.make_run(target_.experiment, target_.run_name, token_,
                                                   std::exchange(may_exist_, true), run)
                                : server_.reopen_run(old_run, run);
  if (!answer.is_ok()) {
    const bool is_refused = settles(answer, "the run", 0);
    const std::lock_guard lock(mutex_);
    is_refused_ = is_refused;
    return false;
  }
  artifact_path_ = run.artifact_path;
  is_ready_ = true;
  const std::lock_guard lock(mutex_);
  run_id_ = run.id;
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
  return settles(server_.put_file(artifact_path_, item.name, body), "the file '" + item.name + "'",
                 1);
}

bool MlflowClient::send(const std::vector<Item>& batch) {
  const Item& first = batch.front();
  if (first.kind == Kind::file || first.kind == Kind::text) return send_artifact(first);
  if (first.kind == Kind::metric) return send_metrics(batch);
  if (first.kind == Kind::status) {
    return settles(server_.end_run(run_id(), first), "the end of the run", 1);
  }
  return settles(server_.log_batch(run_id(), batch), "a batch of params", batch.size());
}

bool MlflowClient::send_metrics(std::vector<Item> batch) {
  const std::string run = run_id();
  std::vector<Item> there;  // at the server, from a process that was killed
  if (history_) {
    for (const Item& item : batch) {
      if (history_->knows(item.name)) continue;
      std::vector<Item> points;
      if (!settles(server_.history(run, item.name, points), "a question for its values", 0)) {
        return false;
      }
      history_->add(item.name, points);
    }
    const auto is_there = [&](const Item& item) {
      if (!history_->take(item)) return false;
      there.push_back(item);
      return true;
    };
    batch.erase(std::remove_if(batch.begin(), batch.end(), is_there), batch.end());
  }
  if (batch.empty() || settles(server_.log_batch(run, batch), "a batch of metrics", batch.size())) {
    return true;
  }
  for (const Item& item : there) history_->put_back(item);
  return false;
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
