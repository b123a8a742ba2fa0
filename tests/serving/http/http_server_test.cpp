#include <levin/serving/http/http_server.h>

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/serving/protocol/refusal.h>

#include "framework/message_of.h"
#include "serving/http/raw_client.h"

namespace levin::http_server_test {
namespace {

using test::eventually;
using test::get_request;
using test::message_of;
using test::post_request;
using test::RawClient;
using test::says;

HttpOptions any_port() {
  HttpOptions options;
  options.port = 0;
  return options;
}

/// Answers with what it was asked.
void echo(HttpRequest request, HttpReply reply) {
  HttpResponse response;
  response.content_type = "text/plain";
  response.body = request.method + " " + request.path + "?" + request.query + " " + request.body;
  reply(std::move(response));
}

/// Keeps the replies, until the test calls them.
class Waiting {
 public:
  HttpHandler handler() {
    return [this](HttpRequest, HttpReply reply) {
      const std::lock_guard lock(mutex_);
      replies_.push_back(std::move(reply));
      came_.notify_all();
    };
  }

  /// The reply to request number `i`, as soon as that has come.
  HttpReply at(size_t i) {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [&] { return replies_.size() > i; });
    return replies_[i];
  }

  void forget() {
    const std::lock_guard lock(mutex_);
    replies_.clear();
  }

 private:
  std::mutex mutex_{};
  std::condition_variable came_{};
  std::vector<HttpReply> replies_{};
};

TEST(HttpServer, ConnectionsStayOpenAndAnswerOneRequestAfterAnother) {
  HttpServer server(any_port(), echo);
  RawClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    const auto response = client.ask(post_request("/a/b%20c?x=1&y", "body " + std::to_string(i)));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "POST /a/b%20c?x=1&y body " + std::to_string(i));
    EXPECT_EQ(response["content-type"], "text/plain");
    EXPECT_EQ(response["connection"], "");
    EXPECT_TRUE(response["date"].ends_with(" GMT")) << response.head;
    EXPECT_EQ(response["server"], "");
  }
  EXPECT_EQ(server.connections(), 1);
  EXPECT_EQ(client.ask(get_request("/", "Connection: close\r\n"))["connection"], "close");
  EXPECT_TRUE(client.ended());
  EXPECT_TRUE(eventually([&] { return server.connections() == 0; }));
}

TEST(HttpServer, RequestsSentAheadAreAnsweredInOrder) {
  Waiting waiting;
  HttpServer server(any_port(), waiting.handler());
  RawClient client(server.port());
  std::string all;
  for (int i = 0; i < 20; ++i) all += post_request("/", std::string(1000, 'x'));
  ASSERT_TRUE(client.send(all));
  for (size_t i = 0; i < 20; ++i) {
    HttpResponse response;
    response.body = std::to_string(i);
    waiting.at(i)(std::move(response));
    EXPECT_EQ(client.response().body, std::to_string(i));
  }
}

TEST(HttpServer, RequestsMayComeByteByByte) {
  HttpServer server(any_port(), echo);
  RawClient client(server.port());
  const std::string chunked =
      "POST /slow HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;name=\"value\"\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: ignored\r\n\r\n";
  for (const auto& request : {post_request("/slow", "hello world"), chunked}) {
    for (const char byte : request) ASSERT_TRUE(client.send({&byte, 1}));
    EXPECT_EQ(client.response().body, "POST /slow? hello world");
  }
}

TEST(HttpServer, LargeBodiesPassBothWays) {
  HttpServer server(any_port(), echo);
  RawClient client(server.port());
  std::string body;
  for (int i = 0; body.size() < (size_t{5} << 20); ++i) body += std::to_string(i);
  const std::string request = post_request("/", body);
  for (int i = 0; i < 2; ++i) {
    std::thread sender([&] { client.send(request); });
    const auto response = client.response();
    sender.join();
    EXPECT_TRUE(response.body == "POST /? " + body) << response.body.size();
  }
}

TEST(HttpServer, AnswersHttp10HeadAndAbsoluteTargets) {
  HttpServer server(any_port(), echo);
  {
    RawClient client(server.port());
    const auto response = client.ask("GET /old HTTP/1.0\r\n\r\n");
    EXPECT_EQ(response.body, "GET /old? ");
    EXPECT_EQ(response["connection"], "close");
    EXPECT_TRUE(client.ended());
  }
  RawClient client(server.port());
  EXPECT_EQ(client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")["connection"],
            "keep-alive");
  ASSERT_TRUE(client.send("HEAD /head HTTP/1.1\r\nHost: test\r\n\r\n"));
  EXPECT_EQ(client.response(true)["content-length"], "11");
  EXPECT_EQ(client.ask(get_request("http://some.host/path?query")).body, "GET /path?query ");
  EXPECT_EQ(client.ask("\r\n" + get_request("/after_an_empty_line")).status, 200);
}

TEST(HttpServer, AClientThatExpectsContinueGetsIt) {
  HttpServer server(any_port(), echo);
  RawClient client(server.port());
  const std::string request = post_request("/", "body", "Expect: 100-continue\r\n");
  ASSERT_TRUE(client.send(request.substr(0, request.size() - 4)));
  EXPECT_EQ(client.response().status, 100);
  EXPECT_EQ(client.ask("body").body, "POST /? body");
  EXPECT_EQ(client.ask(request).body, "POST /? body") << "the client didn't wait";
  EXPECT_EQ(client.ask(post_request("/", "body", "Expect: 200-maybe\r\n")).status, 417);
}

TEST(HttpServer, ErrorsOfTheHandlerHideTheirReason) {
  HttpServer server(any_port(), [](HttpRequest request, const HttpReply& reply) {
    if (request.path == "/busy") throw Refusal::overloaded("the \"queue\" is full", 7);
    if (request.path == "/binary") throw Refusal::not_found("no model '\xff\n'");
    if (request.path == "/error") throw std::runtime_error("/secret/path isn't there");
    if (request.path == "/forgotten") return;
    HttpResponse response;
    response.headers.emplace_back("X-Name", "one\r\nX-Injected: two");
    reply(std::move(response));
    reply({});  // a second answer is lost
  });
  RawClient client(server.port());
  const auto busy = client.ask(get_request("/busy"));
  EXPECT_EQ(busy.status, 429);
  EXPECT_EQ(busy["retry-after"], "7");
  EXPECT_EQ(busy.body, "{\"error\": \"the \\\"queue\\\" is full\"}");
  EXPECT_EQ(client.ask(get_request("/binary")).body, "{\"error\": \"no model '\xef\xbf\xbd\\n'\"}");
  testing::internal::CaptureStderr();
  const auto error = client.ask(get_request("/error"));
  EXPECT_TRUE(says(testing::internal::GetCapturedStderr(), {"/secret/path isn't there\n"}));
  EXPECT_EQ(error.status, 500);
  EXPECT_EQ(error.body.find("secret"), std::string::npos) << error.body;
  EXPECT_EQ(client.ask(get_request("/forgotten")).status, 500);
  EXPECT_EQ(client.ask(get_request("/"))["x-injected"], "");
  EXPECT_EQ(client.ask(get_request("/")).status, 200);
}

TEST(HttpServer, RepliesComeFromAnyThreadAndAfterTheEnd) {
  Waiting waiting;
  std::optional<HttpServer> server(std::in_place, any_port(), waiting.handler());
  constexpr size_t kClients = 8;
  std::vector<std::unique_ptr<RawClient>> clients;
  for (size_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<RawClient>(server->port()));
    clients[i]->send(get_request("/"));
    waiting.at(i);
  }
  clients[0].reset();  // the client is gone before its answer
  std::vector<std::thread> threads;
  for (size_t i = 0; i + 1 < kClients; ++i) {
    threads.emplace_back([&, i] {
      HttpResponse response;
      response.body = std::to_string(i);
      waiting.at(i)(std::move(response));
    });
  }
  for (auto& thread : threads) thread.join();
  for (size_t i = 1; i + 1 < kClients; ++i) {
    EXPECT_EQ(clients[i]->response().body, std::to_string(i));
  }
  const HttpReply last = waiting.at(kClients - 1);
  server.reset();
  last({});
  waiting.forget();
  EXPECT_EQ(clients.back()->response().status, 0);
}

TEST(HttpServer, ManyConnectionsOnSeveralThreads) {
  auto options = any_port();
  options.threads = 3;
  HttpServer server(options, echo);
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      for (int k = 0; k < 10; ++k) {
        RawClient client(server.port());
        const std::string body = std::to_string(100 * i + k);
        for (int n = 0; n < 5; ++n) {
          right += client.ask(post_request("/", body)).body == "POST /? " + body ? 1 : 0;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 300);
  EXPECT_TRUE(eventually([&] { return server.connections() == 0; }));
}

TEST(HttpServer, DrainAnswersWhatHasBegunAndClosesTheRest) {
  Waiting waiting;
  HttpServer server(any_port(), waiting.handler());
  RawClient idle(server.port());
  RawClient in_flight(server.port());
  RawClient half(server.port());
  in_flight.send(get_request("/"));
  waiting.at(0);
  const std::string request = post_request("/", "body");
  half.send(request.substr(0, 30));
  ASSERT_TRUE(eventually([&] { return server.connections() == 3; }));

  EXPECT_FALSE(server.drain(0.01)) << "one request is in flight";
  EXPECT_TRUE(idle.ended());
  EXPECT_THROW(RawClient(server.port()), std::runtime_error);
  auto drained = std::async(std::launch::async, [&] { return server.drain(test::kHangSeconds); });
  half.send(request.substr(30));
  waiting.at(1)({});
  EXPECT_EQ(half.response()["connection"], "close");
  waiting.at(0)({});
  const auto response = in_flight.response();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response["connection"], "close");
  EXPECT_TRUE(in_flight.ended());
  EXPECT_TRUE(drained.get());
}

TEST(HttpServer, DrainLosesNoRequestThatWasSent) {
  // Connections that wait to be accepted, and requests that wait to be read, count as begun.
  for (int round = 0; round < 10; ++round) {
    HttpServer server(any_port(), echo);
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int i = 0; i < 20; ++i) {
      clients.push_back(std::make_unique<RawClient>(server.port()));
      ASSERT_TRUE(clients.back()->send(get_request("/")));
    }
    EXPECT_TRUE(server.drain(test::kHangSeconds));
    for (auto& client : clients) EXPECT_EQ(client->response().status, 200);
  }
}

TEST(HttpServer, SaysWhyItCantListen) {
  HttpServer server(any_port(), echo);
  auto options = any_port();
  options.port = server.port();
  EXPECT_TRUE(says(message_of<ConfigError>([&] { HttpServer other(options, echo); }),
                   {"port " + std::to_string(server.port()) + " of 127.0.0.1 is in use"}));
  options = any_port();
  options.host = "no.such.name.invalid";
  EXPECT_TRUE(says(message_of<ConfigError>([&] { HttpServer other(options, echo); }),
                   {"host = 'no.such.name.invalid'"}));
  options.host = "192.0.2.1";  // an address for documentation
  EXPECT_TRUE(says(message_of<ConfigError>([&] { HttpServer other(options, echo); }),
                   {"192.0.2.1", "must be an address of this machine"}));
  options = any_port();
  options.port = 65536;
  EXPECT_TRUE(
      says(message_of<ConfigError>([&] { HttpServer other(options, echo); }), {"port = 65536"}));
  options = any_port();
  options.idle_timeout = 0;
  EXPECT_TRUE(says(message_of<ConfigError>([&] { HttpServer other(options, echo); }),
                   {"idle_timeout = 0"}));
}

TEST(HttpServer, ListensOnNamesAndIpv6) {
  for (const std::string host : {"localhost", "[::1]", "::1", "0.0.0.0"}) {
    auto options = any_port();
    options.host = host;
    try {
      HttpServer server(options, echo);
      EXPECT_GT(server.port(), 0) << host;
    } catch (const ConfigError& error) {
      // Containers often have no IPv6.
      EXPECT_NE(host.find("::1"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace levin::http_server_test
