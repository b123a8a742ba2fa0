#include <levin/serving/service/service.h>

#include <atomic>
#include <chrono>
#include <future>
#include <set>
#include <string>
#include <utility>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <levin/serving/service/addresses.h>

#include "serving/service/fake_backend.h"

namespace levin::service_test {
namespace {

using nlohmann::json;
using test::FakeBackend;

constexpr const char* kInfer =
    R"({"inputs":[{"name":"input","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]})";

class Service : public ::testing::Test {
 protected:
  /// The response; a Refusal that the handler throws is one, too, as the server answers it.
  HttpResponse ask(const std::string& method, const std::string& path, std::string body = {},
                   HttpHeaders headers = {}) {
    std::promise<HttpResponse> promise;
    auto answer = promise.get_future();
    std::atomic<int> answers = 0;
    HttpRequest request;
    request.method = method;
    request.path = path;
    request.headers = std::move(headers);
    request.body = std::move(body);
    try {
      handler_(std::move(request), [&](HttpResponse response) {
        if (++answers == 1) promise.set_value(std::move(response));
      });
    } catch (const Refusal& refusal) {
      HttpResponse response;
      response.status = refusal.status();
      response.body = json{{"error", refusal.what()}}.dump();
      if (++answers == 1) promise.set_value(std::move(response));
    }
    // Models are loaded on another thread.
    const bool is_answered = answer.wait_for(std::chrono::seconds(60)) == std::future_status::ready;
    EXPECT_TRUE(is_answered) << "not answered";
    EXPECT_EQ(answers, is_answered ? 1 : 0) << "answered twice";
    return is_answered ? answer.get() : HttpResponse{};
  }

  FakeBackend backend_;
  HttpHandler handler_ = service(backend_);
};

TEST_F(Service, HealthHasAStatusAndABody) {
  EXPECT_EQ(ask("GET", "/v2/health/live").body, R"({"live":true})");
  EXPECT_EQ(ask("GET", "/v2/health/ready").body, R"({"ready":true})");
  EXPECT_EQ(ask("GET", "/v2/health/ready").status, 200);
  backend_.ready = false;
  EXPECT_EQ(ask("GET", "/v2/health/ready").status, 503);
  EXPECT_EQ(ask("GET", "/v2/health/ready").body, R"({"ready":false})");
  EXPECT_EQ(ask("GET", "/v2/health/live").status, 200);
}

TEST_F(Service, InferReachesTheModelThatTheAddressNames) {
  const auto response = ask("POST", "/v2/models/sums/versions/1/infer", kInfer);
  ASSERT_EQ(response.status, 200) << response.body;
  const auto answer = json::parse(response.body);
  EXPECT_EQ(answer["model_name"], "sums");
  EXPECT_EQ(answer["outputs"][0]["data"], json({1}));
  EXPECT_EQ(backend_.last_request().version, "1");
  EXPECT_EQ(ask("POST", "/v2/models/other/infer", kInfer).status, 404);
  EXPECT_EQ(ask("POST", "/v2/models/sums/versions/9/infer", kInfer).status, 404);
}

TEST_F(Service, BinaryAnswersSayHowLongTheirJsonIs) {
  const std::string body = std::string(kInfer, std::string(kInfer).size() - 1) +
                           R"(,"parameters":{"binary_data_output":true}})";
  const auto response = ask("POST", "/v2/models/sums/infer", body);
  ASSERT_EQ(response.status, 200) << response.body;
  const auto length = header(response.headers, "Inference-Header-Content-Length");
  ASSERT_FALSE(length.empty());
  const auto size = std::stoul(std::string(length));
  EXPECT_EQ(response.body.size(), size + 8 + 8);  // an int64 and two floats
  EXPECT_EQ(json::parse(response.body.substr(0, size))["model_name"], "sums");
}

TEST_F(Service, RawRequestsAreTheBytesOfTheOnlyInput) {
  const auto row = test::floats("", {4}, {-1, -2, -3, -4});
  const auto response =
      ask("POST", "/v2/models/sums/infer", row.data, {{"Inference-Header-Content-Length", "0"}});
  EXPECT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(backend_.last_request().inputs.front().data, row.data);
}

TEST_F(Service, ClassificationHasTheNamesOfTheClasses) {
  const std::string body =
      std::string(kInfer, std::string(kInfer).size() - 1) +
      R"(,"outputs":[{"name":"probability","parameters":{"classification":1}}]})";
  const auto response = ask("POST", "/v2/models/sums/infer", body);
  ASSERT_EQ(response.status, 200) << response.body;
  const std::string best = json::parse(response.body)["outputs"][0]["data"][0];
  EXPECT_EQ(best.substr(best.rfind(':')), ":yes");
}

TEST_F(Service, RefusalsHaveTheirStatusAndRetryAfter) {
  backend_.refuses = true;
  const auto response = ask("POST", "/v2/models/sums/infer", kInfer);
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(header(response.headers, "Retry-After"), "3");
  EXPECT_EQ(json::parse(response.body)["error"], "the queue is full");
}

TEST_F(Service, AnOutputThatThereIsntIs400) {
  const std::string body =
      std::string(kInfer, std::string(kInfer).size() - 1) + R"(,"outputs":[{"name":"other"}]})";
  EXPECT_EQ(ask("POST", "/v2/models/sums/infer", body).status, 400);
}

TEST_F(Service, DeadlinesComeByHeaderOrParameterAndTheShorterCounts) {
  ask("POST", "/v2/models/sums/infer", kInfer);
  EXPECT_FALSE(backend_.last_request().timeout_us.has_value());
  ask("POST", "/v2/models/sums/infer", kInfer, {{"X-Request-Timeout", "0.25"}});
  EXPECT_EQ(backend_.last_request().timeout_us, 250000);
  const std::string body =
      std::string(kInfer, std::string(kInfer).size() - 1) + R"(,"parameters":{"timeout":1000}})";
  ask("POST", "/v2/models/sums/infer", body, {{"X-Request-Timeout", "0.25"}});
  EXPECT_EQ(backend_.last_request().timeout_us, 1000);
  for (const char* wrong : {"0", "-1", "soon", "1e99", "nan", "1 s"}) {
    EXPECT_EQ(ask("POST", "/v2/models/sums/infer", kInfer, {{"X-Request-Timeout", wrong}}).status,
              400)
        << wrong;
  }
}

/// The path of a route for the model "sums" and its version.
std::string path_of(std::string path) {
  for (const auto& [name, value] : {std::pair{"{model}", "sums"}, std::pair{"{version}", "1"}}) {
    const size_t at = path.find(name);
    if (at != std::string::npos) path.replace(at, std::string(name).size(), value);
  }
  return path;
}

TEST_F(Service, TheConfigTellsTheBatchAndTheDelayOfTheModel) {
  EXPECT_EQ(json::parse(ask("GET", "/v2/models/sums/config").body)["max_batch_size"], 0);
  backend_.metadata[0].max_batch = 32;
  backend_.metadata[0].delay_us = 1500;
  const auto config = json::parse(ask("GET", "/v2/models/sums/versions/1/config").body);
  EXPECT_EQ(config["max_batch_size"], 32);
  EXPECT_EQ(config["dynamic_batching"]["max_queue_delay_microseconds"], 1500);
  EXPECT_EQ(config["input"][0]["dims"], json({4}));
}

TEST_F(Service, TextsWhoseReadingNeedsMoreThanTheMemoryAreRefused) {
  constexpr int kRows = 20'000;
  std::string data;
  std::string csv;
  for (int row = 0; row < kRows; ++row) {
    data += row == 0 ? "0,0,0,0" : ",0,0,0,0";
    csv += "0,0,0,0\n";
  }
  const std::string tensor = R"({"inputs":[{"name":"input","datatype":"FP32","shape":[20000,4],)";
  const std::string text = tensor + R"("data":[)" + data + "]}]}";
  const std::string header =
      tensor + R"("parameters":{"binary_data_size":)" + std::to_string(kRows * 16) + "}}]}";
  const std::string binary = header + std::string(kRows * 16, '\0');
  for (const bool fits : {true, false}) {
    handler_ = service(backend_, fits ? 8 << 20 : 1 << 20);
    EXPECT_EQ(ask("POST", "/v2/models/sums/infer", text).status, fits ? 200 : 413);
    EXPECT_EQ(ask("POST", "/predict", csv, {{"Content-Type", "text/csv"}}).status,
              fits ? 200 : 413);
    EXPECT_EQ(ask("POST", "/v2/models/sums/infer", binary,
                  {{"Inference-Header-Content-Length", std::to_string(header.size())}})
                  .status,
              200);
    EXPECT_EQ(ask("POST", "/v2/models/sums/infer", kInfer).status, 200);
  }
  // What was taken is given back.
  handler_ = service(backend_, 8 << 20);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(ask("POST", "/v2/models/sums/infer", text).status, 200);
    EXPECT_EQ(ask("POST", "/v2/models/sums/infer", text + "x").status, 400);
  }
}

TEST_F(Service, OtherMethodsAre405WithTheRightOnes) {
  for (const auto& route : service_routes()) {
    const std::string path = path_of(std::string(route.path));
    for (const char* method : {"PUT", "DELETE", "OPTIONS", route.takes_post ? "GET" : "POST"}) {
      const auto response = ask(method, path);
      EXPECT_EQ(response.status, 405) << method << " " << path;
      EXPECT_EQ(header(response.headers, "Allow"), route.takes_post ? "POST" : "GET, HEAD");
    }
    if (!route.takes_post) {
      EXPECT_EQ(ask("GET", path).status, 200) << path;
      EXPECT_EQ(ask("HEAD", path).status, 200) << path;
    }
  }
}

TEST_F(Service, TheDescriptionHasEveryAddressAndNoOther) {
  std::set<std::string> routes;
  for (const auto& route : service_routes()) {
    routes.insert((route.takes_post ? "post " : "get ") + std::string(route.path));
  }
  std::set<std::string> described;
  const auto description = json::parse(ask("GET", "/openapi.json").body);
  for (const auto& [path, operations] : description["paths"].items()) {
    for (const auto& [method, operation] : operations.items()) {
      described.insert(method + " " + path);
      if (method != "get") continue;
      const auto answer = ask("GET", path_of(path));
      const std::string type = answer.content_type.substr(0, answer.content_type.find(';'));
      EXPECT_TRUE(operation["responses"]["200"]["content"].contains(type)) << path << ": " << type;
    }
  }
  EXPECT_EQ(described, routes);
}

TEST_F(Service, PagesOfOtherSitesCantPost) {
  for (const char* site : {"cross-site", "same-site"}) {
    EXPECT_EQ(
        ask("POST", "/v2/repository/models/sums/unload", {}, {{"Sec-Fetch-Site", site}}).status,
        403);
  }
  EXPECT_TRUE(backend_.calls.empty());
  EXPECT_EQ(
      ask("POST", "/v2/models/sums/infer", kInfer, {{"Sec-Fetch-Site", "same-origin"}}).status,
      200);
}

TEST_F(Service, PagesOfOtherSitesCantPostWhereTheBrowserOnlySaysTheirOrigin) {
  const auto status = [&](const char* host, const char* origin) {
    return ask("POST", "/v2/models/sums/infer", kInfer, {{"Host", host}, {"Origin", origin}})
        .status;
  };
  EXPECT_EQ(status("10.0.0.5:8000", "http://evil.example"), 403);
  EXPECT_EQ(status("10.0.0.5:8000", "http://10.0.0.50:8000"), 403);
  EXPECT_EQ(status("10.0.0.5:8000", "null"), 403);
  EXPECT_EQ(status("[fd00::1]:8000", "http://[fd00::2]:8000"), 403);
  EXPECT_EQ(status("10.0.0.5:8000", "http://10.0.0.5:8000"), 200);
  EXPECT_EQ(status("[fd00::1]:8000", "http://[fd00::1]:8000"), 200);
  // A proxy may pass on the host without its port.
  EXPECT_EQ(status("Models.example", "http://models.example:8080"), 200);
  EXPECT_EQ(ask("GET", "/v2", {}, {{"Host", "a"}, {"Origin", "http://b"}}).status, 200);
}

TEST_F(Service, TheIndexAlsoHasModelsThatCanBeLoaded) {
  const auto index = json::parse(ask("POST", "/v2/repository/index", "{}").body);
  ASSERT_EQ(index.size(), 2U);
  EXPECT_EQ(index[0]["state"], "READY");
  EXPECT_EQ(
      index[1],
      (json{
          {"name", "resting"}, {"version", ""}, {"state", "UNAVAILABLE"}, {"reason", "unloaded"}}));
  EXPECT_EQ(json::parse(ask("POST", "/v2/repository/index", R"({"ready":true})").body).size(), 1U);
  EXPECT_EQ(ask("POST", "/v2/repository/index", R"({"ready":1})").status, 400);
}

TEST_F(Service, AConfigurationOfTheClientsOwnIsRefused) {
  const std::string path = "/v2/repository/models/sums/load";
  EXPECT_EQ(ask("POST", path, R"({"parameters":{"config":"{}"}})").status, 400);
  const auto file = ask("POST", path, R"({"parameters":{"file:1/model.pt":"AAAA"}})");
  EXPECT_EQ(file.status, 400);
  EXPECT_NE(file.body.find("file:1/model.pt"), std::string::npos) << file.body;
  EXPECT_TRUE(backend_.calls.empty());
  EXPECT_EQ(ask("POST", path, R"({"parameters":{}})").status, 200);
  EXPECT_EQ(ask("POST", "/v2/repository/models/sums/unload",
                R"({"parameters":{"unload_dependents":false}})")
                .status,
            200);
}

TEST_F(Service, TheRepositoryLoadsAndUnloads) {
  EXPECT_EQ(ask("POST", "/v2/repository/models/sums/load").status, 200);
  EXPECT_EQ(ask("POST", "/v2/repository/models/sums/unload").status, 200);
  EXPECT_EQ(backend_.calls, (std::vector<std::string>{"load sums", "unload sums"}));
  EXPECT_EQ(ask("POST", "/v2/repository/models/other/load").status, 404);
}

TEST_F(Service, ThePageLoadsNothingFromElsewhere) {
  const auto page = ask("GET", "/");
  EXPECT_EQ(page.content_type, "text/html; charset=utf-8");
  const std::string policy(header(page.headers, "Content-Security-Policy"));
  EXPECT_NE(policy.find("default-src 'none'"), std::string::npos);
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  EXPECT_EQ(header(page.headers, "X-Content-Type-Options"), "nosniff");
  for (const char* path : {"/", "/page.css", "/page.js"}) {
    const auto file = ask("GET", path);
    EXPECT_GT(file.body.size(), 500u) << path;
    EXPECT_EQ(file.body.find("://"), std::string::npos) << path;
  }
}

TEST_F(Service, ThePageKnowsTheModels) {
  const auto answer = json::parse(ask("GET", "/models").body);
  ASSERT_EQ(answer["models"].size(), 1u);
  EXPECT_EQ(answer["models"][0]["features"], 4);
  EXPECT_EQ(answer["models"][0]["kind"], "numbers");
  EXPECT_EQ(answer["models"][0]["class_names"], json({"no", "yes"}));
  backend_.metadata[0].kind = InputKind::image;
  const auto image = json::parse(ask("GET", "/models").body)["models"][0];
  EXPECT_EQ(image["kind"], "image");
  EXPECT_EQ(image["image"]["width"], 2);
  backend_.metadata[0].inputs[0].shape = {-1, 5};  // no square
  EXPECT_EQ(json::parse(ask("GET", "/models").body)["models"][0]["kind"], "numbers");
}

}  // namespace
}  // namespace levin::service_test
