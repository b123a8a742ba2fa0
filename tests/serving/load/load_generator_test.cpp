#include <levin/serving/load/load_generator.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include <levin/framework/core/error.h>

#include "serving/load/fake_server.h"

namespace levin::load_generator_test {

using test::FakeServer;

const std::string kRequest = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nrows";

LoadResult load(const FakeServer& server, const LoadPlan& plan,
                const std::function<bool()>& is_stopped = {}) {
  const LoadTarget target(parse_server_address(server.url()), "", false);
  return run_load(target, plan, is_stopped);
}

int64_t sum_of_outcomes(const LoadResult& result) {
  return result.answered + result.refused + result.failed + result.broken + result.expired +
         result.unfinished;
}

TEST(LoadGenerator, a_closed_loop_sends_the_requests_in_turn_and_counts_each_once) {
  std::atomic<int64_t> first{0};
  std::atomic<int64_t> second{0};
  FakeServer server([&](const std::string& request) {
    ++(request.ends_with("rows") ? first : second);
    return FakeServer::response(200, "{}");
  });
  LoadPlan plan{.requests = {kRequest, kRequest}, .connections = 3, .warmup = 0.0, .seconds = 0.2};
  plan.requests[1].replace(plan.requests[1].size() - 4, 4, "more");
  const LoadResult result = load(server, plan);
  EXPECT_GT(result.answered, 10);
  EXPECT_EQ(result.requests, result.answered);
  EXPECT_EQ(result.requests, server.requests());
  EXPECT_EQ(result.latency.count(), result.answered);
  EXPECT_EQ(result.statuses.at(200), result.answered);
  EXPECT_NEAR(static_cast<double>(first), static_cast<double>(second), 1.0);
  EXPECT_EQ(server.accepted(), 4);  // one before the load finds out whether the server is there
  EXPECT_EQ(result.reconnects, 0);
  EXPECT_NEAR(result.throughput * result.seconds, static_cast<double>(result.answered), 3.5);
}

TEST(LoadGenerator, outcomes_are_told_apart_and_add_up) {
  std::atomic<int> turn{0};
  FakeServer server([&](const std::string&) -> std::string {
    switch (turn++ % 5) {
      case 0:
        return FakeServer::response(429, "{}", "Retry-After: 1\r\n");
      case 1:
        return FakeServer::response(500, "{}");
      case 2:
        return turn % 20 < 5 ? "" : FakeServer::response(200, "{}", "Connection: close\r\n");
      default:
        return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    }
  });
  for (const double rate : {0.0, 400.0}) {
    const LoadResult result = load(server, {.requests = {kRequest},
                                            .connections = 4,
                                            .rate = rate,
                                            .warmup = 0.0,
                                            .seconds = 0.3,
                                            .timeout = 60.0});
    EXPECT_GT(result.answered, 0);
    EXPECT_GT(result.refused, 0);
    EXPECT_GT(result.failed, 0);
    EXPECT_GT(result.broken, 0);
    EXPECT_EQ(result.requests, sum_of_outcomes(result)) << rate;
    EXPECT_EQ(result.statuses.at(429), result.refused);
    EXPECT_EQ(result.statuses.at(500), result.failed);
    EXPECT_EQ(result.latency.count(), result.answered);
    EXPECT_GT(result.reconnects, 0);
    EXPECT_EQ(result.errors(), result.failed + result.broken + result.expired);
  }
}

TEST(LoadGenerator, an_open_loop_counts_the_wait_of_requests_that_a_stalled_server_holds_up) {
  // The server stops once, for 200 ms. Of 400 requests a second, about 80 are due meanwhile, and
  // half of them wait for more than 100 ms; but only one of them is under way on the connection.
  std::atomic<int> count{0};
  FakeServer server([&](const std::string&) {
    if (++count == 40) std::this_thread::sleep_for(std::chrono::milliseconds(200));
    return FakeServer::response(200, "{}");
  });
  const LoadResult result = load(server, {.requests = {kRequest},
                                          .connections = 1,
                                          .rate = 400.0,
                                          .is_poisson = false,
                                          .warmup = 0.0,
                                          .seconds = 0.5,
                                          .timeout = 60.0});
  EXPECT_EQ(result.requests, 199);
  EXPECT_EQ(result.answered, 199);
  EXPECT_EQ(server.requests(), 199);
  const int64_t naive = result.service.count_above(0.1);
  const int64_t seen = result.latency.count_above(0.1);
  EXPECT_GE(naive, 1);
  EXPECT_GE(seen, 35) << "requests that were due during the stall must count it";
  EXPECT_GE(seen, 10 * naive);
  EXPECT_GT(result.latency.percentile(99.0), 0.1);
}

TEST(LoadGenerator, requests_that_get_no_response_expire_and_their_connections_are_made_again) {
  std::atomic<bool> is_mute{true};
  FakeServer server([&](const std::string&) -> std::string {
    // An interim response, which answers nothing.
    return is_mute.exchange(false) ? "HTTP/1.1 100 Continue\r\n\r\n"
                                   : FakeServer::response(200, "{}");
  });
  const LoadResult result = load(
      server,
      {.requests = {kRequest}, .connections = 1, .warmup = 0.0, .seconds = 0.4, .timeout = 0.1});
  EXPECT_GE(result.expired, 1);
  EXPECT_GE(result.reconnects, 1);
  EXPECT_GE(result.answered, 1);
  EXPECT_EQ(result.requests, sum_of_outcomes(result));
}

TEST(LoadGenerator, the_warm_up_is_not_counted) {
  FakeServer server([](const std::string&) { return FakeServer::response(200, "{}"); });
  const LoadResult result = load(server, {.requests = {kRequest},
                                          .connections = 2,
                                          .rate = 200.0,
                                          .is_poisson = false,
                                          .warmup = 0.2,
                                          .seconds = 0.2,
                                          .timeout = 60.0});
  EXPECT_EQ(result.requests, 40);
  EXPECT_EQ(result.answered, 40);
  EXPECT_EQ(server.requests(), 79);  // the first one is due after 5 ms
}

TEST(LoadGenerator, a_load_that_is_stopped_returns_what_it_has_measured) {
  std::atomic<int64_t> answered{0};
  FakeServer server([&](const std::string&) {
    ++answered;
    return FakeServer::response(200, "{}");
  });
  const LoadResult result = load(
      server,
      {.requests = {kRequest}, .connections = 2, .rate = 500.0, .warmup = 0.0, .seconds = 3600.0},
      [&] { return answered >= 20; });
  EXPECT_TRUE(result.is_interrupted);
  EXPECT_GE(result.answered, 19);
  EXPECT_LT(result.seconds, 3600.0);
  EXPECT_GT(result.throughput, 0.0);
  EXPECT_EQ(result.requests, sum_of_outcomes(result));
}

TEST(LoadGenerator, the_same_seed_sends_at_the_same_times) {
  FakeServer server([](const std::string&) { return FakeServer::response(200, "{}"); });
  LoadPlan plan{.requests = {kRequest}, .rate = 300.0, .warmup = 0.0, .seconds = 0.1, .seed = 3};
  plan.timeout = 60.0;
  const int64_t first = load(server, plan).requests;
  EXPECT_EQ(load(server, plan).requests, first);
  EXPECT_GT(first, 5);
}

TEST(LoadGenerator, a_server_that_is_not_there_is_an_error_before_the_load) {
  std::string url;
  {
    FakeServer gone([](const std::string&) { return std::string(); });
    url = gone.url();
  }
  const LoadTarget target(parse_server_address(url), "", false);
  try {
    run_load(target, {.requests = {kRequest}});
    FAIL() << "nothing was thrown";
  } catch (const DataError& error) {
    EXPECT_EQ(error.what(), url +
                                " can't be reached: Connection refused; start the server, or "
                                "check the URL");
  }
}

TEST(LoadGenerator, urls_are_read_and_wrong_ones_refused) {
  const HttpAddress a = parse_server_address("https://example.com/models/a/");
  EXPECT_TRUE(a.is_tls);
  EXPECT_EQ(a.port, 443);
  EXPECT_EQ(a.path, "/models/a");
  const HttpAddress b = parse_server_address("[::1]:8000");
  EXPECT_EQ(b.host, "::1");
  EXPECT_EQ(b.origin(), "http://[::1]:8000");
  EXPECT_EQ(parse_server_address("localhost:8000/").authority(), "localhost:8000");
  for (const char* wrong : {"ftp://a", "http://", "http://a:0", "http://a:70000", "http://a:x",
                            "http://[::1", "http://a b", "http://a/?q", "http://u@a"}) {
    EXPECT_THROW(parse_server_address(wrong), ConfigError) << wrong;
  }
}

}  // namespace levin::load_generator_test
