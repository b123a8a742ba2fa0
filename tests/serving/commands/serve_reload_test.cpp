#include <levin/serving/commands/serve.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "framework/eventually.h"
#include "framework/temporary_folder.h"
#include "serving/commands/askers.h"
#include "serving/commands/linear_checkpoints.h"
#include "serving/commands/serving_process.h"
#include "serving/redis/redis_server.h"

// A thousand requests are in flight while new checkpoints are loaded.

namespace levin::serve_reload_test {
namespace {

using test::eventually;
using test::RawClient;
using test::ServingProcess;

constexpr int kRows = 4;
constexpr int kReloads = 10;

class ServeReload : public ::testing::Test {
 protected:
  ServeReload() { publish(1); }

  /// Copies a checkpoint whose factor is `version` into the model's folder.
  void publish(int version) {
    const auto models = folder_ / "models";
    std::filesystem::create_directories(models);
    checkpoints_.save(folder_ / "next.ckpt", version);
    std::filesystem::copy(folder_ / "next.ckpt", models / "next.tmp");
    std::filesystem::rename(models / "next.tmp",
                            models / ("step=" + std::to_string(version) + ".ckpt"));
  }

  static std::string version_at(int64_t port) {
    const std::string body = RawClient(port).ask(test::linear_request(0)).body;
    const std::string name = R"("model_version":")";
    const size_t at = body.find(name);
    if (at == std::string::npos) return body;
    return body.substr(at + name.size(), body.find('"', at + name.size()) - at - name.size());
  }

  /// Loads ten new checkpoints, most of them as soon as they are there and the last one when the
  /// service looks at the folder, with 1,000 requests in flight, and expects that each is answered
  /// once, by one version that the answer names.
  void expect_whole_answers(const std::vector<int64_t>& ports) {
    test::Askers askers({.ports = ports,
                         .connections = 500 / static_cast<int>(ports.size()),
                         .request = [](int number) { return test::linear_request(number, kRows); },
                         .fault =
                             [](int number, const test::RawResponse& response) {
                               return test::linear_fault(number, kRows, response);
                             }});
    for (int version = 2; version <= 1 + kReloads; ++version) {
      ASSERT_TRUE(askers.go_on());
      publish(version);
      if (version <= kReloads) {
        RawClient client(ports.front());
        EXPECT_EQ(client.ask(test::post_request("/v2/repository/models/m/load", "")).status, 200);
      }
      const std::string name = std::to_string(version);
      ASSERT_TRUE(eventually([&] {
        for (const int64_t port : ports) {
          if (version_at(port) != name) return false;
        }
        return true;
      })) << version_at(ports.front());
    }
    askers.go_on();
    askers.stop();
    EXPECT_EQ(askers.wrong(), "");
  }

  test::LinearCheckpoints checkpoints_;
  test::TemporaryFolder folder_;
};

TEST_F(ServeReload, RequestsThatWaitAreAnsweredByOneVersionEachWhileTenAreLoaded) {
  ServingProcess service(folder_.path(), {"m=models", "--port", "0", "--delay", "2"});
  const int64_t port = service.port();
  expect_whole_answers({port});
  EXPECT_EQ(service.end(), 0) << service.printed();
}

TEST_F(ServeReload, RequestsAnsweredAtOnceAreAnsweredByOneVersionEachWhileTenAreLoaded) {
  ServingProcess service(folder_.path(), {"m=models", "--port", "0", "--threads", "2"});
  const int64_t port = service.port();
  expect_whole_answers({port});
  EXPECT_EQ(service.end(), 0) << service.printed();
}

TEST_F(ServeReload, BehindRedisEachRequestIsAnsweredByOneVersionWhileTenAreLoaded) {
  if (!test::RedisServer::is_installed()) GTEST_SKIP() << "redis-server isn't installed";
  test::RedisServer redis;
  const std::vector<std::string> front = {"--role", "front", "--redis", redis.url(), "--port", "0"};
  ServingProcess first(folder_.path(), front);
  ServingProcess second(folder_.path(), front);
  ServingProcess models(folder_.path(), {"m=models", "--role", "model", "--redis", redis.url()});
  for (const auto* each : {&first, &second}) {
    ASSERT_TRUE(eventually([&] {
      return test::status_of(each->port(), "/v2/health/ready") == 200;
    })) << each->printed();
  }
  expect_whole_answers({first.port(), second.port()});
  EXPECT_EQ(models.end(), 0) << models.printed();
}

}  // namespace
}  // namespace levin::serve_reload_test
