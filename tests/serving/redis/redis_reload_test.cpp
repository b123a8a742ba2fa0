#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <framework/eventually.h>
#include <levin/serving/redis/redis_backend.h>
#include <serving/redis/doubling_backend.h>
#include <serving/redis/redis_server.h>

// Models that come and go while requests wait in Redis.

namespace levin::redis_reload_test {

using test::Answers;
using test::DoublingBackend;
using test::eventually;
using test::RedisServer;

class RedisReloadTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!RedisServer::is_installed()) GTEST_SKIP() << "redis-server isn't installed";
    server_ = std::make_unique<RedisServer>();
    options_.url = server_->url();
    options_.timeout = 3600;
  }

  static InferenceRequest version_of(const std::string& version, float number = 1.0F) {
    InferenceRequest request = test::request_of("double", {number});
    request.version = version;
    return request;
  }
  /// The status of the answer; 200 only if it came from the version that was asked.
  static int status_of(Backend& backend, InferenceRequest request) {
    const std::string version = request.version;
    std::promise<int> status;
    backend.infer(std::move(request), [&](const InferenceOutcome& outcome) {
      const auto* refusal = std::get_if<Refusal>(&outcome);
      if (refusal != nullptr) return status.set_value(refusal->status());
      status.set_value(std::get<InferenceResponse>(outcome).version == version ? 200 : 0);
    });
    return status.get_future().get();
  }
  int64_t waiting() const { return server_->ask({"XLEN", "levin:requests:double"}).integer; }

  std::unique_ptr<RedisServer> server_;
  RedisOptions options_;
};

TEST_F(RedisReloadTest, a_version_can_be_asked_as_soon_as_it_is_loaded) {
  DoublingBackend models;
  int version = 1;
  models.on_load = [&](const std::string& model) { models.add(model, std::to_string(++version)); };
  RedisWorker worker(options_, models, 4);
  RedisBackend front(options_);
  ASSERT_TRUE(eventually([&] { return front.is_ready(); }));
  for (int reload = 0; reload < 5; ++reload) {
    front.load("double");
    const std::string newest = std::to_string(version);
    EXPECT_EQ(front.models().back().version, newest);
    EXPECT_EQ(status_of(front, version_of(newest)), 200) << newest;
  }
  // Also one that no front end was told of.
  models.add("double", "77");
  EXPECT_EQ(status_of(front, version_of("77")), 200);
  EXPECT_EQ(status_of(front, version_of("78")), 404);
  EXPECT_THROW(front.load("triple"), Refusal);
  EXPECT_THROW(front.load("double now"), Refusal);
}

TEST_F(RedisReloadTest, a_process_that_lacks_a_version_leaves_no_request_for_it_unanswered) {
  DoublingBackend newer;
  newer.add("double", "2");
  DoublingBackend older;
  const RedisWorker newer_worker(options_, newer, 4);
  const RedisWorker older_worker(options_, older, 4);
  RedisBackend front(options_);
  ASSERT_TRUE(eventually([&] { return front.models().size() == 2; }));
  ASSERT_TRUE(eventually([&] {
    return server_->ask({"PUBSUB", "NUMSUB", "levin:commands"}).elements.at(1).integer == 2;
  }));
  constexpr size_t kCount = 200;
  Answers answers(kCount);
  for (size_t i = 0; i < kCount; ++i) {
    front.infer(version_of("2", static_cast<float>(i)), answers.expect(i));
  }
  EXPECT_TRUE(eventually([&] { return answers.total() > 0; }));
  older.add("double", "2");
  EXPECT_TRUE(eventually([&] { return answers.total() >= kCount; })) << answers.total();
  EXPECT_TRUE(answers.each_once());
  EXPECT_EQ(answers.wrong(), "");
}

TEST_F(RedisReloadTest, requests_for_a_model_that_was_unloaded_are_refused_and_leave_redis) {
  DoublingBackend models;
  std::promise<void> may_go;
  auto go = may_go.get_future().share();
  models.before = [go](const auto&) { go.wait(); };
  const RedisWorker worker(options_, models, 1);
  RedisBackend front(options_);
  ASSERT_TRUE(eventually([&] { return front.is_ready(); }));
  constexpr size_t kCount = 20;
  std::atomic<size_t> answered = 0;
  std::atomic<size_t> refused = 0;
  for (size_t i = 0; i < kCount; ++i) {
    front.infer(test::request_of("double", {1.0F}), [&](const InferenceOutcome& outcome) {
      if (std::holds_alternative<Refusal>(outcome)) ++refused;
      ++answered;
    });
  }
  ASSERT_TRUE(eventually([&] { return waiting() == kCount; }));
  front.unload("double");
  may_go.set_value();
  EXPECT_TRUE(eventually([&] { return answered == kCount; })) << answered;
  EXPECT_GT(refused, 0U);  // the last ones; the first were in hand
  EXPECT_TRUE(eventually([&] { return waiting() == 0; })) << waiting();
  EXPECT_TRUE(eventually([&] { return front.models().empty(); }));
  EXPECT_EQ(status_of(front, version_of("1")), 503);
}

}  // namespace levin::redis_reload_test
