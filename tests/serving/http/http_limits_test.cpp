#include <sys/resource.h>

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <levin/serving/http/http_server.h>

#include "framework/message_of.h"
#include "serving/http/raw_client.h"

namespace levin::http_limits_test {
namespace {

using test::eventually;
using test::get_request;
using test::post_request;
using test::RawClient;
using test::says;

/// No timeout ends anything in these tests but the one that a test shortens.
HttpOptions patient() {
  HttpOptions options;
  options.port = 0;
  options.read_timeout = options.write_timeout = options.idle_timeout = 3600;
  return options;
}

void count_body(HttpRequest request, const HttpReply& reply) {
  HttpResponse response;
  response.body = std::to_string(request.body.size());
  reply(std::move(response));
}

TEST(HttpLimits, LargeHeadersAreRefused) {
  auto options = patient();
  options.max_header = 1000;
  HttpServer server(options, count_body);
  const std::string many(2000, 'h');
  std::string lines;
  for (int i = 0; i < 200; ++i) lines += "X-" + std::to_string(i) + ": y\r\n";
  for (const auto& request : {get_request("/" + many), get_request("/", "X: " + many + "\r\n"),
                              get_request("/", lines)}) {
    RawClient client(server.port());
    EXPECT_EQ(client.ask(request).status, 431);
    EXPECT_TRUE(client.ended());
  }
  RawClient slowly(server.port());  // each line by itself is small
  slowly.send("GET / HTTP/1.1\r\nHost: test\r\n");
  for (int i = 0; i < 200 && slowly.send("X-Header: value\r\n"); ++i) continue;
  EXPECT_EQ(slowly.response().status, 431);
  RawClient line(server.port());  // a line that never ends
  std::thread sender([&] {
    while (line.send(std::string(1000, 'G'))) continue;
  });
  EXPECT_EQ(line.response().status, 431);
  ::shutdown(line.descriptor(), SHUT_RDWR);
  sender.join();
  RawClient right(server.port());
  EXPECT_EQ(right.ask(get_request("/" + std::string(900, 'h'))).status, 200);
}

TEST(HttpLimits, LargeBodiesAreRefusedBeforeTheyAreRead) {
  auto options = patient();
  options.max_body = 100'000;
  HttpServer server(options, count_body);
  {
    RawClient client(server.port());
    EXPECT_EQ(client.ask(post_request("/", std::string(100'000, 'b'))).body, "100000");
    // The body doesn't follow: the header alone is refused.
    EXPECT_EQ(client.ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100001\r\n\r\n").status,
              413);
    EXPECT_TRUE(client.ended());
  }
  {
    RawClient client(server.port());  // the answer arrives although the client still sends
    std::thread sender([&] { client.send(post_request("/", std::string(3'000'000, 'b'))); });
    EXPECT_EQ(client.response().status, 413);
    sender.join();
  }
  RawClient client(server.port());
  client.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "C350\r\n" + std::string(50'000, 'c') + "\r\n";
  client.send(chunk + chunk);
  EXPECT_EQ(client.ask("1\r\nc\r\n").status, 413);
  RawClient extended(server.port());
  extended.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(extended.ask("1;name=" + std::string(100'000, 'x')).status, 431);
}

TEST(HttpLimits, BodiesThatArriveShareTheMemory) {
  auto options = patient();
  options.memory = 100'000;
  HttpServer server(options, count_body);
  const std::string body(60'000, 'b');
  const std::string head = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 60000\r\n\r\n";
  auto slow = std::make_unique<RawClient>(server.port());
  slow->send(head + std::string(59'999, 'b'));
  // The bytes of the slow client arrive at some time, and leave room for small bodies only.
  EXPECT_TRUE(eventually([&] {
    RawClient other(server.port());
    const auto response = other.ask(post_request("/", body));
    return response.status == 429 && response["retry-after"] == "1";
  }));
  EXPECT_EQ(RawClient(server.port()).ask(post_request("/", std::string(16'000, 'b'))).status, 200);
  EXPECT_EQ(slow->ask("b").body, "60000");
  RawClient other(server.port());
  for (int i = 0; i < 4; ++i) EXPECT_EQ(other.ask(post_request("/", body)).body, "60000");
  slow->send(head + std::string(59'999, 'b'));
  slow.reset();  // what it held is given back
  EXPECT_TRUE(eventually(
      [&] { return RawClient(server.port()).ask(post_request("/", body)).status == 200; }));
  EXPECT_EQ(other.ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100001\r\n\r\n").status, 413);
}

TEST(HttpLimits, ConnectionsAboveTheMostAreToldToComeBack) {
  auto options = patient();
  options.max_connections = 2;
  HttpServer server(options, count_body);
  RawClient first(server.port());
  auto second = std::make_unique<RawClient>(server.port());
  EXPECT_EQ(first.ask(get_request("/")).status, 200);
  EXPECT_EQ(second->ask(get_request("/")).status, 200);
  for (int i = 0; i < 20; ++i) {
    RawClient third(server.port());
    const auto response = third.ask(get_request("/"));
    EXPECT_EQ(response.status, 503);
    EXPECT_EQ(response["retry-after"], "1");
    EXPECT_TRUE(third.ended());
  }
  EXPECT_EQ(server.connections(), 2);
  EXPECT_EQ(first.ask(get_request("/")).status, 200);
  second.reset();
  EXPECT_TRUE(eventually([&] { return server.connections() == 1; }));
  RawClient fourth(server.port());
  EXPECT_EQ(fourth.ask(get_request("/")).status, 200);
}

TEST(HttpLimits, ARequestThatComesTooSlowlyIsEnded) {
  auto options = patient();
  options.read_timeout = 0.05;
  HttpServer server(options, count_body);
  const std::string request = post_request("/", "body");
  for (const size_t sent : {size_t{1}, size_t{20}, request.size() - 1}) {
    RawClient client(server.port());
    ASSERT_TRUE(client.send(request.substr(0, sent)));
    EXPECT_EQ(client.response().status, 408);
    EXPECT_TRUE(client.ended());
  }
  RawClient drop_by_drop(server.port());
  std::thread sender([&] {
    while (drop_by_drop.send("GET / HTTP/1.1\r\nHost: t\r\n")) {
      while (drop_by_drop.send("X: y\r\n"))
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  EXPECT_EQ(drop_by_drop.response().status, 408);
  ::shutdown(drop_by_drop.descriptor(), SHUT_RDWR);
  sender.join();
  EXPECT_TRUE(eventually([&] { return server.connections() == 0; }));
}

TEST(HttpLimits, AConnectionWithoutRequestsIsClosed) {
  auto options = patient();
  options.idle_timeout = 0.05;
  HttpServer server(options, count_body);
  RawClient silent(server.port());
  EXPECT_TRUE(silent.ended());
  RawClient client(server.port());
  EXPECT_EQ(client.ask(get_request("/")).status, 200);
  EXPECT_TRUE(client.ended());
}

TEST(HttpLimits, AClientThatDoesntReadIsCutOff) {
  auto options = patient();
  options.write_timeout = 0.05;
  std::atomic<bool> answered{false};
  HttpServer server(options, [&](const HttpRequest&, const HttpReply& reply) {
    HttpResponse response;
    response.body = std::string(size_t{32} << 20, 'r');
    reply(std::move(response));
    answered = true;
  });
  RawClient client(server.port());
  ASSERT_TRUE(client.send(get_request("/")));
  ASSERT_TRUE(eventually([&] { return answered.load(); }));
  EXPECT_TRUE(eventually([&] { return server.connections() == 0; }));
}

TEST(HttpLimits, ClientsThatVanishLeaveNothingBehind) {
  HttpServer server(patient(), [](const HttpRequest&, const HttpReply& reply) {
    HttpResponse response;
    response.body = std::string(size_t{1} << 20, 'r');
    reply(std::move(response));
  });
  const std::string request = post_request("/", std::string(1000, 'b'));
  for (const size_t sent : {size_t{0}, size_t{1}, size_t{30}, request.size() - 1, request.size()}) {
    for (const bool reset : {false, true}) {
      RawClient client(server.port());
      client.send(request.substr(0, sent));
      const linger at_once = {1, 0};
      if (reset) {
        ::setsockopt(client.descriptor(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      }
    }
  }
  {
    RawClient half_closed(server.port());
    half_closed.send(request);
    half_closed.shut_down_sending();
    EXPECT_EQ(half_closed.response().body.size(), size_t{1} << 20);
  }
  // All of them have been accepted, because the last one was.
  EXPECT_TRUE(eventually([&] { return server.connections() == 0; }));
}

TEST(HttpLimits, TheTokenIsAskedForBeforeTheBody) {
  auto options = patient();
  options.token = "secret";
  options.open_paths = {"/health"};
  HttpServer server(options, count_body);
  for (const std::string value :
       {"", "Authorization: Bearer secreT\r\n", "Authorization: Bearer secret2\r\n",
        "Authorization: Bearer\r\n", "Authorization: Basic secret\r\n",
        "Authorization: Bearer \r\n"}) {
    RawClient client(server.port());
    const auto response =
        client.ask("POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n" + value + "\r\n");
    EXPECT_EQ(response.status, 401) << value;
    EXPECT_EQ(response["www-authenticate"], "Bearer");
    EXPECT_TRUE(client.ended());
    RawClient open(server.port());
    EXPECT_EQ(open.ask(get_request("/health?x", value)).status, 200);
    EXPECT_EQ(open.ask(get_request("/health/x", value)).status, 401);
  }
  RawClient client(server.port());
  EXPECT_EQ(client.ask(get_request("/x", "authorization: bearer secret\r\n")).status, 200);
}

TEST(HttpLimits, TheListenerWaitsWithoutDescriptors) {
  HttpServer server(patient(), count_body);
  RawClient waiting(server.port());
  EXPECT_EQ(waiting.ask(get_request("/")).status, 200);
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  testing::internal::CaptureStderr();
  // The client has its descriptor already; the server's would be the first that is too many.
  RawClient late(server.port(), [&] {
    const int next = ::dup(0);
    ::close(next);
    rlimit none = before;
    none.rlim_cur = static_cast<rlim_t>(next);
    ::setrlimit(RLIMIT_NOFILE, &none);
  });
  ASSERT_TRUE(late.send(get_request("/")));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(waiting.ask(get_request("/")).status, 200) << "others are still served";
  }
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(late.response().status, 200);
  EXPECT_TRUE(says(testing::internal::GetCapturedStderr(), {"can't accept a connection"}));
}

}  // namespace
}  // namespace levin::http_limits_test
