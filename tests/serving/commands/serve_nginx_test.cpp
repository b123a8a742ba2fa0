#include <levin/serving/commands/serve.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

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
  void write_configuration(const std::vector<int64_t>& services, int port) const {
    std::string text = test::read_file(LEVIN_SOURCE_DIR "/examples/serving/nginx.conf");
    const auto replace = [&text](const std::string& from, const std::string& to) {
      const size_t at = text.find(from);
      ASSERT_NE(at, std::string::npos) << from;
      ASSERT_EQ(text.find(from, at + 1), std::string::npos) << from;
      text.replace(at, from.size(), to);
    };
    replace("server front1:8000", "server 127.0.0.1:" + std::to_string(services[0]));
    replace("server front2:8000", "server 127.0.0.1:" + std::to_string(services[1]));
    replace("listen 8080", "listen 127.0.0.1:" + std::to_string(port));
    std::string files = "http {\n  access_log off;\n";
    for (const char* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
      files += std::string("  ") + kind + "_temp_path " + folder_.string() + "/" + kind + ";\n";
    }
    replace("http {", files);
    std::ofstream(folder_ / "nginx.conf")
        << "daemon off;\npid " + folder_.string() + "/nginx.pid;\nerror_log stderr warn;\n" + text;
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
  ASSERT_TRUE(eventually([&] {
    try {
      return test::status_of(port, "/v2/health/ready") == 200;
    } catch (const std::runtime_error&) {
      return false;
    }
  })) << balancer.printed();

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

}  // namespace
}  // namespace levin::serve_nginx_test
