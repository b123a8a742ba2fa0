#include <levin/serving/commands/serve.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <levin/datamodules/array.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/models/linear_regression.h>

#include "cli/program.h"
#include "framework/eventually.h"
#include "framework/support.h"
#include "serving/http/raw_client.h"
#include "serving/redis/redis_server.h"

namespace levin::serve_redis_test {
namespace {

using test::eventually;
using test::RawClient;
using test::RedisServer;

/// A process of the service, which ends with the object.
class Process {
 public:
  explicit Process(pid_t id) : id_(id) {}
  ~Process() { kill(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void kill() {
    if (id_ <= 0) return;
    ::kill(id_, SIGKILL);
    ::waitpid(id_, nullptr, 0);
    id_ = -1;
  }
  /// Asks it to end, and returns its exit status.
  int end() {
    ::kill(id_, SIGTERM);
    int status = 0;
    ::waitpid(std::exchange(id_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t id_;
};

std::string request_for(int row) {
  return test::post_request(
      "/v2/models/m/infer",
      R"({"inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"data":[)" +
          std::to_string(row) + R"(,1]}]})");
}

/// The number in an answer; -1 if it isn't one.
double number_of(const test::RawResponse& response) {
  if (response.status != 200) return -1;
  const size_t at = response.body.find("\"data\":[");
  return at == std::string::npos ? -1 : std::atof(response.body.c_str() + at + 8);
}

class ServeRedis : public test::ProgramTest {
 protected:
  void SetUp() override {
    if (!RedisServer::is_installed()) GTEST_SKIP() << "redis-server isn't installed";
    redis_ = std::make_unique<RedisServer>();
  }

  /// Saves a linear regression into m.ckpt that predicts `factor` (a + b + 1) for the row (a, b).
  void save(double factor) {
    if (state_.tensors.empty()) {
      LinearRegression model({.in_features = 2});
      ArrayDataModule data(torch::ones({4, 2}), torch::ones({4}),
                           {.val_split = 0.0, .test_split = 0.0, .target_type = "value"});
      Trainer trainer(
          {.accelerator = "cpu", .max_epochs = 1, .default_root_dir = folder_.string()});
      trainer.fit(model, data);
      trainer.save_checkpoint(folder_ / "trained.ckpt");
      state_ = load_checkpoint(folder_ / "trained.ckpt");
    }
    auto state = state_;
    for (auto& [name, tensor] : state.tensors) {
      if (name.starts_with("model.")) tensor = torch::full_like(tensor, factor);
    }
    save_checkpoint(folder_ / "m.ckpt", state);
  }

  std::string printed() const { return test::read_file(output_folder() / "err"); }

  std::pair<pid_t, int64_t> front() {
    const pid_t process =
        start({"serve", "--role", "front", "--redis", redis_->url(), "--port", "0"});
    const std::string before = "listening on http://127.0.0.1:";
    EXPECT_TRUE(eventually([&] { return printed().find(before) != std::string::npos; }));
    const std::string text = printed();
    return {process, std::stoll(text.substr(text.find(before) + before.size()))};
  }
  pid_t model() {
    return start({"serve", "m=m.ckpt", "--role", "model", "--redis", redis_->url()});
  }

  std::unique_ptr<RedisServer> redis_;
  StateDict state_;
};

int status_of(int64_t port, const std::string& path) {
  return RawClient(port).ask(test::get_request(path)).status;
}

/// Asks for rows over many connections at once, until it is told to stop.
class Askers {
 public:
  /// Each of `ports` gets 500 requests at a time, two on each connection.
  explicit Askers(const std::vector<int64_t>& ports) {
    for (const int64_t port : ports) {
      threads_.emplace_back([this, port] { ask(port); });
    }
  }
  ~Askers() { stop(); }
  void stop() {
    is_over_ = true;
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }
  int64_t answered() const { return answered_; }
  std::string wrong() const {
    const std::lock_guard lock(mutex_);
    return wrong_;
  }

 private:
  void ask(int64_t port) {
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int i = 0; i < 250; ++i) clients.push_back(std::make_unique<RawClient>(port));
    while (!is_over_) {
      for (int i = 0; i < 250; ++i) {
        clients[static_cast<size_t>(i)]->send(request_for(2 * i) + request_for(2 * i + 1));
      }
      for (int row = 0; row < 500; ++row) {
        const auto response = clients[static_cast<size_t>(row / 2)]->response();
        ++answered_;
        if (number_of(response) == row + 2) continue;
        const std::lock_guard lock(mutex_);
        wrong_ = std::to_string(row) + ": " + std::to_string(response.status) + response.body;
      }
    }
  }

  std::atomic<bool> is_over_ = false;
  std::atomic<int64_t> answered_ = 0;
  mutable std::mutex mutex_;
  std::string wrong_;
  std::vector<std::thread> threads_;
};

TEST_F(ServeRedis, EveryRequestIsAnsweredOnceWhileTheModelProcessIsKilledTenTimes) {
  save(1.0);
  const auto [first, port] = front();
  const Process front_end(first);
  const auto [second, other_port] = front();
  const Process other_front_end(second);
  ASSERT_NE(port, other_port);
  auto models = std::make_unique<Process>(model());
  for (const int64_t each : {port, other_port}) {
    ASSERT_TRUE(eventually([each = each] { return status_of(each, "/v2/health/ready") == 200; }));
  }
  Askers askers({port, other_port});
  for (int kill = 0; kill < 10; ++kill) {
    const int64_t before = askers.answered();
    ASSERT_TRUE(eventually([&] { return askers.answered() > before; })) << printed();
    models->kill();
    models = std::make_unique<Process>(model());
  }
  const int64_t before = askers.answered();
  EXPECT_TRUE(eventually([&] { return askers.answered() > before + 1000; }));
  EXPECT_EQ(models->end(), 0);  // what it has taken, it answers
  models = std::make_unique<Process>(model());
  askers.stop();
  EXPECT_EQ(askers.wrong(), "");
}

TEST_F(ServeRedis, GoesOnAfterRedisWasGoneAndWithANewCheckpoint) {
  save(1.0);
  redis_->kill();
  const auto [process, port] = front();
  const Process front_end(process);
  EXPECT_TRUE(eventually([&] { return printed().find("can't be used") != std::string::npos; }));
  EXPECT_EQ(status_of(port, "/v2/health/ready"), 503);
  EXPECT_EQ(RawClient(port).ask(request_for(1)).status, 503);
  redis_->start();
  const auto is_answered = [&, at = port](double number) {
    return eventually([&] { return number_of(RawClient(at).ask(request_for(1))) == number; });
  };
  // Redis is back, and no model process is there yet.
  ASSERT_TRUE(eventually([&, at = port] {
    return RawClient(at).ask(request_for(1)).body.find("no model process") != std::string::npos;
  }));
  EXPECT_EQ(status_of(port, "/v2/health/ready"), 503);
  const Process models(model());
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
  save(2.0);
  EXPECT_TRUE(is_answered(6));
}

}  // namespace
}  // namespace levin::serve_redis_test
