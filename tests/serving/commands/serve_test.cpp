#include <levin/serving/commands/serve.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cli/program.h"
#include "framework/free_port.h"
#include "framework/python.h"
#include "serving/commands/serving_process.h"
#include "serving/http/raw_client.h"

namespace levin::serve_test {
namespace {

using test::ServingProcess;

class Serve : public test::ProgramTest {
 protected:
  /// Trains a model of irises for a moment, into levin_logs/version_0.
  void train() {
    const auto fit = run({"fit", "--model", "LogisticRegression", "--data", "IrisDataModule",
                          "--trainer.max_epochs=2", "--trainer.enable_progress_bar=false"});
    ASSERT_EQ(fit.status, 0) << fit.err;
  }

  std::vector<std::string> with_model(std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"iris=levin_logs/version_0", "--port", "0"});
    return more;
  }
};

TEST_F(Serve, ExistingClientsGetWhatPredictWrites) {
  if (test::python().empty()) GTEST_SKIP() << "LEVIN_PYTHON isn't set";
  train();
  write("rows.csv",
        "5.1,3.5,1.4,0.2\n6.3,2.9,5.6,1.8\n5.7,2.8,4.5,1.3\n4.4,2.9,1.4,0.2\n7.7,3.8,6.7,2.2\n");
  const auto predict =
      run({"predict", "--ckpt-path", "last", "--data", "ArrayDataModule", "--data.x=rows.csv",
           "--data.target_column=none", "--output", "predictions.npz"});
  ASSERT_EQ(predict.status, 0) << predict.err;
  const ServingProcess service(folder_.path(), with_model());
  const auto at = std::to_string(service.port());
  for (const char* client : {"tritonclient", "kserve", "curl"}) {
    const auto result =
        test::run_python("../serving/clients.py", {at, "iris", folder_.string() + "/rows.csv",
                                                   folder_.string() + "/predictions.npz", client});
    if (result.status == 77) {
      std::printf("skipped: %s", result.output.c_str());
      continue;
    }
    EXPECT_EQ(result.status, 0) << client << ": " << result.output;
  }
}

TEST_F(Serve, ExistingClientsAreToldThatItIsNotReady) {
  if (test::python().empty()) GTEST_SKIP() << "LEVIN_PYTHON isn't set";
  // A front end without Redis, and so without models, is alive but not ready.
  const ServingProcess service(folder_.path(),
                               {"--role", "front", "--port", "0", "--redis",
                                "redis://127.0.0.1:" + std::to_string(test::free_port()) + "/0"});
  const auto at = std::to_string(service.port());
  const auto response = test::RawClient(service.port()).ask(test::get_request("/v2/health/ready"));
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, R"({"ready":false})");
  for (const char* client : {"tritonclient", "kserve"}) {
    const auto result = test::run_python("../serving/unready_clients.py", {at, client});
    if (result.status == 77) {
      std::printf("skipped: %s", result.output.c_str());
      continue;
    }
    EXPECT_EQ(result.status, 0) << client << ": " << result.output;
  }
}

TEST_F(Serve, EndsAfterSigtermWhenAllThatHasBegunIsAnswered) {
  train();
  ServingProcess service(folder_.path(), with_model({"--delay", "300", "--batch", "1000"}));
  const int64_t at = service.port();
  std::vector<std::unique_ptr<test::RawClient>> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(std::make_unique<test::RawClient>(at));
    ASSERT_TRUE(clients.back()->send(
        test::post_request("/predict", "5.1,3.5,1.4,0.2\n", "Content-Type: text/csv\r\n")));
  }
  service.signal(SIGTERM);
  for (auto& client : clients) {
    const auto response = client->response();
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_NE(response.body.find("\"probabilities\""), std::string::npos) << response.body;
  }
  EXPECT_EQ(service.wait(), 0) << service.printed();
}

TEST_F(Serve, SaysWhatIsWrong) {
  write("letter.ckpt", "Dear model, this isn't a checkpoint.\n");
  expect_error({"serve", "letter.ckpt"}, 1, "letter.ckpt");
  expect_error({"serve", "missing.ckpt"}, 1, "missing.ckpt");
  expect_error({"serve"}, 2, "takes a model");
  expect_error({"serve", "last", "--prt", "1"}, 2, "--port");
  train();
  expect_error({"serve", "last", "--port", "0", "--memory", "15"}, 2, "at least one row");
}

TEST_F(Serve, APortThatIsTakenIsNamed) {
  train();
  const ServingProcess service(folder_.path(), with_model());
  const std::string at = std::to_string(service.port());
  const auto second = run({"serve", "iris=levin_logs/version_0", "--port", at});
  EXPECT_EQ(second.status, 1);
  EXPECT_NE(second.err.find("port " + at), std::string::npos) << second.err;
}

}  // namespace
}  // namespace levin::serve_test
