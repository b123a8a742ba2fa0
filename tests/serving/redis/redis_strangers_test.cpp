#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <framework/eventually.h>
#include <levin/serving/protocol/infer_messages.h>
#include <levin/serving/redis/redis_backend.h>
#include <serving/redis/doubling_backend.h>
#include <serving/redis/redis_server.h>

/// What other programs than Levin write into Redis.
namespace levin::redis_strangers_test {

using test::DoublingBackend;
using test::eventually;
using test::RedisServer;

constexpr const char* kStream = "levin:requests:double";

class RedisStrangersTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!RedisServer::is_installed()) GTEST_SKIP() << "redis-server isn't installed";
    server_ = std::make_unique<RedisServer>();
    options_.url = server_->url();
    models_ = std::make_unique<DoublingBackend>();
    worker_ = std::make_unique<RedisWorker>(options_, *models_, 4);
  }

  nlohmann::json result(const std::string& id) const {
    RedisReply reply;
    EXPECT_TRUE(eventually([&] {
      reply = server_->ask({"GET", "levin:result:" + id});
      return reply.is_text();
    })) << id;
    return nlohmann::json::parse(reply.text, nullptr, false);
  }
  /// Adds an entry, and returns its number.
  std::string add(std::vector<std::string_view> fields) const {
    fields.insert(fields.begin(), {"XADD", kStream, "*"});
    return server_->ask(fields).text;
  }

  std::unique_ptr<RedisServer> server_;
  RedisOptions options_;
  std::unique_ptr<DoublingBackend> models_;
  std::unique_ptr<RedisWorker> worker_;
};

TEST_F(RedisStrangersTest, redis_cli_asks_and_reads_the_answer) {
  server_->cli(
      "XADD levin:requests:double '*' id 7 body "
      R"('{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1.5,-4]}]}')");
  const auto answer = result("7");
  EXPECT_EQ(answer["model_name"], "double");
  EXPECT_EQ(answer["outputs"][0]["name"], "y");
  EXPECT_EQ(answer["outputs"][0]["data"], nlohmann::json::parse("[3.0, -8.0]"));
  EXPECT_NE(server_->cli("GET levin:result:7").find("model_name"), std::string::npos);
  EXPECT_EQ(server_->ask({"XLEN", kStream}).integer, 0);
}

TEST_F(RedisStrangersTest, plain_rows_are_answered_as_predict_answers_them) {
  server_->cli("XADD levin:requests:double '*' id 8 rows '[[1.5,-4],[2,3]]'");
  const auto answer = result("8");
  EXPECT_EQ(answer["model"], "double");
  ASSERT_EQ(answer["predictions"].size(), 2u) << answer;
  EXPECT_EQ(answer["predictions"][1]["y"], nlohmann::json::parse("[4.0, 6.0]")) << answer;
}

TEST_F(RedisStrangersTest, entries_that_are_no_requests_are_answered_and_never_end_the_worker) {
  const std::string right =
      R"({"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[1]}]})";
  const std::string deep = std::string(100000, '[');
  const std::string zeros("\0\0\0", 3);
  const std::vector<std::vector<std::string_view>> wrong = {
      {"hello", "world"},
      {"body", ""},
      {"rows", "["},
      {"rows", "1}, {\"rows\": [[1, 2]]"},
      {"body", "{}"},
      {"body", "[1, 2"},
      {"body", deep},
      {"body", zeros},
      {"body", "99999999999\n{}"},
      {"body", "5\n{}"},
      {"body", R"({"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1]}]})"},
      {"body", R"({"inputs":[{"name":"x","shape":[-1],"datatype":"FP32","data":[1]}]})"},
      {"body", R"({"inputs":[{"name":"x","shape":[1,1],"datatype":"INT32","data":[1]}]})"},
      {"body", right, "deadline", "tomorrow"},
      {"body", right, "deadline", "-5"},
  };
  for (const auto& fields : wrong) {
    const std::string entry = add(fields);
    const auto answer = result(entry);
    EXPECT_EQ(answer["status"], 400) << fields[1].substr(0, 80) << answer;
    EXPECT_TRUE(answer["error"].is_string());
  }
  EXPECT_EQ(result(add({"body", right, "deadline", "1000"}))["status"], 504);
  // An id that would be a strange key is replaced by the entry's number.
  EXPECT_EQ(result(add({"id", "a\nb", "body", right}))["outputs"][0]["data"][0], 2.0);
  EXPECT_EQ(result(add({"id", deep, "front", deep, "body", right}))["outputs"][0]["data"][0], 2.0);
  EXPECT_EQ(server_->ask({"XLEN", kStream}).integer, 0);
}

TEST_F(RedisStrangersTest, noise_on_channels_and_keys_is_passed_over) {
  RedisBackend front(options_);
  ASSERT_TRUE(eventually([&front] { return front.is_ready(); }));
  const auto fronts = server_->ask({"PUBSUB", "CHANNELS", "levin:front:*"});
  ASSERT_EQ(fronts.elements.size(), 1u);
  const std::string& channel = fronts.elements[0].text;
  const std::string name = channel.substr(std::string("levin:front:").size());
  for (const std::string& text : {std::string(), std::string("\n"), name + "-1\n{}",
                                  name + "-99999999999999999999\n{}", std::string(1000, 'x')}) {
    for (const char* to : {"levin:updates", "levin:commands", channel.c_str()}) {
      server_->ask({"PUBLISH", to, text});
    }
  }
  server_->ask({"HSET", "levin:workers", "stranger", "[{\"name\": 1}]"});
  server_->ask({"SET", "levin:worker:stranger", "1"});
  server_->ask({"HSET", "levin:statistics", "a", "b"});
  std::atomic<int> status = 0;
  front.infer(test::request_of("double", {1}), [&status](const InferenceOutcome& outcome) {
    status = std::holds_alternative<InferenceResponse>(outcome) ? 200 : 500;
  });
  EXPECT_TRUE(eventually([&status] { return status != 0; }));
  EXPECT_EQ(status, 200);
  EXPECT_EQ(front.models().size(), 1u);
}

TEST_F(RedisStrangersTest, an_answer_is_published_to_whoever_listens_and_given_once_for_an_id) {
  RedisConnection listener(parse_redis_url(options_.url));
  listener.open();
  listener.ask({"SUBSCRIBE", "levin:results:double"});
  const std::string body = to_wire(test::request_of("double", {21}));
  add({"id", "same", "body", body});
  add({"id", "same", "body", body});
  add({"id", "last", "body", body});
  std::vector<std::string> ids;
  EXPECT_TRUE(eventually([&] {
    if (const auto reply = listener.read_for(100)) {
      const std::string& text = reply->elements.at(2).text;
      ids.push_back(text.substr(0, text.find('\n')));
      const auto outcome = outcome_from_wire(text.substr(text.find('\n') + 1));
      EXPECT_EQ(test::numbers_of(std::get<InferenceResponse>(outcome).outputs.at(0)),
                std::vector<float>{42});
    }
    return !ids.empty() && ids.back() == "last";
  }));
  EXPECT_EQ(ids, (std::vector<std::string>{"same", "last"}));
}

}  // namespace levin::redis_strangers_test
