#include <levin/serving/commands/serve.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "cli/program.h"
#include "framework/eventually.h"
#include "framework/python.h"
#include "serving/http/raw_client.h"

namespace levin::serve_test {
namespace {

/// A service of the built program, which ends with the object.
class Running {
 public:
  explicit Running(pid_t process) : process_(process) {}
  ~Running() {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      ::waitpid(process_, nullptr, 0);
    }
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  pid_t process() const { return process_; }
  pid_t release() { return std::exchange(process_, -1); }

 private:
  pid_t process_;
};

class Serve : public test::ProgramTest {
 protected:
  /// Trains a model of irises for a moment, into levin_logs/version_0.
  void train() {
    const auto fit = run({"fit", "--model", "LogisticRegression", "--data", "IrisDataModule",
                          "--trainer.max_epochs=2", "--trainer.enable_progress_bar=false"});
    ASSERT_EQ(fit.status, 0) << fit.err;
  }

  std::string printed() const { return test::read_file(output_folder() / "err"); }

  /// The port of the service that was started last, once it listens.
  int64_t port() const {
    const std::string before = "listening on http://127.0.0.1:";
    EXPECT_TRUE(test::eventually([&] { return printed().find(before) != std::string::npos; }))
        << printed();
    const std::string text = printed();
    return std::stoll(text.substr(text.find(before) + before.size()));
  }

  pid_t serve_models(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"serve", "iris=levin_logs/version_0", "--port", "0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return start(arguments);
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
  const Running service(serve_models());
  const auto at = std::to_string(port());
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

TEST_F(Serve, EndsAfterSigtermWhenAllThatHasBegunIsAnswered) {
  train();
  Running service(serve_models({"--delay", "300", "--batch", "1000"}));
  const int64_t at = port();
  std::vector<std::unique_ptr<test::RawClient>> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(std::make_unique<test::RawClient>(at));
    ASSERT_TRUE(clients.back()->send(
        test::post_request("/predict", "5.1,3.5,1.4,0.2\n", "Content-Type: text/csv\r\n")));
  }
  ::kill(service.process(), SIGTERM);
  for (auto& client : clients) {
    const auto response = client->response();
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_NE(response.body.find("\"probabilities\""), std::string::npos) << response.body;
  }
  const auto outcome = wait(service.release());
  EXPECT_EQ(outcome.status, 0) << outcome.err;
}

TEST_F(Serve, SaysWhatIsWrong) {
  write("letter.ckpt", "Dear model, this isn't a checkpoint.\n");
  expect_error({"serve", "letter.ckpt"}, 1, "letter.ckpt");
  expect_error({"serve", "missing.ckpt"}, 1, "missing.ckpt");
  expect_error({"serve"}, 2, "takes a model");
  expect_error({"serve", "last", "--prt", "1"}, 2, "--port");
}

TEST_F(Serve, APortThatIsTakenIsNamed) {
  train();
  const Running service(serve_models());
  const std::string at = std::to_string(port());
  const auto second = run({"serve", "iris=levin_logs/version_0", "--port", at});
  EXPECT_EQ(second.status, 1);
  EXPECT_NE(second.err.find("port " + at), std::string::npos) << second.err;
}

}  // namespace
}  // namespace levin::serve_test
