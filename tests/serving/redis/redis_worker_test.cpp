#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <framework/eventually.h>
#include <levin/serving/redis/redis_backend.h>
#include <serving/redis/doubling_backend.h>
#include <serving/redis/redis_server.h>

namespace levin::redis_worker_test {

using test::Answers;
using test::DoublingBackend;
using test::eventually;
using test::RedisServer;

constexpr float kPoison = -1;

/// A model process, forked before the test has threads; it starts its work when it is told to. A
/// batch takes 5 ms, and one with kPoison ends the process.
class ModelProcess {
 public:
  ModelProcess(const RedisOptions& options, int64_t batch) {
    if (::pipe(start_) != 0) throw std::runtime_error("no pipe");
    process_ = ::fork();
    if (process_ == 0) work(options, batch);
    ::close(start_[0]);
  }
  ~ModelProcess() { kill(); }
  ModelProcess(const ModelProcess&) = delete;
  ModelProcess& operator=(const ModelProcess&) = delete;

  void start() const { EXPECT_EQ(::write(start_[1], "s", 1), 1); }
  void kill() {
    if (process_ == 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    ::close(start_[1]);
    process_ = 0;
  }
  bool has_ended() {
    if (process_ != 0 && ::waitpid(process_, nullptr, WNOHANG) == process_) {
      ::close(start_[1]);
      process_ = 0;
    }
    return process_ == 0;
  }

 private:
  [[noreturn]] void work(const RedisOptions& options, int64_t batch) const {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close(start_[1]);
    char byte = 0;
    if (::read(start_[0], &byte, 1) != 1) ::_exit(0);
    DoublingBackend models;
    models.before = [](const std::vector<InferenceRequest>& requests) {
      for (const auto& each : requests) {
        if (test::numbers_of(each.inputs.at(0)) == std::vector<float>{kPoison}) {
          ::kill(::getpid(), SIGKILL);
        }
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    };
    const RedisWorker worker(options, models, batch);
    while (true) ::pause();
  }

  int start_[2] = {};
  pid_t process_ = 0;
};

class RedisWorkerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!RedisServer::is_installed()) GTEST_SKIP() << "redis-server isn't installed";
    server_ = std::make_unique<RedisServer>();
    options_.url = server_->url();
    options_.claim_after = 0.2;
    options_.timeout = 3600;
  }
  int64_t dead_consumers() const {
    const auto groups = server_->ask({"XINFO", "CONSUMERS", "levin:requests:double", "levin"});
    return static_cast<int64_t>(groups.elements.size());
  }

  std::unique_ptr<RedisServer> server_;
  RedisOptions options_;
};

TEST_F(RedisWorkerTest, ten_killed_model_processes_lose_and_double_no_request) {
  constexpr size_t kCount = 1000;
  std::vector<std::unique_ptr<ModelProcess>> processes;
  for (int i = 0; i < 11; ++i) {
    processes.push_back(std::make_unique<ModelProcess>(options_, 8));
  }
  RedisBackend front(options_);
  processes[0]->start();
  ASSERT_TRUE(eventually([&front] { return front.is_ready(); }));
  Answers answers(kCount);
  for (size_t i = 0; i < kCount; ++i) {
    front.infer(test::request_of("double", {static_cast<float>(i)}), answers.expect(i));
  }
  for (size_t killed = 0; killed < 10; ++killed) {
    // In mid-batch: some of what this process has taken is answered, and the rest isn't.
    const size_t before = answers.total();
    ASSERT_TRUE(eventually([&] { return answers.total() >= std::min(before + 40, kCount); }))
        << answers.total();
    const auto pending = server_->ask({"XPENDING", "levin:requests:double", "levin"});
    EXPECT_GT(pending.elements.at(0).integer, 0);
    processes[killed]->kill();
    processes[killed + 1]->start();
  }
  EXPECT_TRUE(eventually([&answers] { return answers.total() >= kCount; })) << answers.total();
  EXPECT_TRUE(answers.each_once());
  EXPECT_EQ(answers.wrong(), "");
  EXPECT_EQ(server_->ask({"XLEN", "levin:requests:double"}).integer, 0);
  EXPECT_TRUE(eventually([this] { return dead_consumers() == 1; })) << dead_consumers();
}

TEST_F(RedisWorkerTest, a_request_that_kills_every_process_is_given_up_and_others_are_answered) {
  std::vector<std::unique_ptr<ModelProcess>> processes;
  for (int i = 0; i < 6; ++i) processes.push_back(std::make_unique<ModelProcess>(options_, 4));
  RedisBackend front(options_);
  processes[0]->start();
  ASSERT_TRUE(eventually([&front] { return front.is_ready(); }));
  constexpr size_t kCount = 10;
  Answers answers(kCount);
  std::atomic<int> poisoned = 0;
  for (size_t i = 0; i < kCount; ++i) {
    if (i == 3) {
      front.infer(test::request_of("double", {kPoison}),
                  [&poisoned](const InferenceOutcome& outcome) {
                    const auto* refusal = std::get_if<Refusal>(&outcome);
                    poisoned = refusal == nullptr ? 200 : refusal->status();
                  });
    }
    front.infer(test::request_of("double", {static_cast<float>(i)}), answers.expect(i));
  }
  for (size_t i = 0; i < 5; ++i) {
    ASSERT_TRUE(eventually([&] { return processes[i]->has_ended(); })) << i;
    EXPECT_EQ(poisoned, 0);
    processes[i + 1]->start();
  }
  EXPECT_TRUE(eventually([&poisoned] { return poisoned != 0; }));
  EXPECT_EQ(poisoned, 500);
  EXPECT_TRUE(eventually([&answers] { return answers.total() >= kCount; })) << answers.total();
  EXPECT_TRUE(answers.each_once());
  EXPECT_EQ(answers.wrong(), "");
  EXPECT_FALSE(processes[5]->has_ended());
}

TEST_F(RedisWorkerTest, a_slow_process_that_lives_keeps_its_requests) {
  DoublingBackend slow;
  DoublingBackend quick;
  std::promise<void> may_go;
  auto go = may_go.get_future().share();
  std::atomic<int> slow_batches = 0;
  slow.before = [go, &slow_batches](const auto&) {
    ++slow_batches;
    go.wait();
  };
  std::atomic<bool> is_doubled = false;
  quick.before = [&is_doubled](const std::vector<InferenceRequest>& requests) {
    for (const auto& each : requests) {
      if (test::numbers_of(each.inputs.at(0)) == std::vector<float>{0}) is_doubled = true;
    }
  };
  RedisWorker first(options_, slow, 1);
  RedisBackend front(options_);
  ASSERT_TRUE(eventually([&front] { return front.is_ready(); }));
  Answers answers(2);
  front.infer(test::request_of("double", {0}), answers.expect(0));
  ASSERT_TRUE(eventually([&slow_batches] { return slow_batches == 1; }));
  // Another process looks for what dead ones have left, many times.
  RedisWorker second(options_, quick, 1);
  const auto looks = [this] {
    const std::string calls = server_->ask({"INFO", "commandstats"}).text;
    const size_t at = calls.find("cmdstat_xpending:calls=");
    return at == std::string::npos ? 0 : std::atoi(calls.c_str() + at + 23);  // NOLINT
  };
  const int before = looks();
  EXPECT_TRUE(eventually([&] { return looks() > before + 20; }));
  may_go.set_value();
  front.infer(test::request_of("double", {1}), answers.expect(1));
  EXPECT_TRUE(eventually([&answers] { return answers.total() == 2; }));
  EXPECT_TRUE(answers.each_once());
  EXPECT_EQ(answers.wrong(), "");
  EXPECT_FALSE(is_doubled);
}

}  // namespace levin::redis_worker_test
