#include <levin/serving/commands/serve.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/framework/config/yaml.h>
#include <levin/serving/http/http_server.h>

#include "framework/eventually.h"
#include "framework/free_port.h"
#include "framework/temporary_folder.h"
#include "serving/commands/askers.h"
#include "serving/commands/linear_checkpoints.h"
#include "serving/commands/serving_process.h"

// Round robin over several services, as examples/serving/nginx.conf does it.

namespace levin::serve_nginx_test {
namespace {

using test::eventually;
using test::RawClient;
using test::ServingProcess;
using test::TestProcess;

class ServeNginx : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!test::has_programs({"nginx"})) GTEST_SKIP() << "nginx isn't installed";
    checkpoints_.save(folder_ / "m.ckpt", 1);
  }

  /// Writes the example's configuration with other ports, and with its files in the folder.
  void write_configuration(const std::vector<int64_t>& services, int port,
                           const std::string& limit = "limit_conn clients 256;") const {
    std::string text = test::read_file(LEVIN_SOURCE_DIR "/examples/serving/nginx.conf");
    const auto replace = [&text](const std::string& from, const std::string& to) {
      const size_t at = text.find(from);
      ASSERT_NE(at, std::string::npos) << from;
      ASSERT_EQ(text.find(from, at + 1), std::string::npos) << from;
      text.replace(at, from.size(), to);
    };
    for (const char* use : {" max_fails=1", " max_fails=0"}) {  // and another, if all have failed
      for (size_t i = 0; i < services.size(); ++i) {
        replace("server front" + std::to_string(i + 1) + ":8000" + use,
                "server 127.0.0.1:" + std::to_string(services[i]) + use);
      }
    }
    replace("limit_conn clients 256;", limit);
    replace("listen 8080", "listen 127.0.0.1:" + std::to_string(port));
    std::string files = "http {\n  access_log off;\n";
    for (const char* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
      files += std::string("  ") + kind + "_temp_path " + folder_.string() + "/" + kind + ";\n";
    }
    replace("http {", files);
    std::ofstream(folder_ / "nginx.conf")
        << "daemon off;\npid " + folder_.string() + "/nginx.pid;\nerror_log stderr warn;\n" + text;
  }

  /// Whether nginx answers, also if it has nobody to ask.
  static bool is_up(int port) {
    return eventually([&] {
      try {
        return test::status_of(port, "/metrics") == 404;
      } catch (const std::runtime_error&) {
        return false;
      }
    });
  }

  std::vector<std::string> nginx(std::vector<std::string> more = {}) const {
    std::vector<std::string> words = {"nginx", "-p", folder_.string(), "-c",
                                      (folder_ / "nginx.conf").string()};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  /// How many rows a service has predicted.
  static int64_t predicted(int64_t port) {
    const std::string text = RawClient(port).ask(test::get_request("/metrics")).body;
    const std::string name = "\nnv_inference_count{";
    const size_t at = text.find(name);
    if (at == std::string::npos) return 0;
    return std::atoll(text.c_str() + text.find("} ", at) + 2);
  }

  test::LinearCheckpoints checkpoints_;
  test::TemporaryFolder folder_;
};

TEST_F(ServeNginx, RequestsReachBothServicesAndNoneIsLostWhenOneIsKilled) {
  const std::vector<std::string> arguments = {"m=m.ckpt", "--port", "0"};
  ServingProcess first(folder_.path(), arguments);
  ServingProcess second(folder_.path(), arguments);
  const int port = test::free_port();
  write_configuration({first.port(), second.port()}, port);
  TestProcess check(folder_.path(), nginx({"-t"}));
  ASSERT_EQ(check.wait(), 0) << check.printed();
  TestProcess balancer(folder_.path(), nginx(), SIGTERM);
  ASSERT_TRUE(is_up(port)) << balancer.printed();

  test::Askers askers({.ports = {port, port},
                       .connections = 32,
                       .request = [](int number) { return test::linear_request(number); },
                       .fault =
                           [](int number, const test::RawResponse& response) {
                             return test::linear_fault(number, 1, response);
                           }});
  EXPECT_TRUE(askers.go_on(500));
  const int64_t of_first = predicted(first.port());
  const int64_t of_second = predicted(second.port());
  EXPECT_GT(of_first, 100);
  EXPECT_GT(of_second, 100);
  first.kill();
  EXPECT_TRUE(askers.go_on(500));
  askers.stop();
  EXPECT_EQ(askers.wrong(), "") << balancer.printed();
  EXPECT_GT(predicted(second.port()), of_second + 400);

  // Prometheus asks the services themselves, and only they load and unload models.
  EXPECT_EQ(test::status_of(port, "/metrics"), 404);
  RawClient client(port);
  EXPECT_EQ(client.ask(test::post_request("/v2/repository/models/m/unload", "")).status, 404);
  EXPECT_EQ(test::status_of(second.port(), "/v2/models/m/ready"), 200);
  EXPECT_EQ(balancer.end(), 0) << balancer.printed();
}

// A model that can't be asked has status 503 at each service; requests for other models go on.
TEST_F(ServeNginx, ServicesThatAllSaid503AreAskedAgainAtOnce) {
  const HttpHandler handler = [](const HttpRequest& request, const HttpReply& reply) {
    reply({.status = request.path == "/models/broken/predict" ? 503 : 200,
           .body = R"({"by": "a service"})"});
  };
  HttpServer first({.port = 0}, handler);
  HttpServer second({.port = 0}, handler);
  const int port = test::free_port();
  write_configuration({first.port(), second.port()}, port);
  TestProcess balancer(folder_.path(), nginx(), SIGTERM);
  ASSERT_TRUE(is_up(port)) << balancer.printed();
  for (int i = 0; i < 5; ++i) {
    RawClient client(port);
    const auto broken = client.ask(test::post_request("/models/broken/predict", "{}"));
    EXPECT_EQ(broken.status, 503);
    EXPECT_EQ(broken.body, R"({"by": "a service"})");
    for (int other = 0; other < 5; ++other) {
      EXPECT_EQ(client.ask(test::post_request("/models/fine/predict", "{}")).status, 200);
    }
  }
  EXPECT_EQ(balancer.end(), 0) << balancer.printed();
}

// Clients need no second way to find out when to try again.
TEST_F(ServeNginx, WhatNginxRefusesItselfReadsLikeWhatLevinRefuses) {
  const auto expect_refusal = [](const test::RawResponse& response, int status) {
    EXPECT_EQ(response.status, status);
    EXPECT_EQ(response["Content-Type"], "application/json");
    EXPECT_EQ(response["Retry-After"], "1");
    const auto body = parse_yaml(response.body, "the answer");
    ASSERT_NE(body.find("error"), nullptr) << response.body;
  };
  std::atomic<int> asked{0};
  HttpReply held;  // keeps a request under way
  HttpServer service({.port = 0}, [&](const HttpRequest&, const HttpReply& reply) {
    held = reply;
    ++asked;
  });
  const int port = test::free_port();
  const int64_t nobody = test::free_port();
  write_configuration({service.port(), nobody}, port, "limit_conn clients 1;");
  TestProcess balancer(folder_.path(), nginx(), SIGTERM);
  ASSERT_TRUE(is_up(port)) << balancer.printed();
  RawClient first(port);
  ASSERT_TRUE(first.send(test::post_request("/predict", "{}")));
  ASSERT_TRUE(eventually([&] { return asked == 1; }));
  expect_refusal(RawClient(port).ask(test::post_request("/predict", "{}")), 429);
  held({.body = "{}"});
  EXPECT_EQ(first.response().status, 200);
  EXPECT_TRUE(service.drain(test::kHangSeconds));
  expect_refusal(RawClient(port).ask(test::post_request("/predict", "{}")), 503);
  EXPECT_EQ(balancer.end(), 0) << balancer.printed();
}

}  // namespace
}  // namespace levin::serve_nginx_test
