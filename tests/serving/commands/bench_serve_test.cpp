#include <levin/serving/commands/bench_serve.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <levin/cli/arguments.h>
#include <levin/cli/exit_status.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/value.h>

#include "framework/eventually.h"
#include "framework/temporary_folder.h"
#include "serving/load/fake_server.h"

// The stress test of row 58: `levin bench-serve URL`.

namespace levin::bench_serve_test {

using test::FakeServer;

constexpr const char* kMetadata =
    R"({"name":"iris","versions":["1"],"platform":"levin_libtorch",)"
    R"("inputs":[{"name":"input","datatype":"FP32","shape":[-1,4]}],"outputs":[]})";

/// Answers as a server of the Open Inference Protocol does; `infer` answers what is left.
std::string answer(const std::string& request,
                   const std::function<std::string(const std::string&)>& infer) {
  if (request.starts_with("POST /v2/repository/index ")) {
    return FakeServer::response(200, R"([{"name":"iris","version":"1","state":"READY"}])");
  }
  if (request.starts_with("GET /v2/models/iris ")) return FakeServer::response(200, kMetadata);
  return infer(request);
}

struct Ended {
  int status = 0;
  std::string out{};
};

/// `printed` gets what was printed before an exception.
Ended run(const std::string& url, std::vector<std::pair<std::string, std::string>> settings,
          const std::string& output = {}, std::string* printed = nullptr) {
  Arguments arguments;
  arguments.command = "bench-serve";
  arguments.words = {url};
  arguments.settings = {{"warmup", "0"}, {"seconds", "0.1"}, {"connections", "2"}};
  arguments.settings.insert(arguments.settings.end(), settings.begin(), settings.end());
  arguments.json = true;
  arguments.output = output;
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Ended ended;
  const auto capture = [&] {
    ended.out = ::testing::internal::GetCapturedStdout();
    ::testing::internal::GetCapturedStderr();
  };
  try {
    ended.status = bench_serve(arguments);
  } catch (...) {
    capture();
    if (printed != nullptr) *printed = ended.out;
    throw;
  }
  capture();
  return ended;
}

std::string error_of(const std::string& url,
                     const std::vector<std::pair<std::string, std::string>>& settings) {
  try {
    run(url, settings);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(BenchServe, asks_the_first_model_in_each_format_and_prints_its_figures) {
  for (const auto& [format, path] :
       std::vector<std::pair<std::string, std::string>>{{"json", "POST /v2/models/iris/infer "},
                                                        {"binary", "POST /v2/models/iris/infer "},
                                                        {"rows", "POST /models/iris/predict "}}) {
    int64_t asked = 0;
    FakeServer server([&, wanted = path](const std::string& request) {
      return answer(request, [&](const std::string& rest) {
        asked += rest.starts_with(wanted) ? 1 : 0;
        return FakeServer::response(200, "{}");
      });
    });
    const Ended ended = run(server.url(), {{"format", format}, {"rate", "200"}});
    EXPECT_EQ(ended.status, kDone);
    const Value value = Value::from_json(ended.out);
    EXPECT_EQ(value.at("model"), Value("iris"));
    EXPECT_EQ(value.at("format"), Value(format));
    EXPECT_EQ(value.at("loop"), Value("open"));
    EXPECT_GT(value.at("answered").as_int(), 0);
    EXPECT_EQ(value.at("answered"), value.at("requests"));
    EXPECT_EQ(asked, value.at("answered").as_int() + 1);  // one before the load
  }
}

TEST(BenchServe, a_sweep_writes_a_plot_and_its_figures) {
  const test::TemporaryFolder folder;
  FakeServer server([](const std::string& request) {
    return answer(request, [](const std::string&) { return FakeServer::response(200, "{}"); });
  });
  const std::string output = (folder / "load").string();
  const Ended ended = run(server.url(), {{"sweep", "true"}, {"steps", "2"}}, output);
  EXPECT_EQ(ended.status, kDone);
  const Value value = Value::from_json(ended.out);
  EXPECT_EQ(value.at("steps").as_array().size(), 2U);
  EXPECT_GT(value.at("maximum").at("throughput").as_double(), 0.0);
  EXPECT_EQ(Value::from_json(files::read_text(output + ".json")), value);
  EXPECT_NE(files::read_text(output + ".svg").find("iris: latency against load"),
            std::string::npos);
  EXPECT_TRUE(files::read_text(output + ".csv").starts_with("rate,connections,"));
}

TEST(BenchServe, ctrl_c_ends_it_with_the_figures_so_far) {
  int64_t asked = 0;
  FakeServer server([&](const std::string& request) {
    return answer(request, [&](const std::string&) {
      if (++asked == 20) ::kill(::getpid(), SIGINT);
      return FakeServer::response(200, "{}");
    });
  });
  const Ended ended = run(server.url(), {{"seconds", "3600"}, {"rate", "500"}});
  EXPECT_EQ(ended.status, kInterrupted);
  const Value value = Value::from_json(ended.out);
  EXPECT_EQ(value.at("interrupted"), Value(true));
  EXPECT_GE(value.at("answered").as_int(), 18);
  EXPECT_LT(value.at("seconds").as_double(), 3600.0);
}

TEST(BenchServe, a_server_that_goes_away_is_an_error_after_the_figures_so_far) {
  std::atomic<int64_t> asked = 0;
  auto server = std::make_unique<FakeServer>([&](const std::string& request) {
    return answer(request, [&](const std::string&) {
      ++asked;
      return FakeServer::response(200, "{}");
    });
  });
  const std::string url = server->url();
  std::thread killer([&] {
    EXPECT_TRUE(test::eventually([&] { return asked > 20; }));
    server.reset();
  });
  std::string out;
  try {
    ADD_FAILURE()
        << "status "
        << run(url, {{"seconds", "1"}, {"rate", "200"}, {"timeout", "1"}}, {}, &out).status;
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("can't be reached"), std::string::npos)
        << error.what();
  }
  killer.join();
  const Value value = Value::from_json(out);
  EXPECT_GT(value.at("answered").as_int(), 0);
  EXPECT_LT(value.at("answered").as_int(), value.at("requests").as_int());
}

TEST(BenchServe, sends_its_token_and_the_rows_of_a_file) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "token") << "secret\nnot the token\n";
  std::ofstream(folder / "x.csv") << "a,b,c,d\n1,2,3,4\n";
  std::string seen;
  FakeServer server([&](const std::string& request) {
    seen = request;
    return FakeServer::response(200, "{}");
  });
  const Ended ended = run(server.url(), {{"token_file", (folder / "token").string()},
                                         {"rows", (folder / "x.csv").string()},
                                         {"path", "/ask"},
                                         {"format", "rows"}});
  EXPECT_EQ(ended.status, kDone);
  EXPECT_TRUE(seen.starts_with("POST /ask ")) << seen;
  EXPECT_NE(seen.find("\r\nAuthorization: Bearer secret\r\n"), std::string::npos) << seen;
  EXPECT_TRUE(seen.ends_with(R"({"rows":[[1.0,2.0,3.0,4.0]]})")) << seen;
}

TEST(BenchServe, a_load_that_the_server_refuses_shows_its_words) {
  FakeServer server([](const std::string& request) {
    return answer(request, [](const std::string&) {
      return FakeServer::response(400, R"({"error":"the input has 3 columns"})");
    });
  });
  const std::string error = error_of(server.url(), {});
  EXPECT_NE(error.find("answers a request with status 400"), std::string::npos) << error;
  EXPECT_NE(error.find("the input has 3 columns"), std::string::npos) << error;
}

TEST(BenchServe, a_server_that_only_refuses_is_a_failure) {
  FakeServer server([](const std::string& request) {
    return answer(request, [](const std::string&) { return FakeServer::response(429, "{}"); });
  });
  const Ended ended = run(server.url(), {{"rate", "100"}});
  EXPECT_EQ(ended.status, kFailed);
  const Value value = Value::from_json(ended.out);
  EXPECT_GT(value.at("refused").as_int(), 0);
  EXPECT_EQ(value.at("refused"), value.at("requests"));
}

TEST(BenchServe, wrong_options_and_other_servers_are_refused_with_a_reason) {
  FakeServer other([](const std::string&) { return FakeServer::response(404, "no"); });
  const auto expect = [&](const std::vector<std::pair<std::string, std::string>>& settings,
                          const std::string& part) {
    const std::string error = error_of(other.url(), settings);
    EXPECT_NE(error.find(part), std::string::npos) << error;
  };
  expect({{"rate", "-1"}}, "--rate");
  expect({{"connections", "0"}}, "--connections");
  expect({{"seconds", "0"}}, "--seconds");
  expect({{"timeout", "0"}}, "--timeout");
  expect({{"steps", "0"}}, "--steps");
  expect({{"format", "xml"}}, "format");
  expect({{"arrivals", "often"}}, "poisson");
  expect({{"sweep", "true"}, {"rate", "5"}}, "--sweep and --rate");
  expect({{"rates", "5"}}, "--rate");
  expect({}, "answers with status 404 when asked for its models");
  expect({{"model", "m"}}, "answers with status 404 when asked for the metadata");
  EXPECT_NE(error_of("http://127.0.0.1:1", {}).find("can't be reached"), std::string::npos);
  EXPECT_NE(error_of("gopher://a", {}).find("http://HOST:PORT"), std::string::npos);
}

}  // namespace levin::bench_serve_test
