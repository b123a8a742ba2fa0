#include <gtest/gtest.h>
#include <levin/framework/loggers/mlflow_client.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
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
#include "framework/fake_mlflow.h"
#include "framework/message_of.h"
#include "framework/temporary_folder.h"

namespace levin::test::mlflow_client_test {

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

StateDict state_of_run(const std::string& id, const std::string& token = "") {
  StateDict state;
  state.values["run_id"] = id;
  if (!token.empty()) state.values["token"] = token;
  return state;
}

TEST(MlflowClient, AResumedRunGoesOnWithTheSameOne) {
  FakeMlflow server;
  auto target = target_at(server);
  target.state = state_of_run("r1");
  MlflowClient client(target);
  client.add_metrics({{"a", 1.0}}, 5);
  client.finish(/*failed=*/false, kHour);
  EXPECT_TRUE(server.requests("runs/create").empty());
  EXPECT_EQ(Json::parse(server.requests("runs/update").at(0).body).at("status"), "RUNNING");
  EXPECT_EQ(Json::parse(server.requests("log-batch").at(0).body).at("run_id"), "r1");
}

/// Whether all that was added has been sent.
bool has_sent_all(MlflowClient& client) {
  return client.state_dict().child("unsent").values.at("names").as_array().empty();
}

/// [name, step, value] of each value of a metric that the server took, sorted.
std::vector<std::string> values_at(const FakeMlflow& server) {
  std::vector<std::string> values;
  for (const auto& point : server.logged("metrics")) {
    values.push_back(Json{point.at("key"), point.at("step"), point.at("value")}.dump());
  }
  std::sort(values.begin(), values.end());
  return values;
}

TEST(MlflowClient, WhatAKilledProcessSentAfterItsCheckpointIsNotSentAgain) {
  FakeMlflow server;
  StateDict checkpoint;
  {
    MlflowClient killed(target_at(server));
    for (const int64_t step : {0, 1}) killed.add_metrics({{"a", 0.5}, {"same", 1.0}}, step);
    EXPECT_TRUE(eventually([&] { return has_sent_all(killed); }));
    checkpoint = killed.state_dict().clone();
    killed.add_metrics({{"same", 1.0}}, 1);  // as before the checkpoint, and yet another value
    for (const int64_t step : {2, 3, 4, 5, 6}) {
      killed.add_metrics({{"a", step == 4 ? 0.25 : 1.0 / 3.0}, {"nan", std::nan("")}}, step);
    }
    EXPECT_TRUE(eventually([&] { return has_sent_all(killed); }));
  }
  auto target = target_at(server);
  target.state = checkpoint;
  MlflowClient resumed(target);
  resumed.add_metrics({{"same", 1.0}}, 1);
  for (const int64_t step : {2, 3, 4, 5, 6, 7}) {
    resumed.add_metrics({{"a", 1.0 / 3.0}, {"nan", std::nan("")}}, step);
  }
  resumed.finish(/*failed=*/false, kHour);
  EXPECT_EQ(server.requests("runs/create").size(), 1U);
  std::vector<std::string> expected{R"(["a",0,0.5])",    R"(["a",1,0.5])",
                                    R"(["a",4,0.25])",  // turned out different
                                    R"(["same",0,1.0])", R"(["same",1,1.0])", R"(["same",1,1.0])"};
  for (const int step : {2, 3, 4, 5, 6, 7}) {
    expected.push_back(Json{"a", step, 1.0 / 3.0}.dump());
    expected.push_back(Json{"nan", step, "NaN"}.dump());
  }
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(values_at(server), expected);
}

TEST(MlflowClient, WhatACheckpointKnowsToBeUnsentIsSentByTheResumedRun) {
  std::atomic<bool> is_down{true};
  FakeMlflow server([&](const Request&) { return is_down ? 503 : 0; });
  StateDict checkpoint;
  ::testing::internal::CaptureStderr();
  {
    MlflowClient killed(target_at(server));
    killed.add_settings(Value::Object{{"rate", 0.5}});
    killed.add_text("a text", "texts/a.txt");
    killed.add_metrics({{"a", 0.5}, {"b", INFINITY}}, 0);
    checkpoint = killed.state_dict().clone();
  }
  EXPECT_TRUE(values_at(server).empty());
  is_down = false;
  auto target = target_at(server);
  target.state = checkpoint;
  MlflowClient resumed(target);
  resumed.add_metrics({{"a", 0.25}}, 1);
  resumed.finish(/*failed=*/false, kHour);
  ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(values_at(server), (std::vector<std::string>{R"(["a",0,0.5])", R"(["a",1,0.25])",
                                                         R"(["b",0,"Infinity"])"}));
  EXPECT_EQ(server.logged("params"), Json::parse(R"([{"key": "rate", "value": "0.5"}])"));
  EXPECT_EQ(server.requests("texts/a.txt").back().body, "a text");
}

TEST(MlflowClient, ARunThatItsCheckpointDoesNotNameYetIsFound) {
  FakeMlflow server;
  std::string token;
  {
    MlflowClient killed(target_at(server));
    token = killed.state_dict().values.at("token").as_string();
    EXPECT_TRUE(eventually([&] { return !killed.run_id().empty(); }));
  }
  for (const auto& [known, runs] : {std::pair(token, 1U), std::pair(std::string("other"), 2U)}) {
    auto target = target_at(server);
    target.state = state_of_run("", known);
    MlflowClient resumed(target);
    resumed.finish(/*failed=*/false, kHour);
    EXPECT_EQ(resumed.run_id(), "r1");
    EXPECT_EQ(server.requests("runs/create").size(), runs) << known;
  }
}

/// The Python to run a server with; empty if there is none.
std::string serving_python() {
  if (const char* given = std::getenv("LEVIN_PYTHON")) return given;
  const std::string own = std::string(LEVIN_SOURCE_DIR) + "/.deps/python/bin/python";
  return std::filesystem::exists(own) ? own : std::string();
}

/// Calls `log` with the address of a real server; returns what the server then has of each run,
/// by the run's name, or null if there is no server.
Json at_a_real_server(const std::function<void(const std::string&)>& log) {
  if (serving_python().empty()) return {};
  TemporaryFolder folder;
  const std::string command = "\"" + serving_python() +
                              "\" -B \"" LEVIN_SOURCE_DIR "/tests/baselines/mlflow_serve.py\" \"" +
                              folder.string() + "\"";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  char address[256] = {};
  if (std::fgets(address, sizeof address, pipe) != nullptr) {
    log(std::string(address, std::strcspn(address, "\n")));
  }
  std::ofstream(folder.path() / "done").close();
  std::string output;
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) output += static_cast<char>(c);
  const int status = ::pclose(pipe);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) return {};
  EXPECT_EQ(status, 0) << output;
  return Json::parse(output);
}

void log_a_finished_run(const MlflowTarget& target) {
  MlflowClient client(target);
  client.add_settings(Value::Object{{"model", Value::Object{{"rate", 0.5}, {"name", "adam"}}}});
  client.add_metrics({{"val/loss", 0.5}, {"odd(name)", std::nan("")}}, 3);
  client.add_metrics({{"val/loss", 0.25}}, 4);
  client.add_text("content", "texts/a b.txt");
  client.finish(/*failed=*/false, kHour);
}

/// The value of `loss` that a killed run and the run that resumes it log at a step.
double loss_of_step(int64_t step) { return 0.1 + 0.2 * static_cast<double>(step); }

void log_a_killed_and_resumed_run(const MlflowTarget& target) {
  StateDict checkpoint;
  {
    MlflowClient killed(target);
    killed.add_settings(Value::Object{{"rate", 0.5}});
    killed.add_metrics({{"loss", 0.5}, {"new/epoch", 0.0}}, 0);
    checkpoint = killed.state_dict().clone();  // the run hasn't been made yet
    for (const int64_t step : {1, 2, 3}) {
      killed.add_metrics({{"loss", loss_of_step(step)}, {"inf", -INFINITY}}, step);
    }
    EXPECT_TRUE(eventually([&] { return has_sent_all(killed); }));
  }
  MlflowTarget again = target;
  again.state = checkpoint;
  MlflowClient resumed(again);
  for (const int64_t step : {1, 2, 3, 4}) {
    resumed.add_metrics({{"loss", loss_of_step(step)}, {"inf", -INFINITY}}, step);
  }
  resumed.finish(/*failed=*/false, kHour);
}

// One case, because a server takes ten seconds of a core to start.
TEST(MlflowClient, ARealServerHasWhatItWasSentAndTheValuesOfAKilledRunOnce) {
  const Json has = at_a_real_server([](const std::string& uri) {
    log_a_finished_run({.uri = uri, .experiment = "levin test", .run_name = "finished"});
    log_a_killed_and_resumed_run({.uri = uri, .experiment = "levin test", .run_name = "resumed"});
  });
  if (has.is_null()) {
    GTEST_SKIP() << "no Python that can run a server: set LEVIN_PYTHON to one that has mlflow";
  }
  EXPECT_EQ(has.size(), 2U);
  EXPECT_EQ(has.at("finished"), Json::parse(R"({
    "status": "FINISHED",
    "params": {"model/name": "adam", "model/rate": "0.5"},
    "metrics": {"val/loss": [[3, 0.5], [4, 0.25]], "odd_name_": [[3, "NaN"]]},
    "artifacts": ["texts/a b.txt"]})"));

  const Json& resumed = has.at("resumed");
  Json loss = Json::array({{0, 0.5}});
  std::vector<int> steps;
  for (const int step : {1, 2, 3, 4}) loss.push_back({step, loss_of_step(step)});
  for (const auto& point : resumed.at("metrics").at("inf")) steps.push_back(point.at(0));
  EXPECT_EQ(resumed.at("metrics").at("loss"), loss);
  EXPECT_EQ(resumed.at("metrics").at("new/epoch"), Json::parse("[[0, 0.0]]"));
  EXPECT_EQ(steps, (std::vector<int>{1, 2, 3, 4}));
  EXPECT_EQ(resumed.at("params"), Json::parse(R"({"rate": "0.5"})"));
  EXPECT_EQ(resumed.at("status"), "FINISHED");
}

}  // namespace levin::test::mlflow_client_test
