#include <levin/serving/commands/serve.h>

#include <atomic>
#include <csignal>
#include <initializer_list>
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

namespace levin::serve_redis_test {
namespace {

using test::eventually;
using test::linear_answer;
using test::linear_request;
using test::RawClient;
using test::RedisServer;
using test::ServingProcess;
using test::status_of;

using Numbers = std::vector<double>;

class ServeRedis : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!RedisServer::is_installed()) GTEST_SKIP() << "redis-server isn't installed";
    redis_ = std::make_unique<RedisServer>();
    checkpoints_.save(folder_ / "m.ckpt", 1);
  }

  std::unique_ptr<ServingProcess> serve(std::vector<std::string> more) const {
    more.insert(more.end(), {"--redis", redis_->url()});
    return std::make_unique<ServingProcess>(folder_.path(), std::move(more));
  }
  std::unique_ptr<ServingProcess> front() const {
    return serve({"--role", "front", "--port", "0"});
  }
  std::unique_ptr<ServingProcess> model() const { return serve({"m=m.ckpt", "--role", "model"}); }
  static bool is_ready(int64_t port) {
    return eventually([port] { return status_of(port, "/v2/health/ready") == 200; });
  }

  /// How many requests the model processes have taken and not answered.
  int64_t in_hand() const {
    const auto pending = redis_->ask({"XPENDING", "levin:requests:m", "levin"});
    return pending.elements.empty() ? 0 : pending.elements[0].integer;
  }
  /// Kills a model process at a time at which it has requests in hand.
  void kill_with_requests_in_hand(ServingProcess& models) const {
    ASSERT_TRUE(eventually([&] {
      models.pause();
      // What it had sent before is done when the first answer comes.
      if (in_hand() > 0 && in_hand() > 0) return true;
      models.signal(SIGCONT);
      return false;
    })) << models.printed();
    models.kill();
  }

  /// 500 requests at a time to each of the ports, whose answers must be right, or what `accepts`.
  static test::Askers::Work work(
      std::vector<int64_t> ports,
      std::function<bool(const test::RawResponse&)> accepts = [](const auto&) { return false; }) {
    return {.ports = std::move(ports),
            .request = [](int number) { return linear_request(number); },
            .fault =
                [accepts = std::move(accepts)](int number, const test::RawResponse& response) {
                  if (accepts(response)) return std::string();
                  if (linear_answer(response) == Numbers{number + 2.0}) return std::string();
                  return std::to_string(response.status) + " " + response.body;
                }};
  }

  test::LinearCheckpoints checkpoints_;
  test::TemporaryFolder folder_;
  std::unique_ptr<RedisServer> redis_;
};

TEST_F(ServeRedis, EveryRequestIsAnsweredOnceWhileTheModelProcessIsKilledTenTimes) {
  const auto first = front();
  const auto second = front();
  auto models = model();
  const std::vector<int64_t> ports = {first->port(), second->port()};
  ASSERT_NE(ports[0], ports[1]);
  for (const int64_t port : ports) ASSERT_TRUE(is_ready(port));
  test::Askers askers(work(ports));
  for (int kill = 0; kill < 10; ++kill) {
    ASSERT_TRUE(askers.go_on()) << first->printed() << models->printed();
    kill_with_requests_in_hand(*models);
    ASSERT_GT(in_hand(), 0);
    models = model();
  }
  EXPECT_TRUE(askers.go_on(1000));
  EXPECT_EQ(models->end(), 0);  // what it has taken, it answers
  models = model();
  askers.stop();
  EXPECT_EQ(askers.wrong(), "");
}

TEST_F(ServeRedis, WhatWasTakenIsAnsweredAfterRedisHasEndedUnderLoad) {
  const auto front_end = front();
  const auto models = model();
  const int64_t port = front_end->port();
  ASSERT_TRUE(is_ready(port));
  std::atomic<int64_t> refused = 0;
  test::Askers askers(work({port}, [&refused](const test::RawResponse& response) {
    if (response.status != 503 || response["Retry-After"].empty()) return false;
    ++refused;
    for (const char* reason : {"the queue can't be reached", "the queue takes no requests now",
                               "there is no model process"}) {
      if (response.body.find(reason) != std::string::npos) return true;
    }
    return false;
  }));
  for (int end = 0; end < 3; ++end) {
    ASSERT_TRUE(askers.go_on(1000)) << front_end->printed();
    redis_->kill();
    // A request that was taken before the front end knew would wait for Redis.
    ASSERT_TRUE(eventually([port] { return status_of(port, "/v2/health/ready") == 503; }));
    EXPECT_EQ(RawClient(port).ask(linear_request(1)).status, 503);
    redis_->start();
    ASSERT_TRUE(eventually([&] {
      return linear_answer(RawClient(port).ask(linear_request(1))) == Numbers{3};
    })) << front_end->printed();
  }
  EXPECT_TRUE(askers.go_on(1000));
  askers.stop();
  EXPECT_EQ(askers.wrong(), "");
  EXPECT_LT(refused, askers.answered());
}

TEST_F(ServeRedis, OneProcessMayBeFrontEndAndModelProcess) {
  const auto both = serve({"m=m.ckpt", "--port", "0", "--batch", "100", "--delay", "2000"});
  const auto other = front();
  const int64_t ports[] = {both->port(), other->port()};
  for (const int64_t port : ports) ASSERT_TRUE(is_ready(port));
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 98; ++i) {
    clients.push_back(std::make_unique<RawClient>(ports[i % 2]));
    ASSERT_TRUE(clients.back()->send(linear_request(i)));
  }
  // Those of both front ends wait in Redis, also those of the process that has the model. It
  // answers them before it ends.
  EXPECT_TRUE(eventually([this] { return in_hand() == 98; })) << in_hand();
  both->signal(SIGTERM);
  for (int i = 0; i < 98; ++i) {
    const auto response = clients[static_cast<size_t>(i)]->response();
    EXPECT_EQ(linear_answer(response), Numbers{i + 2.0}) << response.body;
  }
  EXPECT_EQ(both->wait(), 0) << both->printed();
}

TEST_F(ServeRedis, GoesOnAfterRedisWasGoneAndWithANewCheckpoint) {
  redis_->kill();
  const auto front_end = front();
  EXPECT_TRUE(front_end->prints("can't be used"));
  const int64_t port = front_end->port();
  EXPECT_EQ(status_of(port, "/v2/health/ready"), 503);
  EXPECT_EQ(RawClient(port).ask(linear_request(1)).status, 503);
  redis_->start();
  const auto is_answered = [port](double number) {
    return eventually(
        [&] { return linear_answer(RawClient(port).ask(linear_request(1))) == Numbers{number}; });
  };
  // Redis is back, and no model process is there yet.
  ASSERT_TRUE(eventually([port] {
    return RawClient(port).ask(linear_request(1)).body.find("no model process") !=
           std::string::npos;
  }));
  EXPECT_EQ(status_of(port, "/v2/health/ready"), 503);
  const auto models = model();
  ASSERT_TRUE(is_answered(3));
  EXPECT_EQ(status_of(port, "/v2/health/ready"), 200);

  redis_->cli("XADD levin:requests:m '*' id 7 rows '[[5,1]]'");
  std::string answer;
  EXPECT_TRUE(eventually([&] {
    answer = redis_->cli("GET levin:result:7");
    return answer.find("7") != std::string::npos;
  })) << answer;

  redis_->kill();
  redis_->start();
  EXPECT_TRUE(is_answered(3));
  checkpoints_.save(folder_ / "m.ckpt", 2);
  EXPECT_TRUE(is_answered(6));
}

}  // namespace
}  // namespace levin::serve_redis_test
