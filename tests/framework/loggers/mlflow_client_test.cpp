#include <gtest/gtest.h>
#include <levin/framework/loggers/mlflow_client.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "framework/eventually.h"
#include "framework/loopback_server.h"
#include "framework/message_of.h"
#include "framework/temporary_folder.h"

namespace levin::test::mlflow_client_test {

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
    if (is("runs/create") || is("runs/get")) return {200, kRun};
    if (is("runs/log-batch")) batches_.push_back(Json::parse(request.body));
    return {200, "{}"};
  }

  const Trouble trouble_;
  bool has_experiment_ = false;  // of the server's thread
  mutable std::mutex mutex_;
  std::vector<Request> requests_;
  std::vector<Json> batches_;
  LoopbackServer server_{[this](int connection) { handle(connection); }};
};

MlflowTarget target_at(const FakeMlflow& server) {
  return {.uri = server.uri(),
          .experiment = "an experiment",
          .run_name = "version_0",
          .authorization = "Bearer abc",
          .timeout = 3600.0,
          .retry_delay = 0.001};
}

constexpr double kHour = 3600.0;

TEST(MlflowClient, SendsARunInTheCallsOfTheRestApi) {
  FakeMlflow server;
  TemporaryFolder folder;
  std::ofstream(folder.path() / "a.txt") << "content";
  MlflowClient client(target_at(server));
  client.add_settings(Value::Object{{"model", Value::Object{{"rate", 0.5}, {"name", "adam"}}}});
  client.add_metrics({{"val/loss", 0.5}, {"odd(name)", std::nan("")}}, 3);
  client.add_metrics({{"val/loss", -INFINITY}}, 4);
  client.add_file((folder.path() / "a.txt").string(), "some files/a.txt");
  client.finish(/*failed=*/false, kHour);
  EXPECT_EQ(client.run_id(), "r1");

  ASSERT_EQ(server.requests("experiments/create").size(), 1U);
  const auto created = Json::parse(server.requests("runs/create").at(0).body);
  EXPECT_EQ(created.at("experiment_id"), "7");
  EXPECT_EQ(created.at("run_name"), "version_0");
  EXPECT_EQ(server.logged("params"), Json::parse(R"([{"key": "model/name", "value": "adam"},
                            {"key": "model/rate", "value": "0.5"}])"));
  const auto metrics = server.logged("metrics");
  ASSERT_EQ(metrics.size(), 3U);
  EXPECT_EQ(metrics[0].at("key"), "val/loss");
  EXPECT_EQ(metrics[0].at("value"), 0.5);
  EXPECT_EQ(metrics[0].at("step"), 3);
  EXPECT_GT(metrics[0].at("timestamp"), 1'600'000'000'000);
  EXPECT_EQ(metrics[1].at("key"), "odd_name_");
  EXPECT_EQ(metrics[1].at("value"), "NaN");
  EXPECT_EQ(metrics[2].at("value"), "-Infinity");
  const auto files = server.requests("mlflow-artifacts");
  ASSERT_EQ(files.size(), 1U);
  EXPECT_EQ(files[0].method, "PUT");
  EXPECT_EQ(files[0].path, "/api/2.0/mlflow-artifacts/artifacts/7/r1/artifacts/some%20files/a.txt");
  EXPECT_EQ(files[0].body, "content");
  const auto end = Json::parse(server.requests("runs/update").at(0).body);
  EXPECT_EQ(end.at("status"), "FINISHED");
  for (const auto& request : server.requests()) {
    EXPECT_NE(request.headers.find("Authorization: Bearer abc"), std::string::npos);
  }
}

TEST(MlflowClient, SendsAgainUntilATroubledServerTakesIt) {
  std::map<std::string, int> times;  // of the server's thread
  FakeMlflow server([&](const Request& request) { return ++times[request.path] <= 2 ? 503 : 0; });
  ::testing::internal::CaptureStderr();
  MlflowClient client(target_at(server));
  client.add_metrics({{"loss", 0.5}}, 3);
  client.finish(/*failed=*/true, kHour);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_TRUE(says(
      said, {"HTTP 503: there is a trouble", "training goes on", "has got everything after all"}));
  EXPECT_EQ(said.find("warning:"), said.rfind("warning:")) << said;
  EXPECT_EQ(server.logged("metrics").size(), 1U);
  EXPECT_EQ(server.requests("log-batch").size(), 3U);
  EXPECT_EQ(Json::parse(server.requests("runs/update").back().body).at("status"), "FAILED");
}

TEST(MlflowClient, MetricsGoTogetherInBatchesOfAtMostAThousand) {
  std::atomic<bool> may_begin{false};
  FakeMlflow server([&](const Request&) { return may_begin ? 0 : 503; });
  ::testing::internal::CaptureStderr();
  MlflowClient client(target_at(server));
  for (int64_t step = 0; step < 1200; ++step) client.add_metrics({{"a", 1.0}, {"b", 2.0}}, step);
  may_begin = true;
  client.finish(/*failed=*/false, kHour);
  ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(server.logged("metrics").size(), 2400U);
  EXPECT_EQ(server.requests("log-batch").size(), 3U);
}

TEST(MlflowClient, WhatTheServerRefusesIsLeftOutAndCounted) {
  FakeMlflow server([](const Request& request) {
    return request.path.find("log-batch") != std::string::npos ? 400 : 0;
  });
  ::testing::internal::CaptureStderr();
  MlflowClient client(target_at(server));
  client.add_metrics({{"a", 1.0}, {"b", 2.0}}, 0);
  client.finish(/*failed=*/false, kHour);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_TRUE(says(said, {"HTTP 400", "it is left out", "lacks 2 logged values"}));
  EXPECT_EQ(server.requests("log-batch").size(), 1U);
  EXPECT_EQ(server.requests("runs/update").size(), 1U);
}

TEST(MlflowClient, AFullQueueLeavesOutWhatComesThen) {
  FakeMlflow server([](const Request&) { return -1; });
  auto target = target_at(server);
  target.queue_size = 10;
  ::testing::internal::CaptureStderr();
  {
    MlflowClient client(target);
    for (int64_t step = 0; step < 15; ++step) client.add_metrics({{"a", 1.0}}, step);
    client.finish(/*failed=*/false, /*timeout=*/0.0);
  }
  const std::string said = ::testing::internal::GetCapturedStderr();
  // 10 that waited, 5 that didn't fit, and the end of the run.
  EXPECT_TRUE(says(said, {"10 values wait to be sent", "lacks 16 logged values"}));
}

TEST(MlflowClient, AServerThatNeverAnswersIsGivenUpAtTheEnd) {
  FakeMlflow server([](const Request&) { return -1; });
  ::testing::internal::CaptureStderr();
  MlflowClient client(target_at(server));
  client.add_metrics({{"a", 1.0}}, 0);
  EXPECT_TRUE(eventually([&] { return !server.requests().empty(); }));
  client.finish(/*failed=*/false, /*timeout=*/0.01);  // a request may take an hour
  EXPECT_TRUE(says(::testing::internal::GetCapturedStderr(), {"lacks 2 logged values"}));
  EXPECT_EQ(client.run_id(), "");
}

TEST(MlflowClient, AnotherKindOfServerIsGivenUpAtOnce) {
  FakeMlflow server([](const Request&) { return 200; });
  ::testing::internal::CaptureStderr();
  MlflowClient client(target_at(server));
  client.add_metrics({{"a", 1.0}}, 0);
  client.finish(/*failed=*/false, kHour);
  EXPECT_TRUE(says(::testing::internal::GetCapturedStderr(),
                   {"the answer has no run_id", "lacks 2 logged values"}));
}

TEST(MlflowClient, AResumedRunGoesOnWithTheSameOne) {
  FakeMlflow server;
  auto target = target_at(server);
  target.run_id = "r1";
  MlflowClient client(target);
  client.add_metrics({{"a", 1.0}}, 5);
  client.finish(/*failed=*/false, kHour);
  EXPECT_TRUE(server.requests("runs/create").empty());
  EXPECT_EQ(Json::parse(server.requests("runs/update").at(0).body).at("status"), "RUNNING");
  EXPECT_EQ(Json::parse(server.requests("log-batch").at(0).body).at("run_id"), "r1");
}

/// The Python to run a server with; empty if there is none.
std::string serving_python() {
  if (const char* given = std::getenv("LEVIN_PYTHON")) return given;
  const std::string own = std::string(LEVIN_SOURCE_DIR) + "/.deps/python/bin/python";
  return std::filesystem::exists(own) ? own : std::string();
}

TEST(MlflowClient, ARealServerHasWhatItWasSent) {
  if (serving_python().empty()) {
    GTEST_SKIP() << "no Python to run a server with: set LEVIN_PYTHON to one that has mlflow";
  }
  TemporaryFolder folder;
  const std::string command = "\"" + serving_python() +
                              "\" -B \"" LEVIN_SOURCE_DIR "/tests/baselines/mlflow_serve.py\" \"" +
                              folder.string() + "\"";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  char address[256] = {};
  if (std::fgets(address, sizeof address, pipe) != nullptr) {
    const std::string uri(address, std::strcspn(address, "\n"));
    MlflowClient client({.uri = uri, .experiment = "levin test", .run_name = "version_0"});
    client.add_settings(Value::Object{{"model", Value::Object{{"rate", 0.5}, {"name", "adam"}}}});
    client.add_metrics({{"val/loss", 0.5}, {"odd(name)", std::nan("")}}, 3);
    client.add_metrics({{"val/loss", 0.25}}, 4);
    client.add_text("content", "texts/a b.txt");
    client.finish(/*failed=*/false, kHour);
  }
  std::ofstream(folder.path() / "done").close();
  std::string output;
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) output += static_cast<char>(c);
  const int status = ::pclose(pipe);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << serving_python() << " lacks mlflow's server";
  ASSERT_EQ(WEXITSTATUS(status), 0) << output;
  EXPECT_EQ(Json::parse(output), Json::parse(R"({
    "status": "FINISHED", "run_name": "version_0",
    "params": {"model/name": "adam", "model/rate": "0.5"},
    "metrics": {"val/loss": [[3, 0.5], [4, 0.25]], "odd_name_": [[3, "NaN"]]},
    "artifacts": ["texts/a b.txt"]})"));
}

}  // namespace levin::test::mlflow_client_test
