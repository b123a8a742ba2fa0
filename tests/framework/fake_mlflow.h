#pragma once

#include <algorithm>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "framework/loopback_server.h"

namespace levin::test {

using Json = nlohmann::json;

/// What the server of a test was asked.
struct Request {
  std::string method;
  std::string path;  // with what follows "?"
  std::string headers;
  std::string body;
};

/// Answers like an MLflow server, on a free port of 127.0.0.1, and keeps what it was asked.
class FakeMlflow {
 public:
  /// A status to answer with instead of doing what is asked for; 0: do it; -1: never answer.
  using Trouble = std::function<int(const Request&)>;

  explicit FakeMlflow(Trouble trouble = {}) : trouble_(std::move(trouble)) {}

  std::string uri() const { return server_.uri(); }
  /// The requests whose path contains `part`.
  std::vector<Request> requests(const std::string& part = "") const {
    const std::lock_guard lock(mutex_);
    std::vector<Request> found;
    for (const auto& request : requests_) {
      if (request.path.find(part) != std::string::npos) found.push_back(request);
    }
    return found;
  }
  /// All members of a list ("metrics", "params") of all batches that were taken.
  Json logged(const std::string& list) const {
    const std::lock_guard lock(mutex_);
    Json all = Json::array();
    for (const auto& batch : batches_) {
      for (const auto& member : batch.value(list, Json::array())) all.push_back(member);
    }
    return all;
  }

 private:
  void handle(int connection) {
    std::string text;
    size_t end = std::string::npos;
    size_t length = 0;
    while (end == std::string::npos || text.size() < end + 4 + length) {
      if (!server_.receive(connection, text)) return;
      end = text.find("\r\n\r\n");
      const size_t at = text.find("Content-Length: ");
      if (end != std::string::npos && at < end) length = std::stoul(text.substr(at + 16));
    }
    const size_t path = text.find(' ') + 1;
    const Request request{text.substr(0, path - 1), text.substr(path, text.find(' ', path) - path),
                          text.substr(0, end), text.substr(end + 4)};
    const int trouble = trouble_ ? trouble_(request) : 0;
    std::pair<int, std::string> answer{trouble, R"({"message": "there is a trouble"})"};
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
      if (trouble == 0) answer = do_it(request);
    }
    if (trouble < 0) {
      server_.wait_for(connection);  // until the client gives up
      return;
    }
    const std::string out =
        "HTTP/1.1 " + std::to_string(answer.first) +
        " Answer\r\nConnection: close\r\nContent-Length: " + std::to_string(answer.second.size()) +
        "\r\n\r\n" + answer.second;
    LoopbackServer::send_all(connection, out);
  }

  std::pair<int, std::string> do_it(const Request& request) {
    const auto is = [&](const char* call) {
      return request.path.starts_with(std::string("/api/2.0/mlflow/") + call);
    };
    const char* const kRun =
        R"({"run": {"info": {"run_id": "r1", "artifact_uri": "mlflow-artifacts:/7/r1/artifacts"}}})";
    if (is("experiments/get-by-name")) {
      if (!has_experiment_) return {404, R"({"error_code": "RESOURCE_DOES_NOT_EXIST"})"};
      return {200, R"({"experiment": {"experiment_id": "7"}})"};
    }
    if (is("experiments/create")) {
      has_experiment_ = true;
      return {200, R"({"experiment_id": "7"})"};
    }
    if (is("runs/search")) {
      const std::string filter = Json::parse(request.body).at("filter");
      const bool is_found = !token_.empty() && filter == "tags.`levin.run` = '" + token_ + "'";
      return {200, is_found ? R"({"runs": [{"info": {"run_id": "r1"}}]})" : "{}"};
    }
    if (is("runs/create")) token_ = Json::parse(request.body).at("tags").at(0).at("value");
    if (is("runs/create") || is("runs/get")) return {200, kRun};
    if (is("runs/log-batch")) batches_.push_back(Json::parse(request.body));
    if (is("metrics/get-history")) return {200, history(request.path).dump()};
    return {200, "{}"};
  }

  /// The value of `name` in what follows "?".
  static std::string argument(const std::string& path, const std::string& name) {
    const size_t at = path.find("&" + name + "=");
    if (at == std::string::npos) return {};
    const size_t begin = at + name.size() + 2;
    return path.substr(begin, path.find('&', begin) - begin);
  }
  /// Pages of three values.
  Json history(const std::string& path) const {
    Json all = Json::array();
    for (const auto& batch : batches_) {
      for (const auto& member : batch.value("metrics", Json::array())) {
        if (member.at("key") == argument(path, "metric_key")) all.push_back(member);
      }
    }
    const std::string page = argument(path, "page_token");
    const size_t begin = page.empty() ? 0 : std::stoul(page);
    const size_t end = std::min(begin + 3, all.size());
    Json answer = Json::object();
    for (size_t i = begin; i < end; ++i) answer["metrics"].push_back(all[i]);
    if (end < all.size()) answer["next_page_token"] = std::to_string(end);
    return answer;
  }

  const Trouble trouble_;
  bool has_experiment_ = false;  // of the server's thread
  mutable std::mutex mutex_;
  std::vector<Request> requests_;
  std::vector<Json> batches_;
  std::string token_;
  LoopbackServer server_{[this](int connection) { handle(connection); }};
};

}  // namespace levin::test
