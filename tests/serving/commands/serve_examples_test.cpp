#include <levin/serving/commands/serve.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/framework/config/yaml.h>
#include <levin/serving/commands/serve_options.h>

#include "framework/python.h"
#include "framework/temporary_folder.h"
#include "serving/commands/linear_checkpoints.h"
#include "serving/commands/serving_process.h"

// The clients of examples/serving, and what Prometheus does with its configuration, against a
// service that asks for a token.

namespace levin::serve_examples_test {
namespace {

using test::RawClient;
using test::ServingProcess;
using test::shell;

constexpr const char* kToken = "8c1f5be0a7";
const std::string kExamples = LEVIN_SOURCE_DIR "/examples/serving/";

class ServeExamples : public ::testing::Test {
 protected:
  ServeExamples() {
    checkpoints_.save(folder_ / "m.ckpt", 2);
    write("token", kToken);
    write("rows.csv", "1,1\n2,0.5\n-4,0\n");  // 2 (a + b + 1): 6, 7 and -6
  }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }
  std::vector<std::string> arguments() const {
    return {"m=m.ckpt", "--port", "0", "--token-file", "token"};
  }
  /// What a client prints that knows the token, or one of these instead.
  test::ShellResult ask(const std::string& client, int64_t port, const std::string& rows,
                        const std::string& token = kToken) const {
    return shell("cd '" + folder_.string() + "' && LEVIN_TOKEN=" + token + " " + client +
                 " http://127.0.0.1:" + std::to_string(port) + " m " + rows);
  }

  test::LinearCheckpoints checkpoints_;
  test::TemporaryFolder folder_;
};

TEST_F(ServeExamples, ClientsOfCurlAndCppPrintTheAnswers) {
  const ServingProcess service(folder_.path(), arguments());
  const int64_t port = service.port();
  for (const std::string& client :
       {std::string(LEVIN_BINARY_DIR "/bin/serving_client"), "sh " + kExamples + "client.sh"}) {
    if (client.front() == 's' && !test::has_programs({"curl"})) continue;
    const auto right = ask(client, port, "rows.csv");
    EXPECT_EQ(right.status, 0) << right.output;
    EXPECT_NE(right.output.find(R"("predictions":[{"value":6},{"value":7},{"value":-6}])"),
              std::string::npos)
        << right.output;
    const auto unknown = ask(client, port, "rows.csv", "wrong");
    EXPECT_NE(unknown.status, 0) << client;
    EXPECT_EQ(unknown.output.find("predictions"), std::string::npos) << unknown.output;
    write("short.csv", "1\n");
    const auto wrong = ask(client, port, "short.csv");
    EXPECT_NE(wrong.status, 0) << client;
    EXPECT_NE(wrong.output.find("line 1 has 1 cell"), std::string::npos) << wrong.output;
  }
}

TEST_F(ServeExamples, ClientInPythonPrintsTheAnswersOfBothProtocols) {
  const std::string python = test::python();
  if (python.empty() || shell(python + " -c 'import numpy'").status != 0) {
    GTEST_SKIP() << "LEVIN_PYTHON isn't set, or lacks numpy";
  }
  ASSERT_EQ(shell("cd '" + folder_.string() + "' && " + python +
                  " -c 'import numpy; numpy.save(\"rows.npy\", numpy.loadtxt(\"rows.csv\", "
                  "delimiter=\",\"))'")
                .status,
            0);
  const ServingProcess service(folder_.path(), arguments());
  const auto result = ask(python + " -B " + kExamples + "client.py", service.port(), "rows.npy");
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_NE(result.output.find("plain rows: [{'value': 6}, {'value': 7}, {'value': -6}]"),
            std::string::npos)
      << result.output;
  if (result.output.find("tritonclient is not installed") != std::string::npos) return;
  EXPECT_NE(result.output.find("\nvalue: [6.0, 7.0, -6.0]\n"), std::string::npos) << result.output;
}

TEST_F(ServeExamples, PrometheusIsAnsweredWhereItsConfigurationSays) {
  const ConfigNode root = parse_yaml(test::read_file(kExamples + "prometheus.yml"), "prometheus");
  ASSERT_EQ(root.find("scrape_configs")->items.size(), 1U);
  const ConfigNode& job = root.find("scrape_configs")->items[0];
  const std::string path = job.find("metrics_path")->text;
  EXPECT_EQ(job.find("authorization")->find("type")->text, "Bearer");
  for (const auto& target : job.find("static_configs")->items.at(0).find("targets")->items) {
    const std::string port = std::to_string(ServeOptions().port);
    EXPECT_EQ(target.text.substr(target.text.find(':') + 1), port) << target.text;
  }

  const ServingProcess service(folder_.path(), arguments());
  RawClient client(service.port());
  EXPECT_EQ(client.ask(test::get_request(path)).status, 401);
  const auto answer =
      client.ask(test::get_request(path, "Authorization: Bearer " + std::string(kToken) + "\r\n"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(std::string(answer["Content-Type"]).substr(0, 25), "text/plain; version=0.0.4");
  write("metrics", answer.body);
  const auto parsed =
      test::run_python("../serving/read_metrics.py", {(folder_ / "metrics").string()});
  if (parsed.status == 77) GTEST_SKIP() << "prometheus_client isn't installed";
  EXPECT_EQ(parsed.status, 0) << parsed.output;
}

}  // namespace
}  // namespace levin::serve_examples_test
