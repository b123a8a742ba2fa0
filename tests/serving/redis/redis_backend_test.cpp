#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <framework/eventually.h>
#include <levin/framework/core/error.h>
#include <levin/serving/redis/redis_backend.h>
#include <serving/redis/doubling_backend.h>
#include <serving/redis/redis_server.h>

namespace levin::redis_backend_test {

using test::Answers;
using test::DoublingBackend;
using test::eventually;
using test::RedisServer;

class RedisBackendTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!RedisServer::is_installed()) GTEST_SKIP() << "redis-server isn't installed";
    server_ = std::make_unique<RedisServer>();
    options_.url = server_->url();
    options_.claim_after = 0.5;
    options_.timeout = 3600;
  }

  static InferenceOutcome infer(Backend& backend, InferenceRequest request) {
    std::promise<InferenceOutcome> promise;
    backend.infer(std::move(request),
                  [&promise](InferenceOutcome outcome) { promise.set_value(std::move(outcome)); });
    return promise.get_future().get();
  }
  static int status_of(const InferenceOutcome& outcome) {
    const auto* refusal = std::get_if<Refusal>(&outcome);
    return refusal == nullptr ? 200 : refusal->status();
  }
  static bool is_ready(const Backend& backend) {
    return eventually([&backend] { return backend.is_ready(); });
  }

  std::unique_ptr<RedisServer> server_;
  RedisOptions options_;
};

TEST_F(RedisBackendTest, answers_by_id_and_keeps_the_answer_until_it_expires) {
  DoublingBackend models;
  RedisWorker worker(options_, models, 8);
  RedisBackend front(options_);
  ASSERT_TRUE(is_ready(front));
  InferenceRequest request = test::request_of("double", {1.5F, -2.0F});
  request.id = "mine";
  const InferenceOutcome outcome = infer(front, request);
  ASSERT_EQ(status_of(outcome), 200);
  const auto& response = std::get<InferenceResponse>(outcome);
  EXPECT_EQ(response.id, "mine");
  EXPECT_EQ(response.model, "double");
  EXPECT_EQ(test::numbers_of(response.outputs.at(0)), (std::vector<float>{3.0F, -4.0F}));

  const RedisReply kept = server_->ask({"KEYS", "levin:result:*"});
  ASSERT_EQ(kept.elements.size(), 1u);
  const int64_t seconds = server_->ask({"TTL", kept.elements[0].text}).integer;
  EXPECT_GT(seconds, 0);
  EXPECT_LE(seconds, 60);
  EXPECT_EQ(server_->ask({"XLEN", "levin:requests:double"}).integer, 0);
  EXPECT_EQ(server_->ask({"KEYS", "levin:waiting:*"}).elements.size(), 0u);
}

TEST_F(RedisBackendTest, two_front_ends_and_two_workers_answer_every_request_once) {
  DoublingBackend first;
  DoublingBackend second;
  RedisWorker first_worker(options_, first, 8);
  RedisWorker second_worker(options_, second, 8);
  RedisBackend front(options_);
  RedisBackend other(options_);
  ASSERT_TRUE(is_ready(front) && is_ready(other));
  constexpr size_t kCount = 1000;
  Answers answers(kCount);
  for (size_t i = 0; i < kCount; ++i) {
    RedisBackend& chosen = i % 2 == 0 ? front : other;
    chosen.infer(test::request_of("double", {static_cast<float>(i)}), answers.expect(i));
  }
  EXPECT_TRUE(eventually([&answers] { return answers.total() >= kCount; })) << answers.total();
  EXPECT_TRUE(answers.each_once());
  EXPECT_EQ(answers.wrong(), "");
  const uint64_t done = first.statistics()[0].success + second.statistics()[0].success;
  EXPECT_EQ(done, kCount);
  // Both have told Redis, and both fronts read the sum of it.
  EXPECT_TRUE(eventually([&] { return front.statistics().at(0).success == kCount; }));
  EXPECT_TRUE(eventually([&] { return other.statistics().at(0).inferences == kCount; }));
}

TEST_F(RedisBackendTest, a_full_stream_is_refused_and_a_late_answer_is_504) {
  DoublingBackend models;
  std::promise<void> may_go;
  auto go = may_go.get_future().share();
  models.before = [go](const auto&) { go.wait(); };
  options_.max_queue = 4;
  RedisWorker worker(options_, models, 1);
  RedisBackend front(options_);
  ASSERT_TRUE(is_ready(front));
  Answers answers(4);
  for (size_t i = 0; i < 4; ++i) {
    front.infer(test::request_of("double", {static_cast<float>(i)}), answers.expect(i));
  }
  ASSERT_TRUE(eventually([this] {
    return server_->ask({"XLEN", "levin:requests:double"}).integer == 4;
  }));
  const InferenceOutcome refused = infer(front, test::request_of("double", {1}));
  EXPECT_EQ(status_of(refused), 429);
  EXPECT_GT(std::get<Refusal>(refused).retry_after(), 0);
  may_go.set_value();
  EXPECT_TRUE(eventually([&answers] { return answers.total() == 4; }));
  EXPECT_TRUE(answers.each_once());
  EXPECT_EQ(answers.wrong(), "");
  EXPECT_EQ(front.statistics().at(0).failure[ModelStatistics::rejected], 1u);

  std::promise<void> never;
  auto end = never.get_future().share();
  models.before = [end](const auto&) { end.wait(); };
  InferenceRequest hurried = test::request_of("double", {1});
  hurried.timeout_us = 30000;
  EXPECT_EQ(status_of(infer(front, hurried)), 504);
  never.set_value();
}

TEST_F(RedisBackendTest, memory_of_waiting_requests_is_bounded) {
  DoublingBackend models;
  std::promise<void> may_go;
  auto go = may_go.get_future().share();
  models.before = [go](const auto&) { go.wait(); };
  options_.memory = 2000;
  RedisWorker worker(options_, models, 1);
  RedisBackend front(options_);
  ASSERT_TRUE(is_ready(front));
  // Coming back later wouldn't help.
  EXPECT_EQ(status_of(infer(front, test::request_of("double", std::vector<float>(1000)))), 413);
  const auto request = test::request_of("double", std::vector<float>(300));
  Answers answers(1);
  front.infer(request, answers.expect(0));
  EXPECT_EQ(status_of(infer(front, request)), 429);
  may_go.set_value();
  EXPECT_TRUE(eventually([&answers] { return answers.total() == 1; }));
  EXPECT_EQ(status_of(infer(front, request)), 200);
}

TEST_F(RedisBackendTest, unknown_models_and_inputs_that_do_not_fit_are_the_clients_mistake) {
  DoublingBackend models;
  RedisWorker worker(options_, models, 1);
  RedisBackend front(options_);
  ASSERT_TRUE(is_ready(front));
  EXPECT_EQ(status_of(infer(front, test::request_of("triple", {1}))), 404);
  InferenceRequest versioned = test::request_of("double", {1});
  versioned.version = "7";
  EXPECT_EQ(status_of(infer(front, versioned)), 404);
  InferenceRequest whole = test::request_of("double", {1});
  whole.inputs[0].type = WireType::int32;
  EXPECT_EQ(status_of(infer(front, whole)), 400);
}

TEST_F(RedisBackendTest, goes_on_when_redis_was_killed_and_comes_back_empty) {
  DoublingBackend models;
  std::promise<void> may_go;
  auto go = may_go.get_future().share();
  models.before = [go](const auto&) { go.wait(); };
  RedisWorker worker(options_, models, 2);
  RedisBackend front(options_);
  ASSERT_TRUE(is_ready(front));
  constexpr size_t kCount = 50;
  Answers answers(kCount);
  for (size_t i = 0; i < kCount; ++i) {
    front.infer(test::request_of("double", {static_cast<float>(i)}), answers.expect(i));
  }
  ASSERT_TRUE(eventually([&] {
    return server_->ask({"XLEN", "levin:requests:double"}).integer == kCount;
  }));
  server_->kill();
  EXPECT_TRUE(eventually([&front] { return !front.is_ready(); }));
  const InferenceOutcome refused = infer(front, test::request_of("double", {1}));
  EXPECT_EQ(status_of(refused), 503);
  EXPECT_GT(std::get<Refusal>(refused).retry_after(), 0);
  EXPECT_EQ(answers.total(), 0u);
  server_->start();
  may_go.set_value();
  EXPECT_TRUE(eventually([&answers] { return answers.total() >= kCount; })) << answers.total();
  EXPECT_TRUE(answers.each_once());
  EXPECT_EQ(answers.wrong(), "");
  ASSERT_TRUE(is_ready(front));
  EXPECT_EQ(status_of(infer(front, test::request_of("double", {1}))), 200);
}

TEST_F(RedisBackendTest, publishes_results_and_updates_and_obeys_commands) {
  RedisConnection listener(parse_redis_url(options_.url));
  listener.open();
  listener.ask({"SUBSCRIBE", "levin:results:double"});
  listener.ask({"SUBSCRIBE", "levin:updates"});
  const auto heard = [&listener](std::string_view wanted) {
    return eventually([&] {
      const auto reply = listener.read_for(100);
      return reply && reply->elements.at(2).text.find(wanted) != std::string::npos;
    });
  };
  DoublingBackend models;
  std::atomic<int> loads = 0;
  models.on_load = [&models, &loads](const std::string& model) {
    if (++loads == 1) models.add(model, "2");
  };
  RedisWorker worker(options_, models, 1);
  EXPECT_TRUE(heard("loaded double 1"));
  RedisBackend front(options_);
  ASSERT_TRUE(is_ready(front));
  ASSERT_EQ(status_of(infer(front, test::request_of("double", {1}))), 200);
  EXPECT_TRUE(heard("\"y\""));

  ASSERT_TRUE(eventually([this] {
    return server_->ask({"PUBLISH", "levin:commands", "reload double"}).integer == 1;
  }));
  EXPECT_TRUE(heard("loaded double 2"));
  EXPECT_TRUE(eventually([&front] { return front.models().size() == 2; }));
  EXPECT_EQ(front.models().back().version, "2");
  EXPECT_EQ(front.models().back().inputs.at(0).shape, (std::vector<int64_t>{-1, 2}));
  EXPECT_EQ(front.models().back().max_batch, 8);
  EXPECT_EQ(front.models().back().delay_us, 250);
  front.load("double");
  EXPECT_TRUE(eventually([&loads] { return loads == 2; }));
  front.unload("double");
  EXPECT_TRUE(heard("unloaded double"));
  EXPECT_TRUE(eventually([&front] { return front.models().empty(); }));
  EXPECT_FALSE(front.is_ready());
}

TEST_F(RedisBackendTest, is_not_ready_without_a_living_worker_and_without_redis) {
  RedisBackend front(options_);
  EXPECT_FALSE(front.is_ready());
  EXPECT_EQ(status_of(infer(front, test::request_of("double", {1}))), 503);
  EXPECT_THROW(front.load("double"), Refusal);
  auto models = std::make_unique<DoublingBackend>();
  auto worker = std::make_unique<RedisWorker>(options_, *models, 1);
  ASSERT_TRUE(is_ready(front));
  worker.reset();
  EXPECT_TRUE(eventually([&front] { return !front.is_ready(); }));
  // Requests wait for the next process.
  Answers answers(1);
  front.infer(test::request_of("double", {0}), answers.expect(0));
  worker = std::make_unique<RedisWorker>(options_, *models, 1);
  EXPECT_TRUE(eventually([&answers] { return answers.total() == 1; }));
  EXPECT_EQ(answers.wrong(), "");
  front.drain();
  EXPECT_EQ(status_of(infer(front, test::request_of("double", {1}))), 503);
}

TEST(RedisUrl, parts_and_mistakes) {
  const RedisAddress address = parse_redis_url("redis://:p%40ss@example.org:7000/3");
  EXPECT_EQ(address.host, "example.org");
  EXPECT_EQ(address.port, 7000);
  EXPECT_EQ(address.password, "p@ss");
  EXPECT_EQ(address.user, "");
  EXPECT_EQ(address.database, 3);
  EXPECT_EQ(parse_redis_url("redis://[::1]:7/").host, "::1");
  EXPECT_EQ(parse_redis_url("redis://levin:secret@localhost").user, "levin");
  for (const char* wrong : {"", "http://localhost", "redis://", "redis://host:port", "redis://h/x",
                            "redis://h:70000", "redis://secret@h", "redis://:%4@h", "rediss://h"}) {
    EXPECT_THROW(parse_redis_url(wrong), ConfigError) << wrong;
  }
  try {
    parse_redis_url("redis://:secret@host:port");
    ADD_FAILURE();
  } catch (const ConfigError& error) {
    EXPECT_EQ(std::string(error.what()).find("secret"), std::string::npos) << error.what();
  }
}

TEST_F(RedisBackendTest, logs_in_with_the_password_of_the_url) {
  server_->ask({"CONFIG", "SET", "requirepass", "sesame"});
  options_.url = "redis://:sesame@127.0.0.1:" + std::to_string(server_->port()) + "/2";
  DoublingBackend models;
  RedisWorker worker(options_, models, 1);
  RedisBackend front(options_);
  ASSERT_TRUE(is_ready(front));
  EXPECT_EQ(status_of(infer(front, test::request_of("double", {1}))), 200);
  options_.url = "redis://:wrong@127.0.0.1:" + std::to_string(server_->port()) + "/2";
  RedisBackend stranger(options_);
  EXPECT_EQ(status_of(infer(stranger, test::request_of("double", {1}))), 503);
}

}  // namespace levin::redis_backend_test
